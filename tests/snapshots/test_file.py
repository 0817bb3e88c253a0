"""The file of a snapshot: what is written is read again, and all else is a plain error."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.common.errors import Stop
from tasks.snapshots.anonymous import anonymous
from tasks.snapshots.file import from_text, read_snapshot, to_text
from tasks.snapshots.model import (
    File,
    Firewall,
    Link,
    LinkAddress,
    Member,
    Snapshot,
    State,
    Tables,
    schema,
)
from tests.paths import PROJECT

SCHEMA = PROJECT / "docs/snapshot.schema.json"


def state(number: int, **more: Any) -> State:
    """What worker number N holds."""
    values: dict[str, Any] = {
        "links": (
            Link(index=1, name="lo", mtu=65536),
            Link(
                index=2,
                name="eth0",
                mtu=1500,
                mac=f"52:54:00:00:00:0{number}",
                addresses=(LinkAddress(local=f"88.198.7.{10 + number}/24"),),
            ),
        ),
        "ipv4": Tables(
            routes=("1 default via 88.198.7.1 dev eth0 table 254 proto 3 scope 0",),
            rules=("0:\tfrom all lookup 255 proto 2",),
        ),
        "ipv6": Tables(),
        "sysctls": {"ipv4/ip_forward": "1"},
        "client": "88.99.1.2",
        "server": f"88.198.7.{10 + number}",
        "firewalls": (
            Firewall(
                program="iptables-nft",
                listing="*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 88.198.7.0/24 -m comment"
                ' --comment "for prod-1" -j DROP\nCOMMIT',
            ),
        ),
        "files": (File(path="/var/lib/pod-routes/runs", text="ann@prod-1\n"),),
    }
    return State(**values | more)


def snapshot(*states: State) -> Snapshot:
    return Snapshot(
        format="pod-routes snapshot",
        version=1,
        taken="2026-11-29T10:00:00+00:00",
        pod_networks=("10.200.0.0/16",),
        machines=tuple(
            Member(name=f"prod-{n}", role="worker", public_ip=f"88.198.7.{10 + n}", state=s)
            for n, s in enumerate(states or (state(0), state(1)))
        ),
    )


def test_what_is_written_is_read_again() -> None:
    assert from_text(to_text(snapshot()), "x") == snapshot()


def test_the_schema_is_in_the_docs() -> None:
    """The test writes it anew where it differs, and fails once."""
    before = SCHEMA.read_text() if SCHEMA.exists() else ""
    if before != schema():
        SCHEMA.write_text(schema())
    assert before == schema()


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ('"format"', '"form"', "is no snapshot"),
        ('"version": 1', '"version": 2', "is of version 2, and this program reads version 1"),
        ('"version": 1', '"version": "\\u001b]0;x"', "is of version ?]0;x"),
        ("{", "[", "is no JSON"),
        ('"name": "prod-1"', '"name": "prod-0"', "two machines have the same name"),
        ('"name": "prod-1"', '"name": "../x"', "not the name of a machine"),
        ('"name": "eth0"', '"name": "a/b"', "not the name of a network link"),
        ('"eth0"', '"a\\nroute flush"', "not the name of a network link"),
        ("via 88.198.7.1", "via $(id)", "not an address"),
        ("from all", "exec all", "is not known here"),
        ("proto 3", "proto 3\\u0085", "not a line of printable characters"),
        ("ipv4/ip_forward", "../kernel/core_pattern", "not a setting that decides"),
        ("ipv4/ip_forward", "ipv4/conf/../rp_filter", "not a setting that decides"),
        ("/var/lib/pod-routes/runs", "/etc/cron.d/x", "not the path of a file that is copied"),
        ("/var/lib/pod-routes/runs", "/etc/cni/net.d/../../x.conf", "not the path of a file"),
        ("/runs", "/displaced/1.save", "base64"),
        ("*filter", "*filter\\u0007", "unprintable characters"),
        ('"iptables-nft"', '"sh"', "Input should be"),
        ('"52:54:00:00:00:00"', '"x"', "not a hardware address"),
        ('"index": 2', '"index": -2', "greater than or equal to 1"),
        ('"mtu": 1500', '"mtu": 1e99', "mtu"),
        ('"taken"', '"more": 1, "taken"', "Unexpected keyword argument"),
    ],
)
def test_anything_else_is_a_plain_error(right: str, wrong: str, words: str) -> None:
    text = to_text(snapshot())
    assert right in text
    with pytest.raises(Stop) as stop:
        from_text(text.replace(right, wrong, 1), "here.json")
    assert words in str(stop.value.message)
    assert str(stop.value.message).startswith("here.json: ")
    assert all(line.isprintable() for line in str(stop.value.message).splitlines())


@pytest.mark.parametrize("text", ["", "null", "[" * 100_000, '{"format": 1e9}', "\x00", '"x"'])
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(Stop, match=r"."):
        from_text(text, "x")


def test_no_file_breaks_the_reader(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "none"):
        with pytest.raises(Stop, match="cannot be read"):
            read_snapshot(path)


def test_no_name_and_no_public_address_is_left() -> None:
    found = anonymous(snapshot())
    text = to_text(found)
    for secret in ("prod", "88.198.7", "88.99", "52:54", "ann", "for "):
        assert secret not in text
    one, other = (member.state.links[1].addresses[0].local for member in found.machines)
    assert one.rpartition(".")[0] == other.rpartition(".")[0]  # still in one network
    network = one.rpartition(".")[0]
    assert f"via {network}.1 " in found.machines[0].state.ipv4.routes[0]
    assert f"-s {network}.0/24 -j DROP" in found.machines[0].state.firewalls[0].listing
    assert found.machines[1].public_ip == other.partition("/")[0]
    assert from_text(text, "x") == found
    assert found.anonymous


def test_private_addresses_stay_and_public_ones_stay_public() -> None:
    routes = (
        "1 10.1.0.0/16 via 10.240.0.7 dev eth0 table 254 proto 3 scope 0",
        "1 11.0.0.0/8 via 9.255.255.255 dev eth0 table 254 proto 3 scope 0",
        "1 2a01:4f8::/32 via fe80::1 dev eth0 table 254 metric 1024",
        "1 fd00:200::/48 via 2a01:4f8:1::1 dev eth0 table 254 metric 1024",
    )
    before = state(0, ipv4=Tables(routes=routes[:2]), ipv6=Tables(routes=routes[2:]))
    (member,) = anonymous(snapshot(before)).machines
    four, six = member.state.ipv4.routes, member.state.ipv6.routes
    assert four[0] == routes[0]
    assert json.loads(json.dumps(four[1])).split()[1].endswith(".0.0.0/8")
    assert four[1].split()[1] != "10.0.0.0/8"
    assert six[0].split()[1].endswith("::/32")
    assert six[0].split()[1][0] in "23"
    assert six[1].startswith("1 fd00:200::/48 via ")
    assert six[1].split()[3].split(":")[:2] == six[0].split()[1].split(":")[:2]
