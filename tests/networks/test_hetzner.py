"""Hetzner's networks by the real hcloud, against a stand-in for its API: reading, and troubles."""

import os
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tasks.common.errors import Stop
from tasks.inventory.model import ProviderNetwork
from tasks.networks import calls
from tasks.networks.model import Member, Table, TableRoute
from tasks.networks.provider import Provider, provider_of
from tasks.networks.state import read_state
from tests import api as programs

from .hetzner_api import HetznerApi, Reply, error, serving

pytestmark = pytest.mark.system
ROUTE = TableRoute(ip_network("10.200.1.0/24"), ip_address("10.240.0.7"))


def tutorial(workers: int = 3) -> HetznerApi:
    """A network with the tutorial's workers."""
    nodes = {f"worker-{n}": str(ip_address("10.240.0.6") + n) for n in range(workers)}
    return HetznerApi(nodes, "10.240.0.0/16", "10.240.0.0/24")


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HetznerApi]:
    """An API that the hcloud of this process finds; it tries twice, without long pauses."""
    monkeypatch.setattr(calls, "WAITS", (0.01,))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = tutorial()
    with serving(found) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield found


def network(name: str = "kubernetes", seconds: float = 30) -> Provider:
    return provider_of(ProviderNetwork("hetzner", name), seconds)


def stopped(call: Callable[[], object]) -> str:
    """The one line with which a call stops. It holds no key."""
    with pytest.raises(Stop) as stop:
        call()
    (line,) = str(stop.value).splitlines()
    assert line.startswith("network ")
    assert os.environ.get("HCLOUD_TOKEN", "k" * 64) not in line
    return line


def test_the_table_is_read(api: HetznerApi) -> None:
    api.routes = {"10.200.1.0/24": "10.240.0.7", "0.0.0.0/0": "10.240.0.99"}
    assert network().read() == Table(
        id="7",
        ranges=(ip_network("10.240.0.0/16"),),
        subnets=(ip_network("10.240.0.0/24"),),
        gateway=ip_address("10.240.0.1"),
        routes=(ROUTE, TableRoute(ip_network("0.0.0.0/0"), ip_address("10.240.0.99"))),
        members=tuple(
            Member(ip_address(f"10.240.0.{6 + n}"), str(n + 1), f"worker-{n}") for n in range(3)
        ),
        limit=100,
        exclusive=True,
        destinations=tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))),
    )
    assert api.asked == ["GET /v1/networks", "GET /v1/servers"]


def test_a_hundred_servers_take_one_request_more(api: HetznerApi) -> None:
    api.servers = tutorial(100).servers
    assert len(network().read().members) == 100
    assert api.asked == ["GET /v1/networks", *["GET /v1/servers"] * 2]


def test_routes_are_added_deleted_and_replaced(api: HetznerApi) -> None:
    here = network()
    table = here.read()
    here.add(table, ROUTE)
    assert api.routes == {"10.200.1.0/24": "10.240.0.7"}
    other = TableRoute(ROUTE.destination, ip_address("10.240.0.8"))
    here.replace(table, ROUTE, other)
    assert api.routes == {"10.200.1.0/24": "10.240.0.8"}
    assert [command for command, *_ in api.changes] == ["add_route", "delete_route", "add_route"]
    here.remove(table, other)
    assert api.routes == {}


# Trouble, made for real. Each is one line that says what to do.


def always(reply: Reply) -> Callable[[str, str], Reply | None]:
    return lambda _method, _path: reply


def test_no_key(api: HetznerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HCLOUD_TOKEN")
    assert "give it to `hcloud context create`" in stopped(network().read)
    assert api.asked == []


def test_a_wrong_key(api: HetznerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCLOUD_TOKEN", "fa1rly-secret")
    line = stopped(network().read)
    assert "the key is wrong, or was deleted" in line
    assert "fa1rly-secret" not in line


def test_a_key_that_may_only_read(api: HetznerApi) -> None:
    def fault(method: str, _path: str) -> Reply | None:
        refusal = error(403, "token_readonly", "token is only allowed to read")
        return refusal if method == "POST" else None

    table = network().read()
    api.fault = fault
    assert "the key may only read" in stopped(lambda: network().add(table, ROUTE))


def test_no_such_network(api: HetznerApi) -> None:
    line = stopped(network("kubernets").read)
    assert line.startswith("network kubernets: ")
    assert "`hcloud network list` shows those of the key's project" in line


def test_a_server_that_is_not_attached_yet(api: HetznerApi) -> None:
    table = network().read()
    del api.servers["worker-1"]
    line = stopped(lambda: network().add(table, ROUTE))
    assert "the API knows no server of the network with this address" in line


def test_a_full_table(api: HetznerApi) -> None:
    table = network().read()
    api.limit = 0
    assert "a network holds 100 routes" in stopped(lambda: network().add(table, ROUTE))


def test_an_overlapping_destination(api: HetznerApi) -> None:
    table = network().read()
    api.routes = {"10.200.0.0/16": "10.240.0.6"}
    assert "another route or a subnet" in stopped(lambda: network().add(table, ROUTE))


def busy(times: int, reply: Reply) -> Callable[[str, str], Reply | None]:
    """A fault that refuses so many changes, and lets all other requests pass."""
    left = [None] * times

    def fault(method: str, _path: str) -> Reply | None:
        if method == "POST" and left:
            left.pop()
            return reply
        return None

    return fault


BUSY = {
    "locked": error(423, "locked", "network is locked"),
    "rate limited": error(429, "rate_limit_exceeded", "limit of 3600 requests per hour reached"),
    "unavailable": error(503, "unavailable", "service unavailable"),
}


@pytest.mark.parametrize("reply", BUSY.values(), ids=BUSY)
def test_busy_once(api: HetznerApi, reply: Reply, capfd: pytest.CaptureFixture[str]) -> None:
    table = network().read()
    api.fault = busy(1, reply)
    network().add(table, ROUTE)
    assert api.routes == {"10.200.1.0/24": "10.240.0.7"}
    assert "trying again in 0.01 s" in capfd.readouterr().err


def test_conflicts_are_repeated_by_hcloud_itself(api: HetznerApi) -> None:
    table = network().read()
    api.fault = busy(2, error(409, "conflict", "conflict"))
    network().add(table, ROUTE)
    assert api.routes == {"10.200.1.0/24": "10.240.0.7"}


@pytest.mark.parametrize(
    ("reply", "words"),
    [(BUSY["locked"], "try again later"), (BUSY["rate limited"], "wait some minutes")],
)
def test_busy_for_too_long(api: HetznerApi, reply: Reply, words: str) -> None:
    table = network().read()
    api.fault = busy(9, reply)
    assert words in stopped(lambda: network().add(table, ROUTE))
    assert api.routes == {}


def test_an_interrupt_ends_the_waiting(api: HetznerApi) -> None:
    api.fault = always(BUSY["locked"])
    interrupted = provider_of(ProviderNetwork("hetzner", "kubernetes"), 30, lambda: True)
    assert "locked" in stopped(interrupted.read)
    assert len(api.asked) == 1


def test_an_action_that_fails_later(api: HetznerApi) -> None:
    table = network().read()
    api.failing = True
    assert "the API took the change, and then failed" in stopped(
        lambda: network().add(table, ROUTE)
    )


def test_an_action_that_never_ends(api: HetznerApi) -> None:
    table = network().read()
    api.endless = True
    assert "no answer within 1 s" in stopped(lambda: network(seconds=1).add(table, ROUTE))
    assert network().read().routes == (ROUTE,)  # it was made all the same


def test_an_api_that_says_nothing(api: HetznerApi) -> None:
    def fault(_method: str, _path: str) -> Reply | None:
        api.released.wait()
        return None

    api.fault = fault
    assert "no answer within 1 s" in stopped(network(seconds=1).read)


@pytest.mark.parametrize("status", [200, 502])
def test_an_answer_that_is_no_json(api: HetznerApi, status: int) -> None:
    api.fault = always((status, b"<html>Bad Gateway</html>"))
    assert "the API answers no JSON" in stopped(network().read)


@pytest.mark.parametrize(
    "document",
    [
        {"networks": [{"id": 7, "ip_range": "10.240.0.0/16; reboot", "created": "x"}]},
        {"networks": [{"id": 7, "ip_range": "10.240.0.0/16", "routes": [{"destination": "x"}]}]},
        {"networks": {}},
        {},
    ],
)
def test_an_answer_of_another_form(api: HetznerApi, document: dict[str, object]) -> None:
    api.fault = always((200, document))
    stopped(network().read)


def test_a_name_cannot_control_a_terminal(api: HetznerApi) -> None:
    api.servers = {"worker-0\x1b]0;x\x07": "10.240.0.6"}
    assert network().read().members[0].name == "worker-0?]0;x?"


def test_a_table_without_end(api: HetznerApi) -> None:
    api.routes = {f"10.{n // 250}.{n % 250}.0/24": "10.240.0.6" for n in range(6000)}
    where = ProviderNetwork("hetzner", "kubernetes")
    assert "more than 5,000 routes" in stopped(lambda: read_state(where, 30))


def test_an_api_that_is_not_reached(api: HetznerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCLOUD_ENDPOINT", "http://127.0.0.1:1/v1")
    assert "the API cannot be reached from here" in stopped(network().read)


def test_an_old_client(api: HetznerApi, tmp_path: Path) -> None:
    body = "print('hcloud: unknown shorthand flag: o', file=sys.stderr)\nsys.exit(1)"
    programs.stand_in(tmp_path, "hcloud", body)
    assert "this hcloud is too old" in stopped(network().read)


def test_no_client(api: HetznerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "apt-get install hcloud-cli" in stopped(network().read)
