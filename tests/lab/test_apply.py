"""apply-routes and rollback on a twin, judged by the kernels' own tables."""

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.paths import FAB

from .conftest import Lab, MakeLab, tutorial
from .faults import CHANGES
from .kit import monitor, ok, on

NEXT_HOP = {"worker-0": "10.240.0.6", "worker-1": "10.240.0.7", "worker-2": "10.240.0.8"}
POD_CIDR = {"worker-0": "10.200.0.0/24", "worker-1": "10.200.1.0/24", "worker-2": "10.200.2.0/24"}

Tables = dict[str, list[str]]


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(tutorial())


def as_typed(protocol: str = "boot") -> Tables:
    """The routes that the tutorial's page has typed on each worker, as `ip -d` shows them."""
    return {
        name: [
            f"unicast {POD_CIDR[other]} via {NEXT_HOP[other]} dev enp6s0 table main"
            f" proto {protocol} scope global"
            for other in POD_CIDR
            if other != name
        ]
        for name in POD_CIDR
    }


def type_the_page(lab: Lab) -> None:
    """Do what the tutorial's page says."""
    for name in POD_CIDR:
        for other, pod_cidr in POD_CIDR.items():
            if other != name:
                on(lab, name, f"ip route add {pod_cidr} via {NEXT_HOP[other]}")


def with_routes(before: Tables, more: Tables) -> Tables:
    return {name: sorted([*lines, *more[name]]) for name, lines in before.items()}


def test_apply_gives_the_tables_of_the_page_and_rollback_those_from_before(lab: Lab) -> None:
    before = lab.tables()
    type_the_page(lab)
    typed = lab.tables()
    assert typed == with_routes(before, as_typed("boot"))
    for name in POD_CIDR:
        on(lab, name, "ip route flush proto boot root 10.200.0.0/16")
    assert lab.tables() == before

    ok(lab.fab("apply-routes"))
    ours = {
        name: [line.replace("proto 214", "proto boot") for line in lines]
        for name, lines in lab.tables().items()
    }
    assert {name: sorted(lines) for name, lines in ours.items()} == typed

    ok(lab.fab("rollback"))
    assert lab.tables() == before
    assert "nothing to do" in ok(lab.fab("rollback"))
    assert lab.tables() == before


def test_plan_changes_nothing_and_check_says_there_is_something_to_do(lab: Lab) -> None:
    before = lab.tables()
    assert "6 to add" in ok(lab.fab("plan"))
    ok(lab.fab("plan", "--check"), status=2)
    assert lab.tables() == before
    ok(lab.fab("apply-routes"))
    ok(lab.fab("plan", "--check"))


def test_a_second_run_changes_nothing_and_says_so(lab: Lab) -> None:
    ok(lab.fab("apply-routes"))
    after = lab.tables()
    assert "nothing to do" in ok(lab.fab("apply-routes"))
    assert lab.tables() == after


def test_json_is_all_there_is_on_stdout(lab: Lab) -> None:
    plan = json.loads(ok(lab.fab("plan", "--format", "json")))
    assert plan["totals"] == {"add": 6, "replace": 0, "delete": 0, "right": 0, "in_the_way": 0}
    assert {c["prefix"] for m in plan["machines"] for c in m["changes"]} == set(POD_CIDR.values())


def test_dry_run_prints_lines_that_do_the_same(lab: Lab, make_lab: MakeLab) -> None:
    lines = ok(lab.fab("apply-routes", "--dry-run")).splitlines()
    before = lab.tables()
    machine = ""
    for line in filter(None, lines):
        if line.startswith("# "):
            machine = line.split()[1]
        else:
            on(lab, machine, line)
    typed = lab.tables()
    assert typed == with_routes(before, as_typed("214"))
    assert "nothing to do" in ok(lab.fab("apply-routes"))


def test_routes_typed_from_the_page_are_right_and_left_alone(lab: Lab) -> None:
    type_the_page(lab)
    typed = lab.tables()
    assert "6 routes in sync" in ok(lab.fab("apply-routes"))
    ok(lab.fab("rollback"))
    assert lab.tables() == typed


def test_adopt_makes_them_ours_and_rollback_gives_them_back(lab: Lab) -> None:
    type_the_page(lab)
    typed = lab.tables()
    ok(lab.fab("apply-routes", "--adopt"), status=1)  # replaces, and there is nobody to ask
    assert lab.tables() == typed
    said = ok(lab.fab("apply-routes", "--adopt", "--yes"))
    assert re.search(r"^pings between pods during the change: 0 of [1-9]\d* lost,", said, re.M)
    assert all(
        "proto boot" not in line
        for name in POD_CIDR
        for line in lab.tables()[name]
        if "10.200." in line
    )
    ok(lab.fab("rollback"))
    assert lab.tables() == typed


# Once a route is ours, the machine drops pods' packets until shortly before the last pings give up.
PASSING_FAULT = """(for _ in $(seq 600); do
  ip route | grep -q 'proto 214' && break
  sleep 0.05
done
iptables -I FORWARD -p icmp -j DROP
sleep 2.5
iptables -D FORWARD -p icmp -j DROP) >/dev/null 2>&1 &"""


# It drops most pings of a stream, and none of those before and after the change.
LIMIT = """iptables -A FORWARD -p icmp --icmp-type 8 -m limit --limit 10/s --limit-burst 20 \\
  -j ACCEPT
iptables -A FORWARD -p icmp --icmp-type 8 -j DROP"""


def test_pods_that_are_silent_for_a_second_end_it_but_no_limit_on_pings(lab: Lab) -> None:
    type_the_page(lab)
    typed = lab.tables()
    on(lab, "worker-0", PASSING_FAULT)
    said = ok(lab.fab("apply-routes", "--adopt", "--yes", "--hold"), status=3)
    assert "pods that answered before got no answer for a second: worker-" in said
    assert re.search(r"^pings between pods during the change: [1-9]\d* of \d+ lost,", said, re.M)
    assert lab.tables() == typed
    on(lab, "worker-0", LIMIT)
    ok(lab.fab("apply-routes", "--adopt", "--yes"))


def test_machines_that_name_numbers_as_they_like(lab: Lab) -> None:
    """As people do with their own protocols, and NetworkManager's routes come by name.

    `ip -batch` mistakes a name for the number on the line before, so two routes go at once.
    """
    names = "/etc/iproute2/rt_protos.d"
    on(lab, "worker-0", f"mkdir -p {names}; echo '214 pods' >{names}/pods.conf")
    foreign = "ip route add 10.200.{0}.0/24 via 10.240.0.99 metric 100 proto static"
    on(lab, "worker-0", "; ".join(foreign.format(n) for n in (1, 2)))
    own = "ip route {0} 10.200.0.0/24 via 10.200.0.1 dev cnio0 proto kernel src 10.200.0.1"
    host = "ip route add 10.200.0.1 dev cnio0 scope link"
    on(lab, "worker-0", f"{host}; {own.format('replace')}")  # as Cilium does
    on(lab, "worker-1", "ip rule add from 10.240.0.6/16 lookup 77; ip rule add iif vpn0 lookup 200")
    before = lab.tables()
    assert "2 conflicts" in ok(lab.fab("apply-routes", "--yes"), status=1)
    ok(lab.fab("apply-routes", "--replace", "--yes"))
    assert "nothing to do" in ok(lab.fab("apply-routes"))
    assert "missing" not in ok(lab.fab("plan"))
    assert on(lab, "worker-0", "ip route show 10.200.0.0/24 via 10.200.0.1")
    on(lab, "worker-0", f"rm {names}/pods.conf")
    ok(lab.fab("rollback"))
    assert lab.tables() == before


def test_two_routes_of_one_key_are_never_taken(lab: Lab) -> None:
    """What `ip route save` keeps of them comes back in another order, and the first counts."""
    on(
        lab,
        "worker-0",
        "ip route add 10.200.1.0/24 via 10.240.0.98; ip route append 10.200.1.0/24 via 10.240.0.99",
    )
    before = on(lab, "worker-0", "ip route")
    refused = lab.fab("apply-routes", "--replace", "--yes")
    assert "could not restore their order" in ok(refused, status=1)
    assert on(lab, "worker-0", "ip route") == before


DUMMY = """ip link add v0 type veth peer name v1; ip link set v1 up
ip addr add 10.99.0.1/24 dev v0; ip link set v0 up"""


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (
            "ip nexthop add id 5 via 10.240.0.99 dev enp6s0\n"
            "ip route add 10.200.1.0/24 nhid 5 proto zebra",
            "next hop object",
        ),
        (
            f"{DUMMY}; ip route add 10.200.1.0/24 via 10.99.0.2; ip link set v1 down\n"
            "until ip route show 10.200.1.0/24 | grep -q linkdown; do sleep 0.1; done",
            "link is down",
        ),
        (
            "ip nexthop add id 5 via 10.240.0.99 dev enp6s0\n"
            "ip route add 10.200.0.0/24 nhid 5 proto zebra metric 7",
            "next hop object",
        ),
    ],
    ids=["a next hop object's", "of a link that is down", "to its own pods"],
)
def test_what_could_not_be_put_back_is_never_taken(lab: Lab, made: str, why: str) -> None:
    on(lab, "worker-0", made)
    before = on(lab, "worker-0", "ip route")
    for flags in (("--replace",), ("--replace", "--adopt")):
        said = ok(lab.fab("apply-routes", "--yes", *flags), status=1)
        assert why in " ".join(said.split())
    assert on(lab, "worker-0", "ip route") == before


def test_a_link_that_goes_down_before_its_route_is_taken_keeps_it(lab: Lab) -> None:
    on(lab, "worker-0", f"{DUMMY}; ip route add 10.200.1.0/24 via 10.99.0.2")
    down = "ip route show 10.200.1.0/24 | grep -q linkdown"
    on(lab, "worker-0", f"while {down}; do sleep 0.1; done")
    before = on(lab, "worker-0", "ip route")

    def fall() -> None:
        on(lab, "worker-0", f"ip link set v1 down; until {down}; do sleep 0.1; done")

    status, out = asked_meanwhile(lab, fall, "--replace")
    assert status == 3, out
    assert "cannot be put back as it was" in out
    on(lab, "worker-0", f"ip link set v1 up; while {down}; do sleep 0.1; done")
    assert on(lab, "worker-0", "ip route") == before


def test_a_policy_rule_in_the_way_is_nothing_we_take(lab: Lab) -> None:
    on(
        lab,
        "worker-0",
        "ip rule add to 10.200.0.0/16 lookup 100 && ip route add default via 10.240.0.99 table 100",
    )
    before = lab.tables()
    done = lab.fab("apply-routes", "--replace", "--yes")
    assert "policy rule" in ok(done, status=1)
    assert lab.tables() == before


def test_a_bridge_with_another_workers_range_is_nothing_we_take(lab: Lab) -> None:
    on(
        lab,
        "worker-0",
        "ip link add br9 type bridge && ip addr add 10.200.1.1/24 dev br9 && ip link set br9 up",
    )
    before = lab.tables()
    done = lab.fab("apply-routes", "--replace", "--yes")
    assert "br9" in ok(done, status=1)
    assert lab.tables() == before


def test_an_old_next_hop_is_replaced_without_a_moment_without_a_route(lab: Lab) -> None:
    before = lab.tables()
    on(lab, "worker-0", "ip route add 10.200.1.0/24 via 10.240.0.99 proto 214")
    with monitor(lab, "worker-0") as events:
        assert "1 to replace" in ok(lab.fab("apply-routes", "--yes"))
    assert [e for e in events if "10.200.1.0/24 via 10.240.0.7" in e]
    assert not [e for e in events if e.startswith("Deleted") and "10.200.1.0/24" in e]
    ok(lab.fab("rollback"))
    assert lab.tables() == before


def test_a_worker_missing_from_the_file_costs_nobody_a_route(lab: Lab) -> None:
    ok(lab.fab("apply-routes"))
    after = lab.tables()
    text = lab.cluster.path.read_text()
    lab.cluster.path.write_text(text[: text.rindex("[[workers]]")])
    shown = lab.fab("apply-routes")
    assert "nothing to do" in ok(shown)
    assert "stale: " in ok(lab.fab("plan"))
    assert lab.tables() == after
    refused = lab.fab("apply-routes", "--prune", "--yes")
    assert "still answers" in ok(refused, status=1)
    assert lab.tables() == after
    ok(lab.fab("apply-routes", "--prune", "--force", "--yes"))
    left = lab.tables()
    assert not [
        line for name in ("worker-0", "worker-1") for line in left[name] if "10.200.2.0/24" in line
    ]
    assert left["worker-2"] == after["worker-2"]


def test_prune_deletes_the_routes_to_a_worker_that_is_gone(lab: Lab) -> None:
    before = lab.tables()
    on(lab, "worker-0", "ip route add 10.200.9.0/24 via 10.240.0.99 proto 214")
    ok(lab.fab("apply-routes", "--prune", "--yes"))
    ok(lab.fab("rollback"))
    assert lab.tables() == before


def test_only_is_the_routes_to_one_worker_and_those_on_it(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes", "--only", "worker-2"))
    typed = as_typed("214")
    expected = {
        name: [line for line in lines if name == "worker-2" or "10.200.2.0/24" in line]
        for name, lines in typed.items()
    }
    assert lab.tables() == with_routes(before, expected)


def test_limit_changes_one_machine(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes", "--limit", "worker-2"))
    expected = {**{name: [] for name in before}, "worker-2": as_typed("214")["worker-2"]}
    assert lab.tables() == with_routes(before, expected)
    assert "did you mean worker-2" in lab.fab("apply-routes", "--limit", "worker2").stderr


@pytest.mark.parametrize(
    ("refused", "first", "options"),
    [
        ("1", "1.0/24 via 10.240.0.7", ()),
        ("1", "1.0/24 via 10.240.0.7", ("--parallel", "2")),
        ("[01]", "0.0/24 via 10.240.0.6", ()),
    ],
)
def test_a_line_that_fails_takes_everything_back(
    lab: Lab, refused: str, first: str, options: tuple[str, ...]
) -> None:
    before = lab.tables()
    # The last machine in order cannot be given a route: its `ip` refuses that line.
    on(
        lab,
        "worker-2",
        f"""cat >/usr/local/sbin/ip <<'END'
#!/bin/sh
if {CHANGES}; then sed 's/^route add 10.200.{refused}.0.*/route add 10.200.1.0 via 1.2.3.4/' |
  /usr/sbin/ip "$@"
else exec /usr/sbin/ip "$@"; fi
END
chmod +x /usr/local/sbin/ip""",
    )
    done = lab.fab("apply-routes", *options)
    out = ok(done, status=3)
    assert f"worker-2: ip route add 10.200.{first}" in out
    assert "invalid gateway" in out or "unreachable" in out
    assert "Command failed" not in out
    assert "all as before" in out.splitlines()[-1]
    assert lab.tables() == before


def test_several_at_a_time_end_as_one_by_one(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes", "--parallel", "2"))
    assert lab.tables() == with_routes(before, as_typed("214"))
    ok(lab.fab("rollback", "--parallel", "3"))
    assert lab.tables() == before
    assert "choose from 1 to" in lab.fab("plan", "--parallel", "-1").stderr
    assert "FABRIC_PARALLEL=many" in lab.fab("plan", FABRIC_PARALLEL="many").stderr


def asked_meanwhile(lab: Lab, do: Callable[[], object], *flags: str) -> tuple[int, str]:
    """Apply; what is done while the operator is being asked; yes. The status, and the output."""
    leader, follower = pty.openpty()
    with lab.popen("apply-routes", *flags, stdin=follower) as fab:
        assert fab.stderr is not None
        said = ""
        while "[y/N]" not in said:
            said += fab.stderr.read(1)
        do()
        os.write(leader, b"y\n")
        out, _ = fab.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    return fab.returncode, out


def piped(lab: Lab, reader: str, *words: str) -> int:
    """The exit status of a command line whose output goes to a reader."""
    line = f'set -o pipefail; {{ "$@"; }} {reader}'
    env = {"HOME": str(lab.home), "PATH": os.environ["PATH"]}
    argv = ["bash", "-c", line, "bash", *lab.inside, *FAB, *words]
    done = subprocess.run(argv, cwd=lab.dir, env=env, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode


@pytest.mark.parametrize("reader", ["| true", ">/dev/full"])
def test_whoever_reads_the_output_the_status_is_that_of_the_task(lab: Lab, reader: str) -> None:
    before = lab.tables()
    assert piped(lab, reader, "plan", "--check") == 2
    assert piped(lab, reader, "apply-routes") == 0
    assert lab.tables() != before
    on(lab, "worker-1", "iptables -P FORWARD DROP")
    assert piped(lab, reader, "verify") == 5
    assert piped(lab, reader, "rollback", "--no-ping") == 0
    assert lab.tables() == before


def test_a_table_changed_since_the_plan_is_not_touched(lab: Lab) -> None:
    """Another hand changes worker-1 while the operator is being asked."""
    on(lab, "worker-0", "ip route add 10.200.1.0/24 via 10.240.0.99 proto 214")
    before = lab.tables()
    theirs = "10.200.7.0/24 via 10.240.0.98"
    status, out = asked_meanwhile(lab, lambda: on(lab, "worker-1", f"ip route add {theirs}"))
    assert status == 1, out
    assert "changed since the plan" in out
    assert out.splitlines()[-1] == "nothing was changed"
    on(lab, "worker-1", "ip route del 10.200.7.0/24")
    assert lab.tables() == before


def test_no_is_no(lab: Lab) -> None:

    on(lab, "worker-0", "ip route add 10.200.1.0/24 via 10.240.0.99 proto 214")
    before = lab.tables()
    leader, follower = pty.openpty()
    with lab.popen("apply-routes", stdin=follower) as fab:
        os.write(leader, b"n\n")
        _, said = fab.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    assert fab.returncode == 1
    assert "nothing was changed" in said
    assert lab.tables() == before


def test_two_runs_do_not_change_one_machine_at_once(lab: Lab) -> None:
    before = lab.tables()
    with subprocess.Popen(
        [
            *lab.twin.inside("worker-1"),
            "sh",
            "-c",
            "mkdir -p /run/pod-routes; exec 9>>/run/pod-routes/lock; flock 9;"
            " echo 'ann@desk since 14:03:20' >/run/pod-routes/lock; echo held; read -r _",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        done = lab.fab("apply-routes")
        assert "ann@desk since 14:03:20" in ok(done, status=1)
        assert lab.tables() == before
        holder.communicate("\n")
    ok(lab.fab("apply-routes"))


def test_a_machine_that_cannot_be_asked_stops_the_run(lab: Lab) -> None:
    ok(lab.fab("apply-routes"))
    for name in ("worker-0", "worker-1"):
        on(lab, name, "ip route del 10.200.0.0/24 2>/dev/null; ip route del 10.200.1.0/24; true")
    before = lab.tables()
    on(lab, "worker-2", "ip link set eth0 down")
    down = lab.fab("-t", "2", "apply-routes")
    assert "worker-2" in down.stderr
    ok(down, status=1)
    some = lab.fab("-t", "2", "apply-routes", "--skip-unreachable")
    assert "worker-2" in ok(some, status=4)
    on(lab, "worker-2", "ip link set eth0 up")
    after = lab.tables()
    for name in ("worker-0", "worker-1"):
        assert set(as_typed("214")[name]) <= set(after[name])
    assert [line for line in after["worker-2"] if "10.200" in line] == [
        line for line in before["worker-2"] if "10.200" in line
    ]


def test_interrupted_it_takes_back_what_it_did(lab: Lab) -> None:
    """Ctrl-C while the second machine is at work, which waits until the operator has given up."""
    before = lab.tables()
    on(
        lab,
        "worker-1",
        f"""mkfifo /run/here /run/gate; cat >/usr/local/sbin/ip <<'END'
#!/bin/sh
if {CHANGES} && [ -p /run/gate ]; then
  echo here >/run/here; read -r _ </run/gate; rm /run/gate
fi
exec /usr/sbin/ip "$@"
END
chmod +x /usr/local/sbin/ip""",
    )
    with lab.popen("apply-routes") as fab:
        on(lab, "worker-1", "timeout 30 cat /run/here")
        fab.send_signal(signal.SIGINT)
        on(lab, "worker-1", "echo go | timeout 30 tee /run/gate")
        out, said = fab.communicate(timeout=60)
    assert fab.returncode == 130, out + said
    assert "all as before" in out
    assert lab.tables() == before
