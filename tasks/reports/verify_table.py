"""What verify prints: a matrix where it fits the screen, else a list of the pairs that fail."""

from collections.abc import Mapping, Sequence
from textwrap import fill

from tasks.common.text import counted, first, table, width, wrapped
from tasks.connectivity.ping import COUNT
from tasks.connectivity.real_pods import RealPod
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.model import Cause
from tasks.diagnosis.remedy import Remedy
from tasks.diagnosis.result import Verification

MAX_ROWS = 20  # of a list; the rest is counted
SHORT = {
    "large lost": "LARGE",
    "masqueraded": "MASQ",
    "no forwarding": "NO FWD",
    "silent": "SILENT",
    "no probe": "NO PROBE",
}
MEANING = {
    "large lost": "small packets are answered, packets that fill the MTU are not",
    "masqueraded": "the routes are not proven; pods get through with their node's address (ipMasq)",
    "no forwarding": "the probe on lo answered, but a machine's settings turn forwarding off",
    "silent": f"{COUNT} pings or connections unanswered, of any size",
    "no probe": "no address to ping could be set up",
}


def verify_report(run: Verification) -> str:
    """The result as text: the pairs, how they were tested, pods, causes and totals."""
    parts = [
        _matrices(run.pairs),
        _legend(run.pairs),
        "\n".join(wrapped(how(run))),
        _pods(run.real_pods),
        "\n".join(map(cause_text, run.causes)),
        totals(run.pairs, run.skipped),
    ]
    return "\n\n".join(part for part in parts if part)


def _matrices(pairs: Sequence[Pair]) -> str:
    """A matrix for each family and sender; where one is too wide, only the pairs that fail."""
    views = []
    for family in sorted({p.family for p in pairs}):
        for from_pod in (True, False):
            view = [p for p in pairs if p.family == family and p.from_pod == from_pod]
            if view:
                title = f"IPv{family}, {'pod' if from_pod else 'machine'} to pod, milliseconds"
                views.append((title, view))
    grids = [f"{title}\n{_grid(view)}" for title, view in views]
    if all(len(line) <= width() for grid in grids for line in grid.splitlines()):
        return "\n\n".join(grids)
    return _failures(pairs) if any(not p.ok for p in pairs) else ""


def _grid(pairs: Sequence[Pair]) -> str:
    """One matrix: a row sends, a column receives."""
    targets = list(dict.fromkeys(p.target for p in pairs))
    sources = list(dict.fromkeys(p.source for p in pairs))
    if sources != targets:
        targets = [s for s in sources if s in targets] + [t for t in targets if t not in sources]
    cells = {(p.source, p.target): _cell(p) for p in pairs}
    rows = [[s, *(cells.get((s, t), "-") for t in targets)] for s in sources]
    return table(["from \\ to", *targets], rows)


def _cell(pair: Pair) -> str:
    if not pair.ok:
        return SHORT[pair.verdict]
    rtt = "ok" if pair.rtt is None else f"{pair.rtt:.2f}"
    return f"{rtt} ({pair.loss}% lost)" if pair.loss else rtt


def _failures(pairs: Sequence[Pair]) -> str:
    """The pairs that fail, MAX_ROWS at most."""
    failing = [p for p in pairs if not p.ok]
    rows = [
        [p.source, p.target, f"IPv{p.family}", "pod" if p.from_pod else "machine", p.verdict]
        for p in failing[:MAX_ROWS]
    ]
    more = len(failing) - MAX_ROWS
    hint = f"\nand {counted(more, 'more pair')}: --report FILE.html shows all" if more > 0 else ""
    return table(["from", "to", "family", "sent by", "result"], rows) + hint


def _legend(pairs: Sequence[Pair]) -> str:
    """What the short verdicts in the matrices mean."""
    seen = dict.fromkeys(p.verdict for p in pairs if not p.ok)
    return "\n".join(f"{SHORT[v]}: {MEANING[v]}" for v in seen)


def how(run: Verification) -> list[str]:
    """How the pairs were tested, a line each: what was sent, which probes, and what proves less."""
    wired = [r.wired for r in run.reports.values()]
    kinds = {"bridge": "on the pod bridge", "routed": "routed, because there is no pod bridge"}
    lines = [
        f"{counted(wired.count(kind), 'probe')} wired as pods are, {words}; {run.method}"
        for kind, words in kinds.items()
        if kind in wired
    ]
    lines += [
        f"{name}: its probe is an address on lo, so forwarding is read from its settings: {r.why}"
        for name, r in run.reports.items()
        if r.wired == "lo"
    ]
    lines += [
        f"{name}: pods have addresses there, but the pod bridge is missing: `fab verify --pods`"
        " shows whether pods are cut off"
        for name in ([] if run.real_pods else run.bridgeless)
    ]
    lines += first(list(run.unplanned.values()), MAX_ROWS, "; `fab plan` shows the planned routes")
    return lines + [
        f"{name}: no probe: {r.why}" for name, r in run.reports.items() if r.wired != "lo" and r.why
    ]


def shown_pods(pods: Sequence[RealPod]) -> list[RealPod]:
    """The pods to show: all, or where there are many, only those that fail."""
    return [pod for pod in pods if len(pods) <= MAX_ROWS or not pod.ok]


def _pods(pods: Sequence[RealPod]) -> str:
    rows = [
        [
            pod.worker,
            str(pod.address),
            "yes" if pod.here else "no",
            f"{len(pod.answered)} of {len(pod.asked)}",
            pod.arrives or "-",
        ]
        for pod in shown_pods(pods)
    ]
    if not rows:
        return ""
    shown = table(["worker", "pod", "answers it", "answers others", "seen as"], rows)
    if any(pod.arrives == "masqueraded" for pod in pods):
        shown += "\nmasqueraded: others see the worker's address (ipMasq is on in the CNI config)"
    return shown


def cause_text(cause: Cause, before: str = "") -> str:
    """A cause, how many pairs it explains, and its remedy below. `before`: words in front."""
    words = f"{before}{cause.words}"
    if cause.pairs:
        words += f" ({counted(len(cause.pairs), 'pair')})"
    if not cause.loses:
        words += " (no packet is lost yet)"
    text = fill(words, max(width(), 80), subsequent_indent="  ", break_on_hyphens=False)
    if isinstance(cause.remedy, Remedy):  # its commands are not wrapped: people copy them
        return "\n     ".join([f"{text}\n  -> on {cause.remedy.where}:", *cause.remedy.steps])
    remedy = fill(
        cause.remedy,
        max(width(), 80),
        initial_indent="  -> ",
        subsequent_indent="     ",
        break_on_hyphens=False,
    )
    return f"{text}\n{remedy}"


def totals(pairs: Sequence[Pair], skipped: Mapping[str, str]) -> str:
    """The totals, wrapped at the screen's width."""
    pods = [p for p in pairs if p.from_pod]
    hosts = [p for p in pairs if not p.from_pod]
    proven = sum(p.ok for p in pods)
    reach = sum(p.ok or p.verdict == "masqueraded" for p in pods)
    rtts = [p.rtt for p in pairs if p.rtt is not None]
    parts = [f"routes proven both ways: {proven} of {counted(len(pods), 'pair')}"]
    if reach != proven:
        parts.append(f"pods reach (masqueraded): {reach} of {len(pods)}")
    parts.append(f"machine to pod: {sum(p.ok for p in hosts)} of {len(hosts)}")
    if rtts:
        parts.append(f"slowest {max(rtts):.2f} ms")
    if skipped:
        parts.append(f"skipped {', '.join(skipped)}")
    return fill("; ".join(parts), max(width(), 80), break_on_hyphens=False)
