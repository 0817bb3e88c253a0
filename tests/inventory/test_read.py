import datetime
import json
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.common.errors import Status, Stop
from tasks.common.values import Network
from tasks.inventory.model import Bgp, Cluster, Machine, ProviderNetwork, Router, Ssh
from tasks.inventory.read import read
from tests.paths import PROJECT

HOSTS = Path("hosts.toml")
CLUSTER = '[cluster]\npod_networks = ["10.200.0.0/16", "fd00:200::/48"]\n'


def machine(table: str, name: str, *lines: str) -> str:
    """A machine with a public IP of its own, named after it, and further lines of TOML."""
    return "\n".join([f"[[{table}]]", f'name = "{name}"', f'public_ip = "{name}.test"', *lines, ""])


def worker(number: int, *lines: str) -> str:
    return machine("workers", f"worker-{number}", *lines)


def controller(number: int, *lines: str) -> str:
    return machine("controllers", f"controller-{number}", *lines)


@pytest.fixture(autouse=True)
def in_directory_of_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stopped(text: str) -> list[str]:
    """The lines of the message with which the file is refused."""
    HOSTS.write_text(text)
    with pytest.raises(Stop) as stop:
        read(HOSTS)
    assert stop.value.code == Status.ERROR
    return str(stop.value).splitlines()


def mistakes(text: str) -> list[str]:
    """The mistakes in the file, one a line, after checking the line that counts them."""
    head, *lines = stopped(text)
    assert head == f"hosts.toml: {len(lines)} mistake{'s' if len(lines) > 1 else ''}"
    assert all(line.startswith("  ") for line in lines)
    return [line[2:] for line in lines]


def test_whole_file() -> None:
    Path("id").touch()
    HOSTS.write_text(
        """
        [cluster]
        pod_networks = ["10.200.0.0/16", "fd00:200::/48"]
        node_networks = ["10.240.0.0/24", "fd00:240::/64"]

        [ssh]
        user = "ubuntu"
        key_file = "id"
        host_keys = "strict"
        port = 2222

        [[controllers]]
        name = "controller-0"
        public_ip = "2001:DB8::20"
        internal_ip = ["10.240.0.20"]

        [[workers]]
        name = "worker-0"
        public_ip = "203.0.113.10"
        internal_ip = ["10.240.0.6", "fd00:240::6"]
        pod_cidr = ["10.200.0.0/24", "fd00:200:0:0::/64"]

        [[workers]]
        name = "worker_1.example"
        public_ip = "worker-1.Example.com"
        """
    )
    assert read(HOSTS) == Cluster(
        path=HOSTS,
        pod_networks=(IPv4Network("10.200.0.0/16"), IPv6Network("fd00:200::/48")),
        node_networks=(IPv4Network("10.240.0.0/24"), IPv6Network("fd00:240::/64")),
        ssh=Ssh("ubuntu", 2222, Path("id"), "strict", Path("known_hosts")),
        machines=(
            Machine(
                "worker-0",
                "worker",
                "203.0.113.10",
                (IPv4Address("10.240.0.6"), IPv6Address("fd00:240::6")),
                (IPv4Network("10.200.0.0/24"), IPv6Network("fd00:200::/64")),
            ),
            Machine("worker_1.example", "worker", "worker-1.Example.com"),
            Machine("controller-0", "controller", "2001:db8::20", (IPv4Address("10.240.0.20"),)),
        ),
    )


def test_least_file_and_its_defaults() -> None:
    HOSTS.write_text(CLUSTER + worker(0))
    cluster = read(HOSTS)
    assert cluster.machines == (Machine("worker-0", "worker", "worker-0.test"),)
    assert cluster.node_networks == ()
    assert cluster.ssh == Ssh(None, None, None, "accept-new", Path("known_hosts"))


def test_example_file() -> None:
    cluster = read(PROJECT / "hosts.toml", with_key=False)
    assert [str(cidr) for machine in cluster.workers for cidr in machine.pod_cidrs] == [
        "10.200.0.0/24",
        "10.200.1.0/24",
        "10.200.2.0/24",
    ]


def test_byte_order_mark() -> None:
    HOSTS.write_text("\ufeff" + CLUSTER + worker(0))
    assert len(read(HOSTS).workers) == 1


@pytest.mark.parametrize(
    "text",
    [
        worker(0, 'public_ip = "10.0.0.1"', 'internal_ip = "10.0.0.1"').replace(
            'public_ip = "worker-0.test"\n', ""
        ),
        worker(0, 'internal_ip = ["10.0.0.1", "fd00::1"]', 'pod_cidr = "10.200.0.0/24"'),
        worker(0, 'pod_cidr = "10.200.0.0/25"') + worker(1, 'pod_cidr = "10.200.0.128/25"'),
        worker(0, 'pod_cidr = "10.200.0.0/16"') + worker(1),
        worker(0, 'internal_ip = "10.200.1.0"', 'pod_cidr = "10.200.0.0/24"'),
        "[ssh]\nport = 65535\n" + worker(0),
        "[ssh]\nport = 1\n" + worker(0),
        worker(0) + controller(0, 'internal_ip = "10.0.0.1"'),
    ],
    ids=[
        "its own public and internal",
        "more internal families than pod families",
        "pod CIDRs side by side",
        "pod CIDR is the whole pod network",
        "address beside a pod CIDR",
        "greatest port",
        "least port",
        "controller in one family",
    ],
)
def test_what_is_no_mistake(text: str) -> None:
    HOSTS.write_text(CLUSTER + text)
    assert read(HOSTS).workers


NAME_RULE = 'up to 253 letters, digits, ".", "-" and "_", beginning with a letter or digit'
ONE_EACH = ", or a list of one per address family, not "
KNOWN = "known are name, public_ip, internal_ip, pod_cidr"

# A field of the only worker, its value in TOML, and what is said of it.
VALUES = [
    ("name", "7", f"must be {NAME_RULE}, not 7"),
    ("name", '"w\\u001b[31m"', f'must be {NAME_RULE}, not "w\\u001b[31m"'),
    ("name", '"w\\n"', f'must be {NAME_RULE}, not "w\\n"'),
    ("name", '"-rf"', f'must be {NAME_RULE}, not "-rf"'),
    ("name", '"wörker"', f'must be {NAME_RULE}, not "w\\u00f6rker"'),
    ("public_ip", "7", "must be a string, not 7"),
    ("public_ip", "true", "must be a string, not true"),
    ("public_ip", "2026-01-01", "must be a string, not a value of another kind"),
    ("public_ip", '["10.0.0.1"]', "must be a string, not a list"),
    ("public_ip", '""', '"" is not an address: Address cannot be empty'),
    (
        "public_ip",
        '"203.0.113.256"',
        "\"203.0.113.256\" is not an address: Octet 256 (> 255) not permitted in '203.0.113.256'",
    ),
    (
        "public_ip",
        '"203.0.113.010"',
        '"203.0.113.010" is not an address: '
        "Leading zeros are not permitted in '010' in '203.0.113.010'",
    ),
    (
        "public_ip",
        '"root@host"',
        '"root@host" is neither an address nor a host name; user and port go into [ssh]',
    ),
    (
        "public_ip",
        '"203.0.113.10:22"',
        '"203.0.113.10:22" is neither an address nor a host name; user and port go into [ssh]',
    ),
    (
        "public_ip",
        '"-oProxyCommand=x"',
        '"-oProxyCommand=x" is neither an address nor a host name; user and port go into [ssh]',
    ),
    (
        "public_ip",
        '"worker..example.com"',
        '"worker..example.com" is neither an address nor a host name; user and port go into [ssh]',
    ),
    (
        "public_ip",
        f'"{"w" * 64}.example.com"',
        f'"{"w" * 64}.example.com" is neither an address nor a host name;'
        " user and port go into [ssh]",
    ),
    ("public_ip", '"0.0.0.0"', "0.0.0.0 is unspecified; give one that other machines can reach"),
    ("internal_ip", "7", "must be an address" + ONE_EACH + "7"),
    ("internal_ip", "[]", "must be an address" + ONE_EACH + "an empty list"),
    ("internal_ip", "{a = 1}", "must be an address" + ONE_EACH + "a table"),
    ("internal_ip", "[7]", "must be a string, not 7"),
    (
        "internal_ip",
        '"10.240.0.6/24"',
        "\"10.240.0.6/24\" is not an address: Unexpected '/' in '10.240.0.6/24'",
    ),
    (
        "internal_ip",
        '"node\\u001b"',
        "\"node\\u001b\" is not an address: Expected 4 octets in 'node\\x1b'",
    ),
    (
        "internal_ip",
        '"fe80::1%eth0"',
        '"fe80::1%eth0" names an interface; give an address without one',
    ),
    ("internal_ip", '"fe80::1"', "fe80::1 is link-local; give one that other machines can reach"),
    (
        "internal_ip",
        '"169.254.0.1"',
        "169.254.0.1 is link-local; give one that other machines can reach",
    ),
    (
        "internal_ip",
        '"127.0.0.1"',
        "127.0.0.1 is loopback; give one that other machines can reach",
    ),
    ("internal_ip", '"::1"', "::1 is loopback; give one that other machines can reach"),
    (
        "internal_ip",
        '"224.0.0.1"',
        "224.0.0.1 is multicast; give one that other machines can reach",
    ),
    ("internal_ip", '"ff02::1"', "ff02::1 is multicast; give one that other machines can reach"),
    ("internal_ip", '"::"', ":: is unspecified; give one that other machines can reach"),
    (
        "internal_ip",
        '"::ffff:10.240.0.6"',
        "::ffff:10.240.0.6 is an IPv4-mapped address; write 10.240.0.6",
    ),
    (
        "internal_ip",
        '["10.240.0.6", "10.240.0.7"]',
        "10.240.0.6, 10.240.0.7 are all IPv4; keep one",
    ),
    (
        "internal_ip",
        '["fd00::1", "10.240.0.6", "fd00::2"]',
        "fd00::1, fd00::2 are all IPv6; keep one",
    ),
    ("pod_cidr", "7", "must be a CIDR" + ONE_EACH + "7"),
    ("pod_cidr", "[7]", "must be a string, not 7"),
    ("pod_cidr", '"10.200.1.0"', '"10.200.1.0" is not a CIDR such as "10.200.0.0/24"'),
    (
        "pod_cidr",
        '"10.200.1.0/33"',
        "\"10.200.1.0/33\" is not a CIDR: '33' is not a valid netmask",
    ),
    (
        "pod_cidr",
        '"10.200.01.0/24"',
        "\"10.200.01.0/24\" is not a CIDR: Leading zeros are not permitted in '01' in "
        "'10.200.01.0'",
    ),
    (
        "pod_cidr",
        '"10.200.1.5/24"',
        "10.200.1.5/24 has host bits set; the network is 10.200.1.0/24",
    ),
    (
        "pod_cidr",
        '"fd00:200::1/64"',
        "fd00:200::1/64 has host bits set; the network is fd00:200::/64",
    ),
    (
        "pod_cidr",
        '"fe80::%eth0/64"',
        '"fe80::%eth0/64" is not a CIDR such as "10.200.0.0/24"',
    ),
    ("pod_cidr", '"10.201.0.0/24"', "10.201.0.0/24 is outside pod_networks; correct one"),
    ("pod_cidr", '"10.200.0.0/15"', "10.200.0.0/15 is outside pod_networks; correct one"),
    (
        "pod_cidr",
        '["10.200.0.0/24", "10.200.0.0/25"]',
        "10.200.0.0/24, 10.200.0.0/25 are all IPv4; keep one",
    ),
]


@pytest.mark.parametrize(("field", "value", "message"), VALUES)
def test_value(field: str, value: str, message: str) -> None:
    fields = {"name": '"worker-0"', "public_ip": '"a.test"', field: value}
    table = "\n".join(f"{key} = {given}" for key, given in fields.items())
    place = "workers[0]" if field == "name" else "worker-0"
    assert mistakes(f"{CLUSTER}[[workers]]\n{table}\n") == [f"{place}: {field}: {message}"]


# Tables after a right [cluster], and all that is said of them.
MACHINES = {
    "no name": (
        '[[workers]]\npublic_ip = "a"',
        [f"workers[0]: name: missing; must be {NAME_RULE}"],
    ),
    "no public_ip": (
        '[[workers]]\nname = "worker-0"',
        ["worker-0: public_ip: missing; must be an address or a host name"],
    ),
    "unknown key": (
        worker(0) + worker(1, 'pod_cdir = "hunter2"'),
        ['worker-1: unknown key "pod_cdir"; did you mean "pod_cidr"?'],
    ),
    "unknown key like none": (
        worker(0, 'colour = "hunter2"'),
        [f'worker-0: unknown key "colour"; {KNOWN}'],
    ),
    "unknown key, hostile": (
        worker(0, '"\\u001b[31m" = "hunter2"'),
        [f'worker-0: unknown key "\\u001b[31m"; {KNOWN}'],
    ),
    "required key misspelt": (
        '[[workers]]\nname = "worker-0"\npublic_op = "a"',
        ['worker-0: unknown key "public_op"; did you mean "public_ip"?'],
    ),
    "pod_cidr of a controller": (
        worker(0) + controller(0, 'pod_cidr = "10.200.7.0/24"'),
        [
            "controller-0: pod_cidr: a machine that owns a pod CIDR is a worker here: "
            "move it to [[workers]]"
        ],
    ),
    "unknown key of a controller": (
        worker(0) + controller(0, 'colour = "hunter2"'),
        ['controller-0: unknown key "colour"; known are name, public_ip, internal_ip'],
    ),
    "name twice": (
        worker(0) + '[[workers]]\nname = "worker-0"\npublic_ip = "b"',
        ["workers[1]: name: worker-0 is the name of workers[0] too"],
    ),
    "name of a controller too": (
        worker(0) + '[[controllers]]\nname = "worker-0"\npublic_ip = "b"',
        ["controllers[0]: name: worker-0 is the name of workers[0] too"],
    ),
    "public_ip twice": (
        '[[workers]]\nname = "a"\npublic_ip = "2001:db8::1"\n'
        '[[controllers]]\nname = "b"\npublic_ip = "2001:DB8:0::1"\n',
        ["b: public_ip: 2001:db8::1 is the public_ip of a too"],
    ),
    "host name twice": (
        worker(0) + '[[workers]]\nname = "a"\npublic_ip = "Worker-0.test"\n',
        ["a: public_ip: worker-0.test is the public_ip of worker-0 too"],
    ),
    "internal_ip twice": (
        worker(0, 'internal_ip = "10.0.0.1"') + controller(0, 'internal_ip = "10.0.0.1"'),
        ["controller-0: internal_ip: 10.0.0.1 is the internal_ip of worker-0 too"],
    ),
    "public_ip of one, internal_ip of another": (
        '[[workers]]\nname = "a"\npublic_ip = "10.0.0.1"\n' + worker(0, 'internal_ip = "10.0.0.1"'),
        ["worker-0: internal_ip: 10.0.0.1 is the public_ip of a too"],
    ),
    "pod_cidr twice": (
        worker(0, 'pod_cidr = "10.200.0.0/24"') + worker(1, 'pod_cidr = "10.200.0.0/24"'),
        [
            "worker-1: pod_cidr: 10.200.0.0/24 overlaps 10.200.0.0/24 of worker-0; "
            "every worker has a range of its own"
        ],
    ),
    "narrow pod_cidr in a wide one": (
        worker(0, 'pod_cidr = "10.200.4.0/22"')
        + worker(1, 'pod_cidr = "10.200.0.0/24"')
        + worker(2, 'pod_cidr = "10.200.7.128/25"'),
        [
            "worker-2: pod_cidr: 10.200.7.128/25 overlaps 10.200.4.0/22 of worker-0; "
            "every worker has a range of its own"
        ],
    ),
    "wide pod_cidr around two": (
        worker(0, 'pod_cidr = "fd00:200:0:1::/64"')
        + worker(1, 'pod_cidr = "fd00:200:0:2::/64"')
        + worker(2, 'pod_cidr = "fd00:200::/60"'),
        [
            "worker-2: pod_cidr: fd00:200::/60 overlaps fd00:200:0:1::/64 of worker-0; "
            "every worker has a range of its own",
            "worker-2: pod_cidr: fd00:200::/60 overlaps fd00:200:0:2::/64 of worker-1; "
            "every worker has a range of its own",
        ],
    ),
    "internal_ip inside a pod_cidr": (
        worker(0, 'internal_ip = "10.200.1.255"')
        + worker(1, 'pod_cidr = "10.200.1.0/24"')
        + controller(0, 'internal_ip = "10.200.1.0"'),
        [
            "worker-0: internal_ip: 10.200.1.255 is inside 10.200.1.0/24, pod_cidr of worker-1",
            "controller-0: internal_ip: 10.200.1.0 is inside 10.200.1.0/24, pod_cidr of worker-1",
        ],
    ),
    "internal_ip inside its own pod_cidr": (
        worker(0, 'internal_ip = "10.200.1.1"', 'pod_cidr = "10.200.1.1/32"'),
        ["worker-0: internal_ip: 10.200.1.1 is inside 10.200.1.1/32, pod_cidr of worker-0"],
    ),
    "public_ip inside a pod_cidr": (
        '[[workers]]\nname = "a"\npublic_ip = "fd00:200::9"\n'
        + worker(0, 'pod_cidr = "fd00:200::/64"'),
        ["a: public_ip: fd00:200::9 is inside fd00:200::/64, pod_cidr of worker-0"],
    ),
    "no internal_ip of its pod_cidr's family": (
        worker(0, 'internal_ip = "10.0.0.1"', 'pod_cidr = "fd00:200::/64"'),
        ["worker-0: internal_ip: no IPv6 address; add the one that is next hop to its IPv6 pods"],
    ),
    "dual stack and IPv4 only": (
        worker(0, 'pod_cidr = "10.200.0.0/24"')
        + worker(1, 'pod_cidr = ["10.200.1.0/24", "fd00:200:0:1::/64"]')
        + worker(2),
        [
            "worker-0: pod_cidr: no IPv6 network, but worker-1 has one; "
            "all workers need the same families"
        ],
    ),
    "IPv4 only and IPv6 only": (
        worker(0, 'pod_cidr = "10.200.0.0/24"', 'internal_ip = "10.0.0.1"')
        + worker(1, 'pod_cidr = "fd00:200:0:1::/64"'),
        [
            "worker-0: pod_cidr: no IPv6 network, but worker-1 has one; "
            "all workers need the same families",
            "worker-0: internal_ip: no IPv6 address; add the one that is next hop to its IPv6 pods",
            "worker-1: pod_cidr: no IPv4 network, but worker-0 has one; "
            "all workers need the same families",
        ],
    ),
}


@pytest.mark.parametrize(("text", "messages"), MACHINES.values(), ids=MACHINES)
def test_machines(text: str, messages: list[str]) -> None:
    assert mistakes(CLUSTER + text) == messages


CIDRS = 'a list of CIDRs such as ["10.200.0.0/16"]'
PER_WORKER = "one [[workers]] table, in double brackets, for each worker"

# Files without one right worker or [cluster], or with more than those.
TABLES = {
    "nothing": (
        "",
        [
            "cluster: missing; must be a [cluster] table with pod_networks",
            f"workers: missing; must be {PER_WORKER}",
        ],
    ),
    "no workers": (CLUSTER, [f"workers: missing; must be {PER_WORKER}"]),
    "empty workers": (
        "workers = []\n" + CLUSTER,
        [f"workers: must be {PER_WORKER}, not an empty list"],
    ),
    "single brackets": (
        CLUSTER + '[workers]\nname = "worker-0"\n',
        [f"workers: must be {PER_WORKER}, not a table"],
    ),
    "[[worker]]": (
        CLUSTER + worker(0).replace("workers", "worker"),
        ['unknown key "worker"; did you mean "workers"?'],
    ),
    "workers that are no tables": (
        'workers = [7, "worker-1"]\n' + CLUSTER,
        ["workers[0]: must be a table, not 7", 'workers[1]: must be a table, not "worker-1"'],
    ),
    "controllers in single brackets": (
        CLUSTER + worker(0) + "[controllers]\n",
        [
            "controllers: must be one [[controllers]] table, in double brackets, "
            "for each controller, not a table"
        ],
    ),
    "unknown table": (
        CLUSTER + worker(0) + '[provider]\napi_key = "hunter2"\n',
        ['unknown key "provider"; known are cluster, network, ssh, bgp, workers, controllers'],
    ),
    "cluster is a list": ("[[cluster]]\n" + worker(0), ["cluster: must be a table, not a list"]),
    "ssh is a string": (
        'ssh = "root"\n' + CLUSTER + worker(0),
        ['ssh: must be a table, not "root"'],
    ),
    "no pod_networks": (
        "[cluster]\n" + worker(0),
        [f"cluster: pod_networks: missing; must be {CIDRS}"],
    ),
    "empty pod_networks": (
        "[cluster]\npod_networks = []\n" + worker(0),
        [f"cluster: pod_networks: must be {CIDRS}, not an empty list"],
    ),
    "pod_networks is a string": (
        '[cluster]\npod_networks = "10.200.0.0/16"\n' + worker(0),
        [f'cluster: pod_networks: must be {CIDRS}, not "10.200.0.0/16"'],
    ),
    "pod_network": (
        '[cluster]\npod_network = ["10.200.0.0/16"]\n' + worker(0),
        ['cluster: unknown key "pod_network"; did you mean "pod_networks"?'],
    ),
    "pod_cidr of the cluster": (
        CLUSTER + 'pod_cidr = "10.200.0.0/16"\n' + worker(0),
        [
            'cluster: unknown key "pod_cidr";'
            " known are pod_networks, node_networks, persist, routing"
        ],
    ),
    "persist": (
        CLUSTER + 'persist = "networkd"\n' + worker(0),
        ['cluster: persist: must be "none" or "auto", not "networkd"'],
    ),
    "wrong pod_networks, to which no pod_cidr is compared": (
        "[cluster]\npod_networks = [7]\n" + worker(0, 'pod_cidr = "10.200.0.0/24"'),
        ["cluster: pod_networks: must be a string, not 7"],
    ),
    "each wrong entry of a list": (
        '[cluster]\npod_networks = ["10.200.0.1/16", "10.201.0.0/16", "10.202.0.1/16"]\n'
        + worker(0),
        [
            "cluster: pod_networks: 10.200.0.1/16 has host bits set; the network is 10.200.0.0/16",
            "cluster: pod_networks: 10.202.0.1/16 has host bits set; the network is 10.202.0.0/16",
        ],
    ),
    "pod_networks without bounds": (
        '[cluster]\npod_networks = ["0.0.0.0/0", "10.200.0.0/16", "::/0"]\n'
        'node_networks = ["10.240.0.0/24"]\n' + worker(0, 'pod_cidr = "10.200.0.0/24"'),
        [
            "cluster: pod_networks: 0.0.0.0/0 is every address; name those of pods only",
            "cluster: pod_networks: ::/0 is every address; name those of pods only",
        ],
    ),
    "overlapping pod_networks": (
        '[cluster]\npod_networks = ["10.200.128.0/17", "10.200.0.0/16", "10.201.0.0/16"]\n'
        + worker(0),
        ["cluster: pod_networks: 10.200.128.0/17 overlaps 10.200.0.0/16; one entry is enough"],
    ),
    "node_networks among pod_networks": (
        '[cluster]\npod_networks = ["10.200.0.0/16", "10.240.7.0/24"]\n'
        'node_networks = ["10.240.0.0/16", "10.200.9.0/24", "10.241.0.0/16"]\n' + worker(0),
        [
            f"cluster: node_networks: {nodes} overlaps {pods} of pod_networks; "
            "no address can be both a node's and a pod's"
            for nodes, pods in (
                ("10.240.0.0/16", "10.240.7.0/24"),
                ("10.200.9.0/24", "10.200.0.0/16"),
            )
        ],
    ),
    "internal_ip outside node_networks": (
        CLUSTER
        + 'node_networks = ["10.240.0.0/24"]\n'
        + worker(0, 'internal_ip = ["10.241.0.1", "fd00::1"]')
        + controller(0, 'internal_ip = "10.242.0.1"'),
        [
            "worker-0: internal_ip: 10.241.0.1 is outside node_networks; correct one",
            "controller-0: internal_ip: 10.242.0.1 is outside node_networks; correct one",
        ],
    ),
}


@pytest.mark.parametrize(("text", "messages"), TABLES.values(), ids=TABLES)
def test_tables(text: str, messages: list[str]) -> None:
    assert mistakes(text) == messages


KEY_ADVICE = (
    "name a private key, make one with ssh-keygen -f {0}, "
    "or leave key_file out to use your own keys"
)
NOT_A_KEY = "key_file: must be the name of a private key file, not the key itself"
SSH = [
    ("prot = 22", 'unknown key "prot"; did you mean "port"?'),
    ("port = 0", "port: must be a number from 1 to 65535, not 0"),
    ("port = 65536", "port: must be a number from 1 to 65535, not 65536"),
    ("port = 22.0", "port: must be a number from 1 to 65535, not 22.0"),
    ("port = true", "port: must be a number from 1 to 65535, not true"),
    ('port = "22"', 'port: must be a number from 1 to 65535, not "22"'),
    (
        f"port = 0x{'f' * 5000}",
        "port: must be a number from 1 to 65535, not a value of another kind",
    ),
    ('host_keys = "no"', 'host_keys: must be "strict", "accept-new" or "off", not "no"'),
    ("host_keys = false", 'host_keys: must be "strict", "accept-new" or "off", not false'),
    ('user = ""', 'user: must be a login name such as "root", not ""'),
    ('user = "-l"', 'user: must be a login name such as "root", not "-l"'),
    ("user = 0", 'user: must be a login name such as "root", not 0'),
    ("key_file = 0", "key_file: must be a string, not 0"),
    ('key_file = ""', NOT_A_KEY),
    ('key_file = "-----BEGIN OPENSSH PRIVATE KEY----- hunter2"', NOT_A_KEY),
    ('key_file = "hunter2\\n"', NOT_A_KEY),
    (
        'key_file = "~no.such.user/id"',
        'key_file: "~no.such.user/id" names an unknown user; write the whole path',
    ),
    (
        'key_file = "keys/id"',
        "key_file: keys/id cannot be used (No such file or directory); "
        + KEY_ADVICE.format("keys/id"),
    ),
    ('key_file = "."', "key_file: . cannot be used (Is a directory); " + KEY_ADVICE.format(".")),
    (
        'key_file = "/dev/zero"',
        "key_file: /dev/zero cannot be used (not a file but a device or a pipe); "
        + KEY_ADVICE.format("/dev/zero"),
    ),
]


@pytest.mark.parametrize(("line", "message"), SSH)
def test_ssh(line: str, message: str) -> None:
    assert mistakes(f"[ssh]\n{line}\n{CLUSTER}{worker(0)}") == [f"ssh: {message}"]


def networked(*lines: str, pods: str = '"10.200.0.0/16"') -> str:
    """A file with a provider's network of these lines."""
    return "\n".join(["[cluster]", f"pod_networks = [{pods}]", "[network]", *lines, worker(0)])


def test_a_providers_network() -> None:
    HOSTS.write_text(networked('provider = "hetzner"', 'name = "kubernetes"'))
    assert read(HOSTS).network == ProviderNetwork("hetzner", "kubernetes")
    HOSTS.write_text(CLUSTER + worker(0))
    assert read(HOSTS).network is None


@pytest.mark.parametrize(
    ("lines", "pods", "messages"),
    [
        (
            [],
            '"10.200.0.0/16"',
            [
                'provider: missing; must be "hetzner" or "aws"',
                "name: missing; must be the network's name",
            ],
        ),
        (['provider = "vultr"'], '"10.200.0.0/16"', ['not "vultr"']),
        (['provider = "aws"', 'name = "--debug"'], '"10.200.0.0/16"', ['not "--debug"']),
        (['provider = "aws"', "name = 3"], '"10.200.0.0/16"', ["not 3"]),
        (
            ['provider = "hetzner"', 'name = "a"', 'token = "fa1rly-secret"'],
            '"10.200.0.0/16"',
            ['unknown key "token"; known are provider, name'],
        ),
        (
            ['provider = "hetzner"', 'name = "a"'],
            '"10.200.0.0/16", "fd00::/48"',
            ["only IPv4 pod CIDRs can be routes of a provider's network here"],
        ),
    ],
)
def test_a_providers_network_with_mistakes(
    lines: list[str], pods: str, messages: list[str]
) -> None:
    found = [line for line in mistakes(networked(*lines, pods=pods)) if "network: " in line]
    assert all(any(message in line for line in found) for message in messages), found
    assert "fa1rly-secret" not in "".join(found)


def test_key_file_is_beside_the_inventory_or_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "elsewhere" / "cluster.toml"
    path.parent.mkdir()
    for key_file, found in (
        ("id", tmp_path / "elsewhere" / "id"),
        ("~/id", tmp_path / "home" / "id"),
        ("/keys/id", Path("/keys/id")),
    ):
        path.write_text(f'[ssh]\nkey_file = "{key_file}"\n{CLUSTER}{worker(0)}')
        cluster = read(path, with_key=False)
        assert cluster.ssh.key_file == found
        assert cluster.ssh.known_hosts == tmp_path / "elsewhere" / "known_hosts"
        with pytest.raises(Stop, match=r"1 mistake\n  ssh: key_file: .* cannot be used"):
            read(path)


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    text = (
        "[ssh]\nport = 0\n"
        + CLUSTER
        + 'node_networks = ["10.240.0.1/24"]\n'
        + controller(0, 'internal_ip = "10.200.2.9"')
        + worker(0, 'pod_cidr = "10.200.0.0/24"', "internal_ip = 7")
        + worker(1, 'pod_cdir = "10.200.1.0/24"')
        + worker(2, 'pod_cidr = "10.200.2.0/24"', 'colour = "red"')
        + worker(2, 'pod_cidr = "10.200.2.128/25"').replace("test", "example")
    )
    assert stopped(text) == [
        "hosts.toml: 8 mistakes",
        "  cluster: node_networks: 10.240.0.1/24 has host bits set; the network is 10.240.0.0/24",
        "  ssh: port: must be a number from 1 to 65535, not 0",
        "  worker-0: internal_ip: must be an address" + ONE_EACH + "7",
        '  worker-1: unknown key "pod_cdir"; did you mean "pod_cidr"?',
        f'  workers[2]: unknown key "colour"; {KNOWN}',
        "  workers[3]: name: worker-2 is the name of workers[2] too",
        "  workers[3]: pod_cidr: 10.200.2.128/25 overlaps 10.200.2.0/24 of workers[2]; "
        "every worker has a range of its own",
        "  controller-0: internal_ip: 10.200.2.9 is inside 10.200.2.0/24, pod_cidr of workers[2]",
    ]


NAME_ANOTHER = (
    "; name another file with --inventory PATH or FABRIC_INVENTORY=PATH, "
    "or begin with a copy of the example hosts.toml"
)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.toml", "nowhere.toml: cannot be read: No such file or directory"),
        (".", ".: cannot be read: Is a directory"),
        ("file/hosts.toml", "file/hosts.toml: cannot be read: Not a directory"),
    ],
)
def test_no_file(path: str, message: str) -> None:
    Path("file").touch()
    with pytest.raises(Stop) as stop:
        read(Path(path))
    assert str(stop.value) == message + NAME_ANOTHER


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[cluster]\npod_networks =", "not TOML: Invalid value (at end of document)"),
        (
            b"[cluster]\nname: x\n",
            "not TOML: Expected '=' after a key in a key/value pair (at line 2, column 5): name: x",
        ),
        (b"a = 1\na = 2\n", "not TOML: Cannot overwrite a value (at line 2, column 6)"),
        (b"[ssh]\npassword = hunter2", "not TOML: Invalid value (at line 2, column 12)"),
        (b"ssh = { password = hunter2 }", "not TOML: Invalid value (at line 1, column 20)"),
        (b"key_file = -----BEGIN PRIVATE KEY", "not TOML: Invalid value (at line 1, column 12)"),
        (
            b"port = 22\nport = 23\n",
            "not TOML: Cannot overwrite a value (at line 2, column 10): port = 23",
        ),
        (b"\x1b[31m", "not TOML: Invalid statement (at line 1, column 1)"),
        (b"[cluster]\n# K\xf6ln\n", "not UTF-8 (at line 2); save it as UTF-8"),
    ],
)
def test_not_toml(content: bytes, message: str) -> None:
    HOSTS.write_bytes(content)
    with pytest.raises(Stop) as stop:
        read(HOSTS)
    assert str(stop.value) == f"hosts.toml: {message}"


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, f"a = {'9' * 5000}"])
def test_toml_beyond_what_python_reads(text: str) -> None:
    (line,) = stopped(text)
    assert line.startswith("hosts.toml: not TOML: ")


def test_values_of_unknown_keys_are_not_shown() -> None:
    line = 'default = { password = "hunter2", keys = ["hunter2"] }'
    text = f"{line}\n{CLUSTER}{line}\n[ssh]\n{line}\n{worker(0, line)}{controller(0, line)}"
    lines = mistakes(text)
    assert len(lines) == 5
    assert "hunter2" not in "".join(lines)


def test_five_hundred_workers_take_less_than_a_second() -> None:
    text = "".join(
        worker(
            i,
            f'internal_ip = ["10.240.{i // 250}.{i % 250}", "fd00:240::{i:x}:1"]',
            f'pod_cidr = ["10.{200 + i // 250}.{i % 250}.0/24", "fd00:200:0:{i:x}::/64"]',
        )
        for i in range(500)
    )
    HOSTS.write_text('[cluster]\npod_networks = ["10.128.0.0/9", "fd00:200::/48"]\n' + text)
    began = time.process_time()
    assert len(read(HOSTS).workers) == 500
    assert time.process_time() - began < 1


# Whatever the file holds. Quoted as JSON, ASCII strings are TOML too.


def toml(value: object) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value) if isinstance(value, datetime.date) else json.dumps(value)


def document(tables: dict[str, object]) -> str:
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in tables.items())


def as_toml(cluster: Cluster) -> str:
    """A hosts.toml that describes the cluster."""
    ssh = cluster.ssh
    login = {"user": ssh.user, "port": ssh.port, "host_keys": ssh.host_keys}
    if ssh.key_file:
        login["key_file"] = str(ssh.key_file)
    tables: dict[str, object] = {
        "cluster": {
            "pod_networks": [str(network) for network in cluster.pod_networks],
            "node_networks": [str(network) for network in cluster.node_networks],
            "persist": cluster.persist,
        },
        "ssh": {key: value for key, value in login.items() if value is not None},
    }
    for machine in cluster.machines:
        table: dict[str, object] = {"name": machine.name, "public_ip": machine.public_ip}
        for key, values in ("internal_ip", machine.internal_ips), ("pod_cidr", machine.pod_cidrs):
            if values:
                table[key] = [str(value) for value in values]
        same_role = tables.setdefault(f"{machine.role}s", [])
        assert isinstance(same_role, list)
        same_role.append(table)
    return document(tables)


POD_NETWORKS: dict[int, Network] = {
    4: IPv4Network("10.200.0.0/16"),
    6: IPv6Network("fd00:200::/48"),
}
NODE_NETWORKS: dict[int, Network] = {
    4: IPv4Network("10.240.0.0/24"),
    6: IPv6Network("fd00:240::/64"),
}
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,9}", fullmatch=True)
DOMAINS = st.from_regex(r"[a-z0-9_-]{1,5}(\.[A-Za-z0-9_-]{1,63})?\.?", fullmatch=True)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """Any right cluster of up to eight machines, in one family or both."""
    families = draw(st.permutations([4, 6]))[: draw(st.integers(1, 2))]
    names = draw(st.lists(NAMES, min_size=1, max_size=8, unique_by=str.lower))
    numbers = draw(st.permutations(range(1, len(names) + 1)))
    workers = draw(st.integers(1, len(names)))
    machines = []
    for i, (name, number) in enumerate(zip(names, numbers, strict=True)):
        host = f"n{number}.{draw(DOMAINS)}"
        public = draw(st.sampled_from([host, f"203.0.113.{number}", f"2001:db8::{number}"]))
        ips = tuple(NODE_NETWORKS[family][number] for family in families)
        cidrs = (
            IPv4Network((int(POD_NETWORKS[4][0]) + number * 256, 24)),
            IPv6Network((int(POD_NETWORKS[6][0]) + (number << 64), 64)),
        )
        machines.append(
            Machine(
                name,
                "worker" if i < workers else "controller",
                public,
                ips if draw(st.booleans()) else (),
                tuple(cidr for cidr in cidrs if cidr.version in families)
                if i < workers and draw(st.booleans())
                else (),
            )
        )
    return Cluster(
        path=HOSTS,
        pod_networks=tuple(POD_NETWORKS[family] for family in families),
        node_networks=tuple(NODE_NETWORKS[family] for family in families),
        persist=draw(st.sampled_from(["none", "auto"])),
        machines=tuple(machines),
        ssh=Ssh(
            draw(st.none() | st.sampled_from(["root", "DOMAIN\\user", "user@example.com"])),
            draw(st.none() | st.integers(1, 65535)),
            draw(st.none() | st.sampled_from([Path("id"), Path("/keys/my id")])),
            draw(st.sampled_from(["strict", "accept-new", "off"])),
            Path("known_hosts"),
        ),
    )


# The directory need not be fresh for each example: every example writes the whole file.
in_one_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@in_one_directory
@given(clusters())
def test_a_right_cluster_is_read_as_it_was_written(cluster: Cluster) -> None:
    HOSTS.write_text(as_toml(cluster))
    assert read(HOSTS, with_key=False) == cluster


def refused_or_read(content: bytes) -> None:
    """Read the file; if it is refused, then in a message that counts its lines and is safe."""
    HOSTS.write_bytes(content)
    try:
        read(HOSTS)
    except Stop as stop:
        head, *lines = str(stop).split("\n")
        assert all(line.isprintable() for line in [head, *lines])
        if lines:
            assert head.split()[1] == str(len(lines))


@in_one_directory
@given(st.binary() | st.text().map(str.encode))
def test_any_bytes(content: bytes) -> None:
    refused_or_read(content)


TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=20)
NEARLY_RIGHT = """
    10.200.0.0/24 10.200.0.5/24 0.0.0.0/0 fd00:200::/64 10.240.0.6 fd00:240::6 fe80::1%eth0
    worker-0 strict ~nobody.here/id . a\x00b
""".split()
FIELDS = """
    cluster ssh workers controllers pod_networks node_networks pod_network persist user port
    key_file host_keys name public_ip internal_ip pod_cidr routing bgp as_number reflectors peers
    password_file bfd address accept
""".split()
WORDS = TEXTS | st.sampled_from([*NEARLY_RIGHT, "x" * 5000])
KEYS = TEXTS | st.sampled_from(FIELDS)
SCALARS: st.SearchStrategy[object] = (
    WORDS
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.dates(min_value=datetime.date(1000, 1, 1))
)
ANYTHING: st.SearchStrategy[object] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5)
)


@in_one_directory
@given(st.dictionaries(KEYS, ANYTHING))
def test_any_tables(tables: dict[str, object]) -> None:
    refused_or_read(document(tables).encode())


def table_of(*keys: str) -> st.SearchStrategy[dict[str, object]]:
    """A table with some of these keys, or with any."""
    values = st.one_of(WORDS, st.lists(WORDS, max_size=3), ANYTHING)
    return st.dictionaries(st.one_of(st.sampled_from(keys), KEYS), values)


MACHINE = table_of("name", "public_ip", "internal_ip", "pod_cidr")


@in_one_directory
@given(
    table_of("pod_networks", "node_networks", "persist"),
    table_of("user", "port", "key_file", "host_keys"),
    st.lists(MACHINE, max_size=4),
    st.lists(MACHINE, max_size=2),
)
def test_any_values(cluster: object, ssh: object, workers: object, controllers: object) -> None:
    tables = {"cluster": cluster, "ssh": ssh, "workers": workers, "controllers": controllers}
    refused_or_read(document(tables).encode())


BGP = (
    CLUSTER + 'routing = "bgp"\n' + worker(0, 'internal_ip = "10.240.0.6"') + worker(1) + "[bgp]\n"
)


def test_bgp() -> None:
    HOSTS.write_text(
        BGP
        + """
        as_number = 65001
        reflectors = ["worker-0", "worker-1"]
        password_file = "secret"
        bfd = true
        port = 1179
        [[bgp.peers]]
        address = "10.240.0.1"
        as_number = 4200000000
        accept = ["192.0.2.0/24"]
        """
    )
    router = Router(IPv4Address("10.240.0.1"), 4200000000, (IPv4Network("192.0.2.0/24"),))
    assert read(HOSTS).bgp == Bgp(
        65001, ("worker-0", "worker-1"), Path("secret"), True, 1179, (router,)
    )
    HOSTS.write_text(CLUSTER + worker(0))
    assert read(HOSTS).bgp is None
    HOSTS.write_text(CLUSTER + 'routing = "bgp"\n' + worker(0))
    assert read(HOSTS).bgp == Bgp()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "as_number = 0",
            "bgp: as_number: must be a number from 1 to 4294967294;"
            " 64512 to 65534 are for private use, not 0",
        ),
        ('reflectors = ["worker-0", "x"]', 'bgp: reflectors: no machine has the name "x"'),
        (
            'reflectors = ["worker-0"]',
            "bgp: reflectors: a single one takes all routes with it when it fails;"
            " name two or three, or leave reflectors out",
        ),
        ('reflectors = ["worker-0", "worker-0"]', "bgp: reflectors: a name stands there twice"),
        (
            'password_file = "open"',
            "bgp: password_file: others can read open: chmod 600 open",
        ),
        (
            '[[bgp.peers]]\naddress = "10.200.0.1"\nas_number = 1',
            "bgp.peers[0]: address: 10.200.0.1 is inside pod_networks, where only pods are",
        ),
        (
            '[[bgp.peers]]\naddress = "10.240.0.6"\nas_number = 1',
            "bgp.peers[0]: address: 10.240.0.6 is worker-0, no router",
        ),
        (
            '[[bgp.peers]]\naddress = "10.240.0.1"\nas_number = 1\naccept = ["0.0.0.0/0"]',
            "bgp.peers[0]: accept: 0.0.0.0/0 is the default route, which stays as it is",
        ),
        (
            '[[bgp.peers]]\naddress = "10.240.0.1"\nas_number = 1\naccept = ["10.200.7.0/24"]',
            "bgp.peers[0]: accept: 10.200.7.0/24 overlaps pod_networks;"
            " routes to pods come from machines",
        ),
        ("peers = [1]", "bgp.peers[0]: must be a table, not 1"),
    ],
)
def test_mistakes_of_bgp(lines: str, message: str) -> None:
    Path("open").touch(0o644)
    assert mistakes(f"{BGP}{lines}\n") == [message]


def test_bgp_that_nothing_uses() -> None:
    assert mistakes(CLUSTER + worker(0) + "[bgp]\n") == [
        'bgp: is only used with routing = "bgp" in [cluster]; add that line'
    ]
