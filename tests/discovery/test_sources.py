"""Each source by itself: real kubectl and hcloud, stand-ins for vultr-cli and doctl."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invoke import Config, Context

from tasks.common.errors import Status, Stop
from tasks.discovery import sources
from tasks.discovery.merge import NO_PODS, combine
from tasks.discovery.model import Attached, Found, Request, pod_cidrs
from tasks.discovery.sources import vultr
from tasks.inventory.model import ProviderNetwork
from tests import api
from tests.builders import cluster, facts
from tests.networks.ec2_api import Ec2Api
from tests.networks.ec2_api import serving as ec2_served
from tests.paths import PROJECT

NONE = str(ip_address(0))  # what Vultr gives for an address that there is not


@pytest.fixture(autouse=True)
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody with a home of their own, in which the programs find no configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("KUBECONFIG", "HCLOUD_TOKEN", "HCLOUD_CONTEXT", "VULTR_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def found(source: str, timeout: int | None = None, **options: Any) -> list[Found]:
    c = Context(Config(overrides={"timeouts": {"command": timeout}}))
    return list(sources.ask(source, Request(c, **options)))


def said(machine: Found, field: str) -> list[str]:
    return [value.text for value in machine.values if value.field == field]


def stopped(source: str, **options: Any) -> str:
    with pytest.raises(Stop) as stop:
        found(source, **options)
    assert stop.value.code == Status.ERROR
    lines = str(stop.value).splitlines()
    assert len(lines) == 1
    assert "fa1rly-secret" not in lines[0]
    return lines[0]


# kubectl, the real one


@pytest.mark.system
def test_kubectl_gives_nodes_of_both_families_with_their_pod_cidrs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [
        api.node(
            "worker-0.example.com",
            ["10.200.0.0/24", "fd00:200::/64"],
            InternalIP=["10.240.0.6", "fd00:240::6"],
            ExternalIP=["2001:db8::6", "203.0.113.10"],
        ),
        api.node("worker-1", ["10.200.1.0/24"], InternalIP=["10.240.0.7"]),
        api.node("worker-2", [], InternalIP=["10.240.0.8"]),
    ]
    with api.served(api.kubernetes(nodes, page=2)) as url:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path, here=url)))
        first, second, third = found("kubectl")
    assert (first.name, first.role, first.member) == ("worker-0.example.com", "worker", True)
    assert said(first, "public_ip") == ["203.0.113.10", "2001:db8::6"]
    assert said(first, "internal_ip") == ["10.240.0.6", "fd00:240::6"]
    assert said(first, "pod_cidr") == ["10.200.0.0/24", "fd00:200::/64"]
    assert [value.family for value in first.values] == [0, 0, 4, 6, 4, 6]
    assert said(second, "public_ip") == []
    assert (third.role, third.notes) == (None, ("has no podCIDR yet",))
    assert {"role", "role=worker", "zone"} <= set(third.tags)


@pytest.mark.system
def test_kubectl_honours_a_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        api.served(api.kubernetes([api.node("here", ["10.200.0.0/24"])])) as here,
        api.served(api.kubernetes([api.node("there", ["10.200.0.0/24"])])) as there,
    ):
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path, here=here, there=there)))
        assert [one.name for one in found("kubectl")] == ["here"]
        assert [one.name for one in found("kubectl", context="there")] == ["there"]
        assert "nowhere" in stopped("kubectl", context="nowhere")


def test_kubectl_is_waited_for_as_long_as_any_program(tmp_path: Path) -> None:
    """A timeout of its own would end sooner than -T says."""
    api.stand_in(
        tmp_path,
        "kubectl",
        "assert arguments == ['--context=prod', 'get', 'nodes', '-o', 'json'], arguments\n"
        "print('{\"items\": []}')",
    )
    assert found("kubectl", context="prod") == []


@pytest.mark.system
def test_kubectl_that_is_refused_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = {"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden"}
    message = 'nodes is forbidden: User "operator" cannot list resource "nodes"'
    ready = api.kubernetes([])

    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        forbidden = 403, {**refusal, "apiVersion": "v1", "metadata": {}, "message": message}
        return forbidden if path.endswith("nodes") else ready(path, query)

    with api.served(answer) as url:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path, here=url)))
        assert stopped("kubectl") == f"kubectl fails: Error from server (Forbidden): {message}"


@pytest.mark.system
def test_kubectl_whose_server_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with api.served(api.kubernetes([])) as url:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path, here=url)))
    words = stopped("kubectl")
    assert "refused" in words
    assert "memcache" not in words  # its log lines are not for the reader


@pytest.mark.system
def test_a_large_cluster_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        {
            **api.node(f"n{i}", [f"10.{i // 256}.{i % 256}.0/24"]),
            "images": "x" * 5000,
        }
        for i in range(1000)
    ]
    with api.served(api.kubernetes(nodes)) as url:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path, here=url)))
        assert len(found("kubectl")) == 1000


# hcloud, the real one


def server(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"worker-{number}",
        "status": "running",
        "public_net": {
            "ipv4": {"ip": f"203.0.113.{10 + number}", "blocked": False, "dns_ptr": ""},
            "ipv6": {"ip": f"2001:db8:{number}::/64", "blocked": False, "dns_ptr": []},
            "floating_ips": [],
        },
        "private_net": [{"network": 4711, "ip": f"10.0.0.{2 + number}", "alias_ips": []}],
        "labels": {"role": "worker", "ready": ""},
        "created": "2016-01-30T23:50:00+00:00",
        **more,
    }


@pytest.mark.system
def test_hcloud_gives_servers_page_after_page(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = server(2, public_net={"ipv4": None, "ipv6": None, "floating_ips": []}, private_net=[])
    with api.served(api.hetzner([server(0), server(1), bare], page=2)) as url:
        monkeypatch.setenv("HCLOUD_ENDPOINT", f"{url}/v1")
        monkeypatch.setenv("HCLOUD_TOKEN", "fa1rly-secret")
        machines = found("hcloud")
    assert [one.name for one in machines] == ["worker-0", "worker-1", "worker-2"]
    first = machines[0]
    assert said(first, "public_ip") == ["203.0.113.10", "2001:db8::1"]
    assert said(first, "internal_ip") == ["10.0.0.2"]
    assert set(first.tags) == {"role", "role=worker", "ready", "ready="}
    assert (first.provider, first.member) == ("hetzner-cloud", False)
    here = Attached(ProviderNetwork("hetzner", "kubernetes"), "4711")
    assert [one.networks for one in machines] == [{"10.0.0.2": here}, {"10.0.0.3": here}, {}]
    assert machines[2].values == ()


@pytest.mark.system
def test_hcloud_without_a_token() -> None:
    assert stopped("hcloud").startswith("hcloud fails: ")


@pytest.mark.system
def test_hcloud_with_a_token_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"error": {"code": "unauthorized", "message": "unable to authenticate fa1rly-secret"}}
    with api.served(lambda *_: (401, error)) as url:
        monkeypatch.setenv("HCLOUD_ENDPOINT", f"{url}/v1")
        monkeypatch.setenv("HCLOUD_TOKEN", "fa1rly-secret")
        assert "unable to authenticate ***" in stopped("hcloud")


def test_a_network_whose_name_hosts_toml_cannot_hold_is_named_by_its_id(tmp_path: Path) -> None:
    servers = json.dumps([server(0)])
    named = json.dumps([{"id": 4711, "name": "--config=x"}])
    body = f"print({named!r} if arguments[0] == 'network' else {servers!r})"
    api.stand_in(tmp_path, "hcloud", body)
    (one,) = found("hcloud")
    assert one.networks == {"10.0.0.2": Attached(ProviderNetwork("hetzner", "4711"), "4711")}


# aws, the real one


@pytest.mark.system
def test_aws_gives_instances_and_the_route_table_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec2 = Ec2Api({"eni-0": "10.240.0.6", "eni-1": "10.240.1.7"}, "10.240.0.0/16")
    ec2.tables = {"subnet-1": "rtb-2"}
    with ec2_served(ec2, tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        first, second = found("aws")
    assert (first.name, first.provider, first.member) == ("worker-0", "aws", False)
    assert said(first, "public_ip") == ["203.0.113.10"]
    assert said(first, "internal_ip") == ["10.240.0.6"]
    assert first.tags == ("Name", "Name=worker-0")
    tables = (ProviderNetwork("aws", "rtb-1"), ProviderNetwork("aws", "rtb-2"))
    assert first.networks == {"10.240.0.6": Attached(tables[0], "rtb-1", "subnet-0")}
    assert second.networks == {"10.240.1.7": Attached(tables[1], "rtb-2", "subnet-1")}
    assert ec2.asked == ["DescribeInstances", "DescribeRouteTables"]


def test_aws_lists_no_instance_that_is_gone(tmp_path: Path) -> None:
    gone = {"InstanceId": "i-1", "State": {"Name": "terminated"}, "NetworkInterfaces": []}
    here = {**gone, "InstanceId": "i-2", "State": {"Name": "stopped"}}
    said = json.dumps({"Reservations": [{"Instances": [gone, here]}]})
    api.stand_in(tmp_path, "aws", f"assert 'instances' in arguments[3]\nprint({said!r})")
    assert [one.name for one in found("aws")] == ["i-2"]


# vultr-cli and doctl, by stand-ins


def test_vultr_pages_through_cursors(tmp_path: Path) -> None:
    api.stand_in(
        tmp_path,
        "vultr-cli",
        api.vultr_pages(
            [api.instance("worker-1", "203.0.113.11", "10.240.0.7", tags=["worker"])],
            [api.instance("", NONE, "", hostname="worker-2", v6_main_ip="2001:db8::2")],
            [api.instance("worker-3", "", "10.240.0.9", vpc_only=True, tags=None)],
        ),
    )
    first, second, third = found("vultr")
    assert (first.name, first.tags, first.notes) == ("worker-1", ("worker",), ())
    assert said(first, "public_ip") == ["203.0.113.11"]
    assert said(first, "internal_ip") == ["10.240.0.7"]
    assert (second.name, said(second, "public_ip")) == ("worker-2", ["2001:db8::2"])
    assert "names no internal IP" in second.notes[0]
    assert "vpc_only" in third.notes[0]
    assert "fa1rly-secret" not in repr([first, second, third])


def test_vultr_pages_that_go_round(tmp_path: Path) -> None:
    page = json.dumps({"instances": [], "meta": {"total": 0, "links": {"next": "again"}}})
    api.stand_in(tmp_path, "vultr-cli", f"print({page!r})")
    assert "in a circle" in stopped("vultr")


def test_vultr_pages_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vultr, "PAGES", 3)
    page = '{"instances": [], "meta": {"links": {"next": "%s"}}}'
    api.stand_in(tmp_path, "vultr-cli", f"import os\nprint({page!r} % os.getpid())")
    assert stopped("vultr") == "vultr-cli: has more than 3 pages"


@pytest.mark.parametrize("meta", [None, {"total": 0, "links": None}])
def test_vultr_with_nothing(tmp_path: Path, meta: object) -> None:
    page = json.dumps({"instances": None, "meta": meta})
    api.stand_in(tmp_path, "vultr-cli", f"print({page!r})")
    assert found("vultr") == []


@pytest.mark.parametrize("answer", ["null", "[]"])
@pytest.mark.parametrize("source", ["hcloud", "doctl"])
def test_a_program_that_lists_nothing(tmp_path: Path, source: str, answer: str) -> None:
    """A list without entries is null in Go's JSON, unless the program takes care."""
    api.stand_in(tmp_path, source, f"print({answer!r})")
    assert found(source) == []


@pytest.mark.parametrize("items", ["null", "[]"])
def test_kubectl_that_lists_nothing(tmp_path: Path, items: str) -> None:
    api.stand_in(tmp_path, "kubectl", f'print(\'{{"kind": "List", "items": {items}}}\')')
    assert found("kubectl") == []


def test_doctl(tmp_path: Path) -> None:
    droplets = [
        api.droplet(
            "worker-0",
            tags=["worker"],
            v4_private="10.110.0.2",
            v4_public="203.0.113.10",
            v6_public="2001:db8::10",
        ),
        {"id": 2, "name": "worker-1", "networks": {}, "tags": None},
    ]
    api.stand_in(
        tmp_path,
        "doctl",
        "assert arguments == ['compute', 'droplet', 'list', '--output', 'json']\n"
        f"print({json.dumps(droplets)!r})",
    )
    first, second = found("doctl")
    assert said(first, "public_ip") == ["203.0.113.10", "2001:db8::10"]
    assert said(first, "internal_ip") == ["10.110.0.2"]
    assert (first.tags, first.provider) == (("worker",), "digitalocean")
    assert second.values == ()


# What goes wrong with any program

FAILS = {
    "no API key": (
        "print(\"Error: set VULTR_API_KEY as an environment variable or add 'api-key' to your"
        ' config file"); sys.exit(1)',
        "vultr-cli fails: Error: set VULTR_API_KEY as an environment variable or add 'api-key' to"
        " your config file",
    ),
    "an error on stderr": (
        "print('Invalid API token.', file=sys.stderr); print('{\"default_password\":"
        ' "fa1rly-secret"}\'); sys.exit(1)',
        "vultr-cli fails: Invalid API token.",
    ),
    "words and then data": (
        'print(\'Warning: old.\\n{\\n"default_password": "fa1rly-secret"\\n}\'); sys.exit(1)',
        "vultr-cli fails: Warning: old.",
    ),
    "an error with control characters": (
        r"print('\033[31mno\007 way\n\nat all', file=sys.stderr); sys.exit(3)",
        "vultr-cli fails: ?[31mno? way; at all",
    ),
    "an error as JSON": (
        'print(\'{"errors": [{"detail": "access token is required"}]}\'); sys.exit(1)',
        "vultr-cli fails: access token is required",
    ),
    "an error among usage": (
        "print('Error: bad\\nUsage:\\n  vultr-cli [flags]', file=sys.stderr); sys.exit(1)",
        "vultr-cli fails: Error: bad",
    ),
    "no reason": ("sys.exit(9)", "vultr-cli fails: it does not say why"),
    "no JSON": (
        "print('ID  LABEL  fa1rly-secret')",
        "vultr-cli: its answer cannot be read: it prints no JSON",
    ),
    "nothing": ("", "vultr-cli: its answer cannot be read: it prints no JSON"),
    "JSON of another shape": (
        "print('[1, 2]')",
        "vultr-cli: its answer cannot be read: it prints no JSON",
    ),
    "a field of another kind": (
        'print(\'{"instances": [{"label": {"default_password": "fa1rly-secret"}}]}\')',
        "vultr-cli: its answer cannot be read: instances.0.label: Input should be a valid string",
    ),
    "an address that is none": (
        'print(\'{"instances": [{"label": "w", "main_ip": "203.0.113"}]}\')',
        "vultr: its answer cannot be read: Expected 4 octets in '203.0.113'",
    ),
    "an address that names an interface": (
        'print(\'{"instances": [{"label": "w", "internal_ip": "fd00::1%\\\\u001b[31m"}]}\')',
        'vultr: its answer cannot be read: not an address: "fd00::1%?[31m"',
    ),
    "a prompt": (
        "import json\njson.loads(sys.stdin.read() or sys.exit('no password given'))",
        "vultr-cli fails: no password given",
    ),
}


def test_keys_of_an_answer_are_not_printed_as_they_are(tmp_path: Path) -> None:
    api.stand_in(tmp_path, "hcloud", 'print(\'[{"labels": {"\\\\u001b[31m": 1}}]\')')
    assert "0.labels.?[31m: " in stopped("hcloud")


@pytest.mark.parametrize(("body", "line"), FAILS.values(), ids=FAILS.keys())
def test_a_program_that_fails_gets_one_plain_line(tmp_path: Path, body: str, line: str) -> None:
    api.stand_in(tmp_path, "vultr-cli", body)
    assert stopped("vultr") == line


@pytest.mark.parametrize("source", ["vultr", "doctl", "hcloud", "kubectl"])
def test_a_program_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "is not on this machine's PATH: " in stopped(source)


def state_of(file: Path) -> str:
    """The state of the process whose number a file holds, as ps(1) has it; empty: it is gone."""
    argv = ["ps", "-o", "state=", "-p", file.read_text()]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def wait_until_dead(file: Path) -> None:
    """Return when it is gone, or dead and not waited for; the test's own time limit ends this."""
    while state_of(file) not in ("", "Z"):
        os.sched_yield()


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    api.stand_in(
        tmp_path,
        "vultr-cli",
        "import os, signal\nopen('pid', 'w').write(str(os.getpid()))\nsignal.pause()",
    )
    line = stopped_in(tmp_path, "vultr", timeout=1)
    assert line.startswith("vultr-cli gives no answer within 1 s")
    wait_until_dead(tmp_path / "pid")


CHILD = """
import os, signal, subprocess, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"])
open("pid.new", "w").write(str(child.pid))
os.rename("pid.new", "pid")
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_program_that_never_stops_talking_is_ended_with_its_children(
    tmp_path: Path, stream: str
) -> None:
    endless = f"while True:\n    sys.{stream}.write('x' * 65536)\n"
    api.stand_in(tmp_path, "vultr-cli", CHILD + endless)
    line = stopped_in(tmp_path, "vultr")
    assert line == "vultr-cli prints more than any answer has: it was ended"
    wait_until_dead(tmp_path / "pid")


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    api.stand_in(tmp_path, "vultr-cli", CHILD + "signal.pause()")
    assert "gives no answer within 1 s" in stopped_in(tmp_path, "vultr", timeout=1)
    wait_until_dead(tmp_path / "pid")


def test_a_program_that_closes_its_output_and_goes_on_is_ended(tmp_path: Path) -> None:
    api.stand_in(tmp_path, "vultr-cli", CHILD + "os.close(1)\nos.close(2)\nsignal.pause()")
    assert "gives no answer within 1 s" in stopped_in(tmp_path, "vultr", timeout=1)


def test_what_a_program_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    """Such as a daemon that keeps credentials, and its stdout open."""
    api.stand_in(tmp_path, "doctl", CHILD + "print('[]')")
    assert found_in(tmp_path, "doctl") == []
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_more_machines_than_there_can_be_are_refused(tmp_path: Path) -> None:
    api.stand_in(tmp_path, "doctl", "print('[' + '{},' * 5000 + '{}]')")
    assert stopped("doctl") == "doctl: has more than 5000 machines"


def test_an_answer_of_many_tiny_values_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    api.stand_in(tmp_path, "doctl", "print('[' + '{},' * (20 << 20) + '{}]')")
    assert stopped("doctl") == (
        "doctl: its answer cannot be read: it holds more than 2,000,000 values"
    )


def test_words_of_a_provider_are_bounded_and_printable(tmp_path: Path) -> None:
    droplet = {"name": "w\x1b[31m" * 1000, "tags": ["t\n\x07" * 1000] * 3000}
    api.stand_in(tmp_path, "doctl", f"print({json.dumps([droplet])!r})")
    (one,) = found("doctl")
    assert len(one.name) == len(one.tags[0]) == 500
    assert len(one.tags) == 1000
    assert "".join((one.name, *one.tags)).isprintable()


def test_values_of_one_machine_are_bounded(tmp_path: Path) -> None:
    addresses = [
        {"type": "private", "ip_address": f"10.0.{k // 200}.{k % 200}"} for k in range(3000)
    ]
    droplet = {"name": "w", "networks": {"v4": addresses}}
    api.stand_in(tmp_path, "doctl", f"print({json.dumps([droplet])!r})")
    (one,) = found("doctl")
    assert len(one.values) == 1000


def found_in(directory: Path, source: str) -> list[Found]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        return found(source)
    finally:
        os.chdir(before)


def stopped_in(directory: Path, source: str, **options: Any) -> str:
    before = Path.cwd()
    os.chdir(directory)
    try:
        return stopped(source, **options)
    finally:
        os.chdir(before)


def test_ctrl_c_ends_a_program_and_the_task(tmp_path: Path) -> None:
    api.stand_in(
        tmp_path,
        "vultr-cli",
        CHILD + "signal.pause()",
    )
    fab = subprocess.Popen(
        [
            *(Path(sys.executable).with_name("fab"), "--search-root", PROJECT),
            *("discover", "--from", "vultr"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    waiting = threading.Event()
    while not (tmp_path / "pid").exists() and fab.poll() is None:
        waiting.wait(0.01)
    fab.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = fab.communicate(timeout=30)
    assert time.monotonic() - start < 2
    assert (fab.returncode, errors) == (Status.INTERRUPTED, "interrupted: nothing was changed\n")
    wait_until_dead(tmp_path / "pid")


# The machines themselves; tests/lab asks real ones


@pytest.mark.parametrize(
    ("addresses", "internal"),
    [
        ([("enp6s0", "10.240.0.6/24"), ("docker0", "172.17.0.1/16")], ["10.240.0.6"]),
        ([("vmbr0", "10.240.0.6/24"), ("docker0", "172.17.0.1/16")], ["10.240.0.6"]),
        ([("enp6s0", "10.240.0.6/24"), ("kube-ipvs0", "10.32.0.1/32")], ["10.240.0.6"]),
        ([("enp6s0", "10.240.0.6/24"), ("cni0", "10.200.0.1/24")], ["10.240.0.6"]),
        ([("enp6s0", "10.240.0.6/24"), ("eth0", "10.0.2.15/24")], ["10.240.0.6", "10.0.2.15"]),
    ],
    ids=["Docker's bridge", "a bridge of its own", "services' addresses", "pods", "two"],
)
def test_a_machines_own_addresses_are_those_that_may_be_its_internal_ip(
    monkeypatch: pytest.MonkeyPatch, addresses: list[tuple[str, str]], internal: list[str]
) -> None:
    machine = facts(
        0,
        addresses=tuple((device, ip_interface(text)) for device, text in addresses),
        bridges={"docker0": 1500, "vmbr0": 1500, "cni0": 1500},
    )
    of = replace(cluster(1), node_networks=(ip_network("10.240.0.0/24"),))
    monkeypatch.setattr(
        "tasks.discovery.sources.ssh.ask", lambda *_, **__: ({"worker-0": machine}, {})
    )
    (one,) = found("ssh", fleet=lambda: SimpleNamespace(cluster=of))
    assert said(one, "internal_ip") == internal


@pytest.mark.parametrize(
    ("addresses", "internal", "sure"),
    [
        ([("eth0", "8.8.4.4/24"), ("eth1", "10.240.0.6/24")], ["10.240.0.6"], True),
        ([("eth0", "8.8.4.4/24")], ["8.8.4.4"], False),
        ([("eth0", "8.8.4.4/24"), ("vmbr0", "10.240.0.6/24")], ["8.8.4.4", "10.240.0.6"], False),
        ([("eth0", "8.8.4.4/24"), ("eth1", "10.200.77.6/24")], ["8.8.4.4", "10.200.77.6"], False),
        ([("eth0", "2600::6/64"), ("eth1", "10.240.0.6/24")], ["10.240.0.6"], True),
    ],
    ids=[
        "a private one",
        "public",
        "on a bridge",
        "inside pod_networks",
        "of a family without pods",
    ],
)
def test_a_public_address_is_no_internal_ip_unless_a_person_says_so(
    monkeypatch: pytest.MonkeyPatch,
    addresses: list[tuple[str, str]],
    internal: list[str],
    sure: bool,
) -> None:
    on = tuple((device, ip_interface(text)) for device, text in addresses)
    machine = facts(0, addresses=on, bridges={"vmbr0": 1500})
    bare = replace(cluster(1), machines=(replace(cluster(1).machines[0], internal_ips=()),))
    monkeypatch.setattr(
        "tasks.discovery.sources.ssh.ask", lambda *_, **__: ({"worker-0": machine}, {})
    )
    (one,) = found("ssh", fleet=lambda: SimpleNamespace(cluster=bare))
    assert said(one, "internal_ip") == internal
    merged = combine([one], bare, {})
    assert {row.state for row in merged.rows} == {"new" if sure else "open"}
    new = replace(bare, pod_networks=())  # hosts.toml is to be written: ask once it is there
    (one,) = found("ssh", fleet=lambda: SimpleNamespace(cluster=new))
    assert all(value.sure for value in one.values)


# machines.txt


def test_machines_txt(tmp_path: Path) -> None:
    file = tmp_path / "machines.txt"
    file.write_text(
        "# the lab\n10.240.0.4 server.kubernetes.local server\n\n"
        "10.240.0.6 node-0.kubernetes.local node-0 10.200.0.0/24  # the first\n"
    )
    server, node = found("machines", file=file)
    assert (server.name, server.role) == ("server", "controller")
    assert [value.text for value in server.values] == ["10.240.0.4", "10.240.0.4"]
    assert (node.name, node.role) == ("node-0", "worker")
    assert said(node, "pod_cidr") == ["10.200.0.0/24"]
    assert node.values[0].place == "machines.txt:4"


def test_a_machines_txt_as_people_and_their_editors_write_it(tmp_path: Path) -> None:
    """Tabs, comments, the line ends of Windows and of a Mac, and no line end at all."""
    file = tmp_path / "machines.txt"
    line = "10.240.0.{0}\tw{0}.example\tw{0}\t10.200.{0}.0/24"
    ends = ("\r\n", " # one\r", "\n\t\r\n#\r\n", "")
    file.write_bytes("".join(line.format(n) + end for n, end in enumerate(ends, 1)).encode())
    machines = found("machines", file=file)
    assert [(one.name, one.role) for one in machines] == [(f"w{n}", "worker") for n in (1, 2, 3, 4)]


def test_a_machines_txt_without_subnets_does_not_tell_roles(tmp_path: Path) -> None:
    """Nothing in it tells a controller: with ssh too, the machines themselves say who has pods."""
    file = tmp_path / "machines.txt"
    names = ("worker10", "worker2", "server")
    file.write_text("".join(f"10.240.0.{n} {one}.x {one}\n" for n, one in enumerate(names, 1)))
    machines = found("machines", file=file)
    assert {one.role for one in machines} == {None}
    says = Found("worker2", "ssh", tuple(pod_cidrs("ssh", "10.200.2.0/24")))
    asked = [says, *(Found(name, "ssh") for name in ("worker10", "server"))]
    merged = combine([*machines, *asked], None, {}, ["server"])
    assert merged.roles == {"server": "controller", "worker2": "worker", "worker10": "worker"}
    assert merged.notes == (f"worker10: {NO_PODS}",)


def test_the_place_of_a_value_can_be_printed(tmp_path: Path) -> None:
    file = tmp_path / "\x1b[31m.txt"
    file.write_text("10.240.0.4 server.kubernetes.local server\n")
    (server,) = found("machines", file=file)
    assert {value.place for value in server.values} == {"?[31m.txt:1"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("10.0.0.1 node-0", "machines.txt:1: must be IPV4_ADDRESS FQDN HOSTNAME [POD_SUBNET]"),
        (
            "# x\n10.0.0 a.b a",
            "machines.txt:2: Expected 4 octets in '10.0.0'",
        ),
        (
            "10.0.0.1 a.b a 10.200.0.0/99",
            "machines.txt:1: '99' is not a valid netmask",
        ),
        ("\udcff", "{file}: not UTF-8; save it as UTF-8"),
        (None, "{file}: cannot be read: No such file or directory; name another with --file"),
    ],
)
def test_a_machines_txt_that_cannot_be_used(tmp_path: Path, text: str | None, line: str) -> None:
    file = tmp_path / "machines.txt"
    if text is not None:
        file.write_bytes(text.encode(errors="surrogateescape"))
    assert stopped("machines", file=file) == line.format(file=file)


@pytest.mark.parametrize("kind", ["a pipe", "a device", "huge"])
def test_a_machines_txt_that_is_no_file_of_a_person(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "machines.txt"
    if kind == "a pipe":
        os.mkfifo(file)
    elif kind == "a device":
        file.symlink_to("/dev/zero")
    else:
        file.touch()
        os.truncate(file, 1 << 40)
    assert stopped("machines", file=file).startswith(f"{file}: cannot be read: ")


# Their names


def test_sources_are_the_files_that_there_are() -> None:
    assert sources.names() == ["aws", "doctl", "hcloud", "kubectl", "machines", "ssh", "vultr"]
    assert sources.chosen("vultr, ssh,vultr") == ["vultr", "ssh"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [("vulter", "did you mean vultr?"), ("zzz", "choose from aws"), (",", "choose from aws")],
)
def test_a_source_that_does_not_exist(text: str, hint: str) -> None:
    with pytest.raises(Stop, match=hint):
        sources.chosen(text)
