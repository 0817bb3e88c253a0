"""Texts made hostile: by their fields, by their lines, and by chance."""

import random
import re
from functools import lru_cache

from tests.hostile.canary import PAYLOADS
from tests.hostile.fields import Field, fields, replaced

LONG = 200_000  # characters of a text whose reading shows whether it takes linear time
NASTY = "\0\t\r\v\f\x1b\x7f\x85\x9b\u2028\u202e\udcff%$`'\"\\;|&<>/:=[]{}()#²٣ \n"
NUMBERS = ("0", "-1", "1e9", "99999999999999", "9" * 400, "9" * 5000, "4294967296", "0x10", "1_0")


def mutated(text: str, others: tuple[str, ...], chance: random.Random) -> str:
    """The text with one to four things done to it."""
    if chance.random() < 0.4:
        text = _field(text, chance)
    for _ in range(chance.choice((0, 1, 1, 3))):
        text = chance.choice(_WAYS)(text, others, chance)
    return text


def lengthened(text: str, chance: random.Random) -> str:
    """The text with one part of it again and again: a line, a word or a piece of it."""
    if not text:
        return text
    start = chance.randrange(len(text))
    if chance.random() < 0.5:
        start = text.rfind("\n", 0, start) + 1
        end = text.find("\n", start) + 1 or len(text)
    else:
        end = min(len(text), start + chance.choice((1, 2, 8, 60)))
    part = text[start:end] or "\n"
    if chance.random() < 0.5:  # else each the same
        times = LONG // len(part)
        return text[:start] + "".join(_numbered(part, n) for n in range(times)) + text[end:]
    return text[:start] + part * (LONG // len(part)) + text[end:]


def _numbered(part: str, number: int) -> str:
    """A part with its first number made another."""
    return re.sub(r"\d+", str(number % 250), part, count=1)


@lru_cache(maxsize=64)
def _fields(text: str) -> list[Field]:
    return list(fields(text))


def _field(text: str, chance: random.Random) -> str:
    known = _fields(text)
    if not known:
        return text
    return replaced(text, chance.choice(known), PAYLOADS[chance.choice(list(PAYLOADS))])


def _number(text: str, _others: tuple[str, ...], chance: random.Random) -> str:
    found = list(re.finditer(r"\d+", text))
    if not found:
        return text
    one = chance.choice(found)
    return text[: one.start()] + chance.choice(NUMBERS) + text[one.end() :]


def _lines(text: str, others: tuple[str, ...], chance: random.Random) -> str:
    lines = text.split("\n")
    at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
    how = chance.randrange(5)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(to, lines[at])
    elif how == 2:
        lines[at], lines[to] = lines[to], lines[at]
    elif how == 3:
        lines.insert(at, chance.choice(chance.choice(others).split("\n")))
    else:
        del lines[min(at, to) : max(at, to)]
    return "\n".join(lines)


def _characters(text: str, _others: tuple[str, ...], chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    how = chance.randrange(4)
    if how == 0:
        return text[:at] + chance.choice(NASTY) + text[at:]
    if how == 1:
        return text[:at] + chr(chance.randrange(256)) + text[at + 1 :]
    if how == 2:
        return text[:at] + text[at + chance.randrange(1, 20) :]
    return text[:at]


_WAYS = (_number, _lines, _characters)
