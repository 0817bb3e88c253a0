"""A run of verify as one page for the browser, which loads nothing else.

The text is in the HTML; the page's script draws the matrices from numbers.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.common.text import counted
from tasks.connectivity.ping import COUNT
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.result import Verification, View, legal

from .verify_formats import utc
from .verify_table import MEANING, how, shown_pods

TEMPLATES = Path(__file__).parent / "templates"
BANDS = (0.5, 2, 10, 50)  # milliseconds: a round trip belongs to the first band above it
MAX_ROWS = 200  # of failing pairs; the rest is counted
Kind = tuple[str, int, tuple[int, ...]]  # state, how many of COUNT pings were answered, causes
ABSENT = {
    "self": "a machine's own pods: not pinged",
    "unreachable": "a machine could not be asked",
    "not pinged": "nothing is known of this pair",
}


def verify_page(verification: Verification) -> str:
    """The page's HTML. What a machine said is escaped text in it; its only script is page.js."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    failing = [pair for pair in verification.pairs if not pair.ok]
    numbers = verification.cause_numbers()
    listed = sorted(failing, key=lambda pair: pair in numbers)[:MAX_ROWS]  # unexplained ones first
    script, style = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.js", "page.css")
    )
    html = environment.get_template("page.html.j2").render(
        run=verification,
        started=utc(verification.when),
        headline=_headline(verification, len(failing)),
        state=_state(verification, len(failing)),
        summaries=[_summary(view) for view in verification.views],
        failing=[(p, [n + 1 for n in numbers.get(p, [])]) for p in listed],
        more=len(failing) - MAX_ROWS,
        meaning={v: MEANING[v] for v in dict.fromkeys(pair.verdict for pair in failing)},
        pods=shown_pods(verification.real_pods),
        how=how(verification),
        counted=counted,
        data=_data(verification, numbers),
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
    )
    return legal(html)


def _hash(text: str) -> str:
    """The source expression for an inline script or style in a CSP (W3C CSP3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _state(verification: Verification, failing: int) -> str:
    if failing or not verification.ok:
        return "bad"
    return "doubtful" if verification.stopped or verification.skipped else "good"


def _headline(verification: Verification, failing: int) -> str:
    every = len(verification.pairs)
    if failing:
        return f"{failing} of {counted(every, 'pair')} {'fail' if failing > 1 else 'fails'}"
    if verification.stopped:
        return "The run ended early"
    if not verification.ok:
        return f"All {counted(every, 'pair')} answer, but pods are cut off"
    if every == 0:
        return "No pairs to ping"
    if verification.skipped:
        return f"All {counted(every, 'pair')} that could be pinged answer"
    return f"All {counted(every, 'pair')} answer"


def _summary(view: View) -> str:
    if not view.pairs:
        return "None of these pairs has been pinged"
    rtts = [pair.rtt for pair in view.pairs if pair.rtt is not None]
    slowest = f", the slowest within {max(rtts):.2f} ms" if rtts else ""
    return f"{sum(p.ok for p in view.pairs)} of {counted(len(view.pairs), 'pair')} answer{slowest}"


def _data(verification: Verification, numbers: Mapping[Pair, Sequence[int]]) -> dict[str, object]:
    """What the script draws. It is kept short: 200 machines have 40,000 pairs."""
    places = {m.name: place for place, m in enumerate(verification.cluster.machines)}
    return {
        "sent": COUNT,
        "bands": BANDS,
        "meaning": {"ok": "answered, packets of every size", **MEANING, **ABSENT},
        "machines": list(places),
        "skipped": dict(verification.skipped),
        "causes": [[cause.words, str(cause.remedy)] for cause in verification.causes],
        "views": [
            _view_data(view, verification.skipped, numbers, places) for view in verification.views
        ],
    }


def _view_data(
    view: View,
    skipped: Mapping[str, str],
    numbers: Mapping[Pair, Sequence[int]],
    places: Mapping[str, int],
) -> dict[str, object]:
    """A view row by row: for each cell the number of its kind, and its RTT in microseconds or -1.

    Cells that differ only in their RTT have the same kind.
    """
    pairs = {(pair.source, pair.target): pair for pair in view.pairs}
    kinds: dict[Kind, int] = {}
    cells, rtts = [], []
    for sender in view.senders:
        for receiver in view.receivers:
            pair = pairs.get((sender, receiver))
            if pair is not None:
                kind: Kind = (pair.verdict, pair.received, tuple(numbers.get(pair, ())))
            elif sender == receiver:
                kind = ("self", 0, ())
            else:
                dead = sender in skipped or receiver in skipped
                kind = ("unreachable" if dead else "not pinged", 0, ())
            cells.append(kinds.setdefault(kind, len(kinds)))
            rtt = pair.rtt if pair is not None else None
            rtts.append(-1 if rtt is None else round(1000 * rtt))
    return {
        "title": view.title,
        "senders": [places[name] for name in view.senders],
        "receivers": [places[name] for name in view.receivers],
        "kinds": list(kinds),
        "cells": cells,
        "rtts": rtts,
    }
