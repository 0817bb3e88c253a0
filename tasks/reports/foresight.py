"""What a plan would do to the pairs: for people as text, for programs as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tasks.common.text import counted, first, listed, wrapped
from tasks.connectivity.verdict import Pair
from tasks.foresight.model import Foresight

from .verify_table import MEANING, cause_text

MOST_TOLD = 20  # reasons why nobody can say


def foresight_report(seen: Foresight) -> str:
    """How many pairs will answer, why the others will not, and of which nobody can say."""
    return "\n".join(
        [
            *wrapped([_totals(seen)]),
            *(cause_text(cause, before="not: ") for cause in seen.why),
            *wrapped(_unexplained(seen)),
            *wrapped(_doubts(seen)),
            *wrapped(_lost(seen)),
        ]
    )


def lost_words(seen: Foresight) -> str:
    """The pairs that reach each other now and would not, on one line; empty if there are none."""
    if not seen.lost:
        return ""
    pairs = counted(len(seen.lost), "pair")
    reach = "answers" if len(seen.lost) == 1 else "answer"
    return f"{pairs} that {reach} now would not: {listed(map(_named, seen.lost))}"


def _named(pair: Pair) -> str:
    sender = f"{pair.source}'s pods" if pair.from_pod else pair.source
    return f"{sender} to {pair.target}'s, IPv{pair.family}"


def _totals(seen: Foresight) -> str:
    pods = [p for p in seen.after if p.from_pod]
    hosts = [p for p in seen.after if not p.from_pod]

    def answering(pairs: Sequence[Pair]) -> int:
        return sum(p.ok and p not in seen.doubts for p in pairs)

    parts = [
        f"after this change {answering(pods):,} of {len(pods):,} pairs will answer",
        f"machine to pod: {answering(hosts):,} of {len(hosts):,}",
    ]
    if seen.sampled:
        parts.append("a sample of all pairs")
    if seen.skipped:
        parts.append(f"skipped {', '.join(seen.skipped)}")
    return "; ".join(parts)


def _unexplained(seen: Foresight) -> Iterator[str]:
    """The silent pairs that no cause explains, by how they fail."""
    explained = {pair for cause in seen.why for pair in cause.pairs}
    rest = [pair for pair in seen.silent if pair not in explained]
    for verdict, number in Counter(pair.verdict for pair in rest).items():
        yield f"not: {counted(number, 'pair')}: {MEANING[verdict]}"


def _doubts(seen: Foresight) -> list[str]:
    whys = Counter(seen.doubts.values())
    lines = [f"cannot say of {counted(number, 'pair')}: {why}" for why, number in whys.items()]
    return first(lines, MOST_TOLD)


def _lost(seen: Foresight) -> list[str]:
    words = lost_words(seen)
    return [words] if words else []


def foresight_json(seen: Foresight) -> dict[str, object]:
    """The same as a part of a plan's JSON."""
    why = seen.why
    lost = frozenset(seen.lost)
    return {
        "pairs": [
            {
                "from": pair.source,
                "to": pair.target,
                "family": pair.family,
                "sent_by": "pod" if pair.from_pod else "machine",
                "answers": None if pair in seen.doubts else pair.ok,
                "verdict": pair.verdict,
                "lost": pair in lost,
                "cannot_say": seen.doubts.get(pair),
                "causes": [number for number, cause in enumerate(why) if pair in cause.pairs],
            }
            for pair in seen.after
        ],
        "causes": [
            {"machine": c.machine or None, "words": c.words, "remedy": str(c.remedy)} for c in why
        ],
        "sampled": seen.sampled,
    }
