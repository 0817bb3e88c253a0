"""What becomes of each pair once a plan is carried out, as a copy of the machines showed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tasks.connectivity.verdict import Pair
from tasks.diagnosis.model import Cause


@dataclass(frozen=True)
class Foresight:
    """The pairs on a copy, after the plan was carried out there.

    `causes`: why pairs do not answer afterwards. `doubts`: the pairs of which nobody can say, each
    with why: something that was not copied may decide. `before`: the pairs without the plan; empty
    if no pair is silent.
    """

    after: Sequence[Pair]
    causes: Sequence[Cause]
    doubts: Mapping[Pair, str]
    before: Sequence[Pair] = ()
    skipped: Sequence[str] = ()  # machines that could not be asked; pairs with them are not known
    sampled: bool = False  # whether not all pairs were pinged

    @cached_property
    def silent(self) -> list[Pair]:
        """The pairs that will not answer, or only small packets, or with another address."""
        return [p for p in self.after if not p.ok and p not in self.doubts]

    @cached_property
    def lost(self) -> list[Pair]:
        """The pairs among them that reach each other now."""
        now = {_ends(p) for p in self.before if _reaches(p)}
        return [p for p in self.silent if not _reaches(p) and _ends(p) in now]

    @cached_property
    def why(self) -> list[Cause]:
        """The causes of silent pairs, and those that cut off pods that no pair shows."""
        silent = frozenset(self.silent)
        return [c for c in self.causes if not c.pairs or not silent.isdisjoint(c.pairs)]

    @property
    def ok(self) -> bool:
        """Whether no pair is known to be silent, and no pods are known to be cut off."""
        return not self.silent and not any(cause.loses for cause in self.why)


def _ends(pair: Pair) -> tuple[str, str, int, bool]:
    return pair.source, pair.target, pair.family, pair.from_pod


def _reaches(pair: Pair) -> bool:
    return pair.ok or pair.verdict == "masqueraded"
