"""What verify prints: a matrix where it fits, else counts and every pair that fails."""

from collections.abc import Mapping, Sequence
from textwrap import fill

from tasks.common.text import commands_in, counted, table, width, wrapped
from tasks.connectivity.ping import COUNT
from tasks.connectivity.real_pods import RealPod
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.model import Cause
from tasks.diagnosis.result import Verification

LISTED = 20  # failing pairs past which the rest is only counted
SHORT = {
    "large lost": "LARGE",
    "masqueraded": "MASQ",
    "no forwarding": "NO FWD",
    "silent": "SILENT",
    "no probe": "NO PROBE",
}
MEANING = {
    "large lost": "small packets are answered, packets that fill the MTU are not",
    "masqueraded": "the routes are not proven; pods get through by their node's address (ipMasq)",
    "no forwarding": "answered on lo, but by its settings a machine does not forward",
    "silent": f"{COUNT} pings or connections unanswered, of any size",
    "no probe": "no address could be set up to ping",
}


def verify_report(run: Verification) -> str:
    """The pairs as a person reads them: the picture, how it is known, the causes, the totals."""
    parts = [
        _picture(run.pairs),
        _legend(run.pairs),
        "\n".join(wrapped(how(run))),
        _pods(run.real_pods),
        "\n".join(map(_cause, run.causes)),
        totals(run.pairs, run.skipped),
    ]
    return "\n\n".join(part for part in parts if part)


def _picture(pairs: Sequence[Pair]) -> str:
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
    return "\n\n".join([_failures(pairs)] if any(not p.ok for p in pairs) else [])


def _grid(pairs: Sequence[Pair]) -> str:
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
    failing = [p for p in pairs if not p.ok]
    rows = [
        [p.source, p.target, f"IPv{p.family}", "pod" if p.from_pod else "machine", p.verdict]
        for p in failing[:LISTED]
    ]
    more = len(failing) - LISTED
    hint = f"\nand {counted(more, 'more pair')}: --report FILE.html shows all" if more > 0 else ""
    return table(["from", "to", "family", "sent by", "result"], rows) + hint


def _legend(pairs: Sequence[Pair]) -> str:
    seen = dict.fromkeys(p.verdict for p in pairs if not p.ok)
    return "\n".join(f"{SHORT[v]}: {MEANING[v]}" for v in seen)


def how(run: Verification) -> list[str]:
    """How it is known, a line each: what was sent, what the probes were, where they prove less."""
    wired = [r.wired for r in run.reports.values()]
    kinds = {"bridge": "on the pod bridge", "routed": "routed, as there is no pod bridge"}
    lines = [
        f"{counted(wired.count(kind), 'probe')} wired as pods are, {words}; {run.method}"
        for kind, words in kinds.items()
        if kind in wired
    ]
    lines += [
        f"{name}: its probe is an address on lo, forwarding is read from its settings: {r.why}"
        for name, r in run.reports.items()
        if r.wired == "lo"
    ]
    lines += [
        f"{name}: addresses are given to pods there, but its pod bridge is missing: `fab verify"
        " --pods` says whether pods are cut off"
        for name in ([] if run.real_pods else run.bridgeless)
    ]
    return lines + [
        f"{name}: no probe: {r.why}"
        for name, r in run.reports.items()
        if r.wired == "none" and r.why
    ]


def shown_pods(pods: Sequence[RealPod]) -> list[RealPod]:
    """The pods to show: those that do not answer as they should, where there are many."""
    return [pod for pod in pods if len(pods) <= LISTED or not pod.ok]


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
    shown = table(["worker", "pod", "answers it", "answers others", "arrives as"], rows)
    if any(pod.arrives == "masqueraded" for pod in pods):
        shown += "\nmasqueraded: others see the worker's address, as ipMasq in the CNI config wants"
    return shown


def _cause(cause: Cause) -> str:
    """A cause, how many pairs it explains, and below it what mends it."""
    words = cause.words
    if cause.pairs:
        words += f" ({counted(len(cause.pairs), 'pair')})"
    text = fill(words, max(width(), 80), subsequent_indent="  ", break_on_hyphens=False)
    where, commands = commands_in(cause.remedy)
    if commands:  # whole, to be copied
        return "\n     ".join([f"{text}\n  -> on {where}:", *commands])
    mend = fill(
        cause.remedy,
        max(width(), 80),
        initial_indent="  -> ",
        subsequent_indent="     ",
        break_on_hyphens=False,
    )
    return f"{text}\n{mend}"


def totals(pairs: Sequence[Pair], skipped: Mapping[str, str]) -> str:
    """The totals: one line where it fits."""
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
