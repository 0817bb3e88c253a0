"""A gap: something of a machine that its snapshot or its copy lacks, and what depends on it."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, ConfigDict
from pydantic.dataclasses import dataclass

from tasks.common import values

EVERY = {4: "0.0.0.0/0", 6: "::/0"}


def _prefix(text: str) -> str:
    return text and str(values.prefix(text))


def _device(text: str) -> str:
    return text and values.device(text)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Gap:
    """What is not copied of a machine, in words, and which packets at that machine it may concern.

    `prefix`: only packets from or to these addresses; empty for all. `device`: only packets over
    this link; empty for all. `packets`: False where it decides about no packet.
    """

    words: Annotated[str, AfterValidator(values.shown)]
    prefix: Annotated[str, AfterValidator(_prefix)] = ""
    device: Annotated[str, AfterValidator(_device)] = ""
    packets: bool = True


def of_route(family: int, line: str, words: str) -> Gap:
    """The gap of a route of IP version 4 or 6, given the line that shows it."""
    for word in line.split()[:2]:  # the first may be a type, such as "blackhole"
        try:
            return Gap(words, _prefix(word))
        except ValueError:
            continue
    return Gap(words, EVERY[family])


def of_rule(family: int, _: str, words: str) -> Gap:
    """The gap of a policy rule: nobody knows which packets it is about."""
    return Gap(words, EVERY[family])


def few(gaps: Sequence[Gap], most: int) -> tuple[Gap, ...]:
    """The first `most` gaps; one more stands for the rest, and concerns every packet."""
    rest = len(gaps) - most
    return (*gaps[:most], Gap(f"and {rest} more")) if rest > 0 else tuple(gaps)
