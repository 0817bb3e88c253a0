"""The page of a run of verify, looked at in a real browser."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import get_args

import pytest

from tasks.connectivity.ping import Report
from tasks.connectivity.real_pods import RealPod
from tasks.connectivity.verdict import Pair, Verdict
from tasks.diagnosis.model import Cause
from tasks.diagnosis.result import Verification
from tasks.inventory.model import Cluster
from tasks.reports.page import MAX_ROWS, verify_page
from tests.browser import Page, browser
from tests.builders import cluster

WHEN = datetime(2026, 11, 23, 8, 14, 16, tzinfo=timezone.utc)
HOSTILE = "</script><script>document.title='owned'</script><img src=http://192.0.2.1/ onerror=1>"
FIRST = "document.querySelector('.view')"
READOUT = "document.getElementById('pair').innerText"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if shutil.which("chromium") is None:
        pytest.fail("no chromium: `make test` installs it")
    with browser(tmp_path_factory.mktemp("chromium")) as page:
        yield page


def every_pair(of: Cluster) -> list[Pair]:
    return [
        Pair(a.name, b.name, cidr.version, from_pod, "ok", 3, 0.12)
        for a in of.machines
        for b in of.workers
        for cidr in b.pod_cidrs
        for from_pod in (True, False)
        if a != b and (a.role == "worker" or not from_pod)
    ]


def shown(page: Page, tmp_path: Path, run: Verification) -> None:
    """Open the page of a run; it has to want nothing but itself, and to raise nothing."""
    file = tmp_path / "page.html"
    file.write_text(verify_page(run))
    page.open(file)
    assert page.requested == {file.as_uri()}
    assert page.complaints == []


def legend(page: Page, number: int = 0) -> dict[str, int]:
    """What the legend of a matrix counts."""
    items = f"[...document.querySelectorAll('.view')[{number}].querySelectorAll('.legend li')]"
    lines = page.ask(f"{items}.map(item => item.innerText)")
    return {line.rpartition(":")[0]: int(line.rpartition(":")[2]) for line in lines}


def test_a_pair_tells_what_is_known_of_it_by_keyboard_and_by_mouse(
    chromium: Page, tmp_path: Path
) -> None:
    of = cluster(4, 1)
    alive = [p for p in every_pair(of) if "worker-3" not in (p.source, p.target)]
    silent = replace(alive[0], verdict="silent", received=0, rtt=None)
    lossy = replace(alive[2], received=2, rtt=7.25)
    pairs = [silent, alive[1], lossy, *alive[3:]]
    cause = Cause("worker-1", f"worker-1 says {HOSTILE}", "switch it on", (silent,))
    reports = {"worker-0": Report("lo", HOSTILE, {4: True, 6: True}, ())}
    dead = {"worker-3": f"is it up? {HOSTILE}"}
    shown(chromium, tmp_path, Verification(of, WHEN, False, dead, reports, pairs, [cause]))

    assert chromium.ask("document.title").startswith("1 of 15 pairs fails")
    assert chromium.ask("document.images.length") == 0
    assert chromium.ask("document.scripts.length") == 2
    words = chromium.ask("document.body.innerText")
    assert words.count(HOSTILE) == 3  # the cause, the dead machine, how it is known
    counts = {"under 0.5 ms": 4, "2 to 10 ms": 1, "some pings lost": 1}
    assert legend(chromium) == {**counts, "silent": 1, "unreachable": 6}

    chromium.ask(f"{FIRST}.querySelector('.matrix svg').focus()")
    chromium.press("n")
    assert "worker-0 → worker-1" in chromium.ask(READOUT)
    assert "silent: 3 pings or connections unanswered" in chromium.ask(READOUT)
    assert f"worker-1 says {HOSTILE}. switch it on" in chromium.ask(READOUT)
    chromium.press("ArrowRight")
    assert "2 of 3 pings answered; 7.25 ms on average" in chromium.ask(READOUT)
    chromium.press("End")
    assert f"worker-3: is it up? {HOSTILE}" in chromium.ask(READOUT)

    chromium.ask(f"{FIRST}.scrollIntoView()")
    place = f"{FIRST}.querySelector('.matrix path.fail').getBoundingClientRect()"
    box = chromium.ask(f"(({{x, y, width, height}}) => ({{x, y, width, height}}))({place})")
    chromium.point(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "worker-0 → worker-1" in chromium.ask(READOUT)


def test_200_machines_are_a_picture_of_40000_cells(chromium: Page, tmp_path: Path) -> None:
    of = cluster(200)
    pairs = every_pair(of)
    sick = [
        replace(p, verdict="silent", received=0, rtt=None)
        if p.from_pod and "worker-66" in (p.source, p.target)
        else p
        for p in pairs
    ]
    run = Verification(of, WHEN, pairs=sick)
    assert len(verify_page(run)) < 1_000_000
    shown(chromium, tmp_path, run)
    assert legend(chromium) == {"under 0.5 ms": 199 * 198, "silent": 2 * 199}
    assert chromium.ask("document.querySelectorAll('#failing tbody tr').length") == MAX_ROWS
    assert f"and {2 * 199 - MAX_ROWS} more" in chromium.ask("document.body.innerText")
    assert chromium.ask("document.querySelectorAll('*').length") < 10_000


def test_pods_that_run_there_are_shown_and_those_that_are_cut_off_marked(
    chromium: Page, tmp_path: Path
) -> None:
    of = cluster(2)
    address = ip_address("10.200.0.2")
    pod = RealPod("worker-0", address, True, ("worker-1",), ("worker-1",), "itself")
    cause = Cause("worker-1", "worker-1: its pod bridge is missing", "restart its pods", ())
    run = Verification(of, WHEN, pairs=every_pair(of), real_pods=[pod])
    shown(chromium, tmp_path, run)
    assert chromium.ask("document.title").startswith("All 4 pairs answer: ")
    rows = "[...document.querySelectorAll('#pods tbody tr')].map(row => row.innerText)"
    assert chromium.ask(rows) == ["worker-0\t10.200.0.2\tyes\t1 of 1\titself"]
    silent = replace(pod, answered=(), arrives="")
    many = [replace(pod, address=address + n) for n in range(1, 31)]
    shown(chromium, tmp_path, replace(run, causes=[cause], real_pods=[silent, *many]))
    assert chromium.ask("document.title").startswith("All 4 pairs answer, but pods are cut off")
    assert chromium.ask("document.querySelector('h1').className") == "bad"
    assert chromium.ask(rows) == ["worker-0\t10.200.0.2\tyes\t✗ 0 of 1\t-"]
    assert "0 pairs" not in chromium.ask("document.getElementById('causes').innerText")


def test_every_verdict_has_a_look_of_its_own(chromium: Page, tmp_path: Path) -> None:
    verdicts = get_args(Verdict)
    of = cluster(1 + len(verdicts))
    pairs = [
        Pair("worker-0", worker.name, 4, True, verdict)
        for worker, verdict in zip(of.workers[1:], verdicts, strict=True)
    ]
    shown(chromium, tmp_path, Verification(of, WHEN, pairs=pairs))
    found = legend(chromium)
    assert found.pop("not pinged") == (len(verdicts) + 1) * len(verdicts) - len(verdicts)
    assert found.pop("some pings lost") == 1
    assert found == {"under 0.5 ms": 1, **dict.fromkeys(verdicts[1:], 1)}
    looks = f"[...{FIRST}.querySelectorAll('.legend svg')].map(swatch => swatch.innerHTML)"
    assert chromium.ask(f"new Set({looks}).size") == len(verdicts) + 2
    reached = []
    for _ in verdicts[1:]:
        chromium.ask(f"{FIRST}.querySelector('button').click()")
        reached.append(chromium.ask(READOUT).splitlines()[2].partition(":")[0])
    assert reached == [*verdicts[1:]]


def test_a_run_that_ended_early_shows_what_it_knew_in_both_families(
    chromium: Page, tmp_path: Path
) -> None:
    stopped = f"stopped:\n  {HOSTILE} \x00\x1b\ud800"
    run = Verification(cluster(3, families=(4, 6)), WHEN, True, stopped=stopped)
    shown(chromium, tmp_path, run)
    words = chromium.ask("document.body.innerText")
    assert "The run ended early" in words
    assert "a rehearsal: not the real machines" in words
    assert f"stopped:\n  {HOSTILE} \ufffd\ufffd\ufffd" in words
    titles = chromium.ask("[...document.querySelectorAll('.view h2')].map(h => h.innerText)")
    kinds = ("pod to pod", "machine to pod")
    assert titles == [f"IPv{family}, {kind}" for family in (4, 6) for kind in kinds]
    assert [legend(chromium, number) for number in range(4)] == [{"not pinged": 6}] * 4
