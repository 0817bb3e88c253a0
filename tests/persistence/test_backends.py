"""The boot files: what each network manager gets, and when a plan writes or removes them."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.apply import hints
from tasks.common.script import script
from tasks.facts.model import Facts
from tasks.iproute.route import Route
from tasks.persistence.backends import (
    AT_BOOT,
    DISPATCHER,
    IF_UP,
    UNIT,
    WANTED,
    File,
    files_to,
    is_ours,
    persisted_routes,
    unmanaged,
)
from tasks.persistence.managers import Manager
from tasks.planning.model import Allowed, MachinePlan, Plan
from tasks.planning.reconcile import plan_routes
from tasks.planning.rollback import plan_last, plan_rollback
from tests.builders import DEV, cluster, facts, node, pods, route, wanted
from tests.paths import PROJECT
from tests.scripts import APART, SHELLS, answer

NETWORKD = Manager("networkd", "10-netplan-enp6s0.network")
DROP_IN = "/etc/systemd/network/10-netplan-enp6s0.network.d/50-pod-routes.conf"
IFUPDOWN = Manager("ifupdown")
KINDS = {
    DROP_IN: NETWORKD,
    DISPATCHER: Manager("NetworkManager"),
    IF_UP: IFUPDOWN,
    UNIT: Manager("systemd"),
}
BOTH = (route(wanted(1)), route(wanted(1, 6)))
LINKS = [WANTED.format(u) for u in ("multi-user.target", f"sys-subsystem-net-devices-{DEV}.device")]


def texts(files: tuple[File, ...]) -> dict[str, str]:
    """What stands on disk once these are written."""
    return {file.path: file.text for file in files}


@pytest.mark.parametrize(("path", "manager"), KINDS.items())
def test_each_manager_has_its_file_and_what_is_written_is_read_again(
    path: str, manager: Manager
) -> None:
    made = files_to(BOTH, {DEV: manager}, {})
    there = texts(made.write)
    assert list(there) == ([AT_BOOT, UNIT, *LINKS] if path == UNIT else [path])
    assert all(map(is_ours, there))
    assert persisted_routes(there) == {(r.prefix, r.next_hop) for r in BOTH}
    assert made.stay
    assert files_to(BOTH[::-1], {DEV: manager}, there).empty
    gone = files_to((), {DEV: manager}, there)
    assert gone.remove == tuple(there)[::-1]  # no link is left that leads nowhere
    assert gone.forget


def test_a_drop_in_holds_what_the_kernel_has() -> None:
    (file,) = files_to(BOTH, {DEV: NETWORKD}, {}).write
    assert file.text.splitlines()[1:] == [
        *("", "[Route]", f"Destination={pods(1)}", f"Gateway={node(1)}", "Protocol=214"),
        *("", "[Route]", f"Destination={pods(1, 6)}", f"Gateway={node(1, 6)}", "Protocol=214"),
        "Metric=1024",
    ]


@pytest.mark.parametrize("path", [DISPATCHER, IF_UP])
def test_scripts_are_shell(path: str) -> None:
    (file,) = files_to(BOTH, {DEV: KINDS[path]}, {}).write
    assert file.mode == "755"
    for shell in ("sh", "bash"):
        subprocess.run([shell, "-n"], input=file.text, text=True, check=True)


@pytest.mark.system
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    files = files_to(BOTH, {DEV: KINDS[UNIT]}, {}).write
    _script, unit, *links = files
    assert {link.target for link in links} == {unit.path}
    assert "Restart=on-failure\nRestartSec=5\n" in unit.text  # it neither gives up nor spins
    verified(tmp_path / Path(unit.path).name, unit.text)


@pytest.mark.system
@pytest.mark.parametrize("dev", ["wg0", "br-pods", "enp6s0.100", "a-b.c_d-", "-", "x--1", ".1"])
def test_a_link_is_named_as_systemd_names_it(dev: str) -> None:
    (*_, link) = files_to([own(dev)], {dev: KINDS[UNIT]}, {}).write
    escape = ("systemd-escape", "--path", "--suffix=device", f"/sys/subsystem/net/devices/{dev}")
    unit = subprocess.run(escape, capture_output=True, text=True, check=True).stdout.strip()
    assert link.path == WANTED.format(unit)
    assert is_ours(link.path)


def test_each_link_of_a_machine_starts_the_unit_and_the_one_that_goes_no_longer() -> None:
    """A unit of an earlier version of this tool is replaced, too."""
    managers = dict.fromkeys(("wg0", "br-pods"), KINDS[UNIT])
    both = texts(files_to(map(own, managers), managers, {}).write)
    assert len(both) == 5
    (gone,) = files_to([own("wg0")], managers, both).remove
    assert "br" in gone
    line = f"ExecStart=-/sbin/ip route add {own('wg0').words}"
    old = dict.fromkeys((UNIT, LINKS[0]), f"[Service]\nType=oneshot\n{line}\n")
    assert persisted_routes(old) == {(own("wg0").prefix, own("wg0").next_hop)}
    changed = files_to([own("wg0")], managers, old)
    assert not changed.remove
    assert set(old) < set(texts(changed.write))
    assert persisted_routes(texts(changed.write)) == persisted_routes(old)


def own(dev: str) -> Route:
    """A route of this tool on a link."""
    return route(f"{pods(1)} via {node(1)} dev {dev} proto 214")


def verified(place: Path, text: str) -> None:
    """Have systemd itself judge a unit."""
    place.write_text(text)
    assert shutil.which("systemd-analyze"), "make setup PACKAGES=test installs it"
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert place.name not in done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_the_unit_ends_well_once_its_routes_are_there(shell: str, tmp_path: Path) -> None:
    """A route to a single address too, which `ip` shows without a length."""
    single = f"10.200.9.9 via {node(9)} dev {DEV} proto 214"
    written = texts(
        files_to((route(wanted(1)), route(single)), {DEV: Manager("systemd")}, {}).write
    )
    twice = f"main() (\n{written[AT_BOOT]}\n)\nmain && main && ip -oneline route show proto 214"
    shown = answer(twice, tmp_path, before=APART, shell=shell)
    assert [line.split()[0] for line in shown.splitlines()] == [pods(1), "10.200.9.9"]


def test_who_finds_the_lock_taken_is_told_that_it_is_the_unit(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("alice@laptop since yesterday\n")
    at_boot = script("persistence/at_boot.sh", state=str(tmp_path), routes=())
    answer(f"main() (\n{at_boot}\n)", tmp_path)
    assert (tmp_path / "lock").read_text() == "pod-routes.service\n"


def test_a_device_that_nobody_manages_or_of_a_strange_name_is_named() -> None:
    odd = route(f"{pods(2)} via {node(2)} dev e%s proto 214")
    assert unmanaged([*BOTH, odd], {"e%s": NETWORKD}) == [DEV, "e%s"]
    assert unmanaged(BOTH, {DEV: NETWORKD}) == []


STAY = replace(cluster(3), persist="auto")


def of(plan: Plan) -> MachinePlan:
    """The plan of the only machine."""
    (machine,) = plan.machines
    return machine


def on_disk(*numbers: int) -> dict[str, str]:
    """The file of a machine that ifupdown sets up, with routes to these workers."""
    routes = [route(wanted(n)) for n in numbers]
    return texts(files_to(routes, {DEV: IFUPDOWN}, {}).write)


def asked(*lines: str, files: dict[str, str] | None = None) -> dict[str, Facts]:
    """What worker-0 says."""
    return {"worker-0": facts(0, *lines, files=files or {}, managers={DEV: IFUPDOWN})}


def planned(facts: dict[str, Facts], only: str = "", **skipped: str) -> set[str]:
    """The pod CIDRs in the file that a plan writes."""
    names = {name.replace("_", "-"): why for name, why in skipped.items()}
    made = of(plan_routes(STAY, facts, Allowed(), only, names))
    assert not made.refusals
    return {str(prefix) for prefix, _ in persisted_routes(texts(made.files.write))}


def test_a_file_holds_what_the_plan_leads_to() -> None:
    stale = wanted(9)
    assert planned(asked()) == {pods(1), pods(2)}
    assert planned(asked(wanted(1), wanted(2))) == {pods(1), pods(2)}
    assert planned(asked(stale)) == {pods(1), pods(2), pods(9)}
    pruned = of(plan_routes(STAY, asked(stale), Allowed(prune=True)))
    assert {str(p) for p, _ in persisted_routes(texts(pruned.files.write))} == {pods(1), pods(2)}
    outside = f"10.99.0.0/24 via {node(1)} dev {DEV} proto 214"
    assert planned(asked(outside)) == {pods(1), pods(2)}


def test_what_a_run_is_not_about_stays_in_the_file() -> None:
    both = asked(files=on_disk(1, 2))
    assert planned(both, only="worker-1") == set()  # it is right as it is
    assert planned(asked(files=on_disk(2, 9)), only="worker-1") == {pods(1), pods(2)}
    assert planned(asked(files=on_disk(2)), worker_2="down") == {pods(1), pods(2)}


def test_what_a_run_is_not_about_and_is_lost_stays_noted_as_ours() -> None:
    there, lost = (
        {"worker-0": replace(found["worker-0"], recorded=BOTH[:1])}
        for found in (asked(wanted(1)), asked())
    )
    assert of(plan_routes(STAY, there, Allowed(), "worker-2")).still_missing == ()
    assert of(plan_routes(STAY, lost, Allowed(), "worker-2")).still_missing == BOTH[:1]
    assert of(plan_routes(STAY, lost, Allowed())).still_missing == ()  # it is put back


def test_a_foreign_route_that_is_right_is_in_no_file() -> None:
    by_hand = f"{pods(1)} via {node(1)} dev {DEV} proto static"
    assert planned(asked(by_hand)) == {pods(2)}


def test_with_no_manager_it_is_refused_and_without_persist_it_is_not() -> None:
    alone = {"worker-0": facts(0)}
    assert "no network manager" in " ".join(of(plan_routes(STAY, alone, Allowed())).refusals)
    assert not of(plan_routes(cluster(3), alone, Allowed())).refusals


def test_taking_files_away_is_asked_about_and_moving_them_is_not() -> None:
    right = (wanted(1), wanted(2))
    gone = plan_routes(cluster(3), asked(*right, files=on_disk(1, 2)), Allowed())
    assert of(gone).files.remove == (IF_UP,)
    assert not gone.only_adds
    moved = {"worker-0": facts(0, *right, files=on_disk(1, 2), managers={DEV: NETWORKD})}
    plan = plan_routes(STAY, moved, Allowed())
    assert (of(plan).files.remove, len(of(plan).files.write)) == ((IF_UP,), 1)
    assert plan.only_adds


def test_the_way_back_leaves_no_file_and_half_the_way_leaves_half() -> None:
    from tasks.undo.records import Last

    found = asked(wanted(1), wanted(2), files=on_disk(1, 2))
    assert of(plan_rollback(STAY, found)).files.remove == (IF_UP,)
    last = {"worker-0": replace(found["worker-0"], last=Last("run", (route(wanted(2)),)))}
    assert persisted_routes(
        texts(of(plan_last(STAY, last, "run")).files.write)
    ) == persisted_routes(on_disk(1))


@pytest.mark.system
def test_the_documented_unit_of_the_watch_is_one_that_systemd_takes(tmp_path: Path) -> None:
    docs = PROJECT / "docs/persistence.md"
    block = docs.read_text().partition("# /etc/systemd/system/pod-routes-watch.service\n")[2]
    lines = [line[4:] for line in block.partition("\n## ")[0].splitlines()]
    text = "\n".join(lines).replace("/srv/pod-routes/.venv/bin/fab", "/bin/true")
    assert "ExecStart=/bin/true watch --every 10" in text
    verified(tmp_path / "pod-routes-watch.service", text)


def test_what_is_said_of_the_next_reboot() -> None:
    by_hand = f"{pods(1)} via {node(1)} dev {DEV} proto static"
    plan = plan_routes(STAY, asked(by_hand), Allowed())
    assert ["--persist auto" in line for line in hints(plan, "none", "none")] == [True]
    first, second = hints(plan, "auto", "none")
    assert "1 foreign route in sync, and in no boot file: --adopt" in first
    assert 'set persist = "auto"' in second
    adopted = plan_routes(STAY, asked(by_hand), Allowed(adopt=True))
    assert list(hints(adopted, "auto", "auto")) == []
