"""What has changed from one run of verify to the next, a line each. Pure."""

from collections.abc import Iterator

from tasks.common.text import counted
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.result import Verification

from .verify_table import MAX_ROWS


def changes(before: Verification, now: Verification) -> list[str]:
    """The changes, each line with the time of the later run; empty where nothing has changed."""
    clock = f"{now.when.astimezone():%H:%M:%S}"
    seen = (
        *_machines(before, now),
        *_pairs(before, now),
        *_pods(before, now),
        *_causes(before, now),
    )
    return [f"{clock}  {line}" for line in seen]


def _machines(before: Verification, now: Verification) -> Iterator[str]:
    for name, why in now.skipped.items():
        if name not in before.skipped:
            yield f"{name} cannot be asked: {why}"
    for name in before.skipped:
        if name not in now.skipped:
            yield f"{name} can be asked again"


def _pairs(before: Verification, now: Verification) -> Iterator[str]:
    held = {_key(pair): pair.verdict for pair in before.pairs}
    changed = [p for p in now.pairs if held.get(_key(p), "ok" if p.ok else "") != p.verdict]
    for pair in changed[:MAX_ROWS]:
        was = f", was {held[_key(pair)]}" if _key(pair) in held else ""
        sender = "pod" if pair.from_pod else "machine"
        yield f"{pair.source} to {pair.target}, IPv{pair.family}, {sender}: {pair.verdict}{was}"
    if len(changed) > MAX_ROWS:
        yield f"and {counted(len(changed) - MAX_ROWS, 'more pair')} changed"


def _key(pair: Pair) -> tuple[str, str, int, bool]:
    return pair.source, pair.target, pair.family, pair.from_pod


def _pods(before: Verification, now: Verification) -> Iterator[str]:
    """The pods whose answers to other workers changed. A new pod is shown only where it fails."""
    held = {(pod.worker, pod.address): pod.ok for pod in before.real_pods}
    changed = [p for p in now.real_pods if held.get((p.worker, p.address), True) != p.ok]
    for pod in changed[:MAX_ROWS]:
        whom = f"{len(pod.answered)} of {counted(len(pod.asked), 'worker')}"
        yield f"pod {pod.address} on {pod.worker} answers {whom}"
    if len(changed) > MAX_ROWS:
        yield f"and {counted(len(changed) - MAX_ROWS, 'more pod')} changed"


def _causes(before: Verification, now: Verification) -> Iterator[str]:
    old, new = _told(before), _told(now)
    yield from (line for words, line in new.items() if words not in old)
    yield from (f"no longer: {words}" for words in old if words not in new)


def _told(run: Verification) -> dict[str, str]:
    """What a run says of the causes, with their remedies, and of routes that are not planned."""
    causes = {cause.words: f"{cause.words} -> {cause.remedy}" for cause in run.causes}
    return {**causes, **{line: line for line in run.unplanned.values()}}
