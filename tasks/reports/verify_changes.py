"""What has changed from one look of verify to the next, a line each. Pure."""

from collections.abc import Iterator

from tasks.common.text import counted
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.result import Verification

from .verify_table import LISTED


def changes(before: Verification, now: Verification) -> list[str]:
    """Lines that begin with the time of the later look; none where all is as it was."""
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
    for pair in changed[:LISTED]:
        was = f", was {held[_key(pair)]}" if _key(pair) in held else ""
        sender = "pod" if pair.from_pod else "machine"
        yield f"{pair.source} to {pair.target}, IPv{pair.family}, {sender}: {pair.verdict}{was}"
    if len(changed) > LISTED:
        yield f"and {counted(len(changed) - LISTED, 'more pair')} changed"


def _key(pair: Pair) -> tuple[str, str, int, bool]:
    return pair.source, pair.target, pair.family, pair.from_pod


def _pods(before: Verification, now: Verification) -> Iterator[str]:
    """The pods that answer other workers differently; a new one that answers all is no news."""
    held = {(pod.worker, pod.address): pod.ok for pod in before.real_pods}
    changed = [p for p in now.real_pods if held.get((p.worker, p.address), True) != p.ok]
    for pod in changed[:LISTED]:
        whom = f"{len(pod.answered)} of {counted(len(pod.asked), 'worker')}"
        yield f"pod {pod.address} on {pod.worker} answers {whom}"
    if len(changed) > LISTED:
        yield f"and {counted(len(changed) - LISTED, 'more pod')} changed"


def _causes(before: Verification, now: Verification) -> Iterator[str]:
    old = {cause.words for cause in before.causes}
    new = {cause.words for cause in now.causes}
    for cause in now.causes:
        if cause.words not in old:
            yield f"{cause.words} -> {cause.remedy}"
    for cause in before.causes:
        if cause.words not in new:
            yield f"no longer: {cause.words}"
