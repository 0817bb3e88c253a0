"""The fields of a machine's answer, and what a hostile machine might write into each.

Fields come from answers that were really given, so that those of a new section are among them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

MARKER = "c4n4ry"  # in all that is hostile
LONGEST = 30  # characters of a field that tell its shape
COMMAND = f"id>{MARKER}"

_HEX = re.compile(r"[0-9a-f.:]+", re.IGNORECASE)
_HEAD = re.compile(r"== (\S+)")
_WORD = re.compile(r"\S+")
_PIECE = re.compile(r"[^\s\"',;={}\[\]()<>|]+")

Payload = Callable[[str], str]


@dataclass(frozen=True)
class Field:
    """A place in an answer; fields alike but for their numbers have the same shape."""

    section: str
    shape: str
    start: int
    end: int


def fields(said: str) -> Iterator[Field]:
    """The fields of an answer, one of each shape: lines, words, and what they are made of."""
    seen = set()
    section, at = "", 0
    for line in said.split("\n"):
        if head := _HEAD.match(line):
            section = head[1]
        spans = {m.span() for pattern in (_WORD, _PIECE) for m in pattern.finditer(line)}
        before = ""
        for start, end in [(0, len(line)), *sorted(spans)]:
            here = _HEX.sub(_folded, line[start : min(end, start + LONGEST)])
            shape = f"{section}: {before} [{here}]"
            if shape not in seen and end > start:
                seen.add(shape)
                yield Field(section, shape, at + start, at + end)
            before = here if end < len(line) else ""
        at += len(line) + 1


def _folded(found: re.Match[str]) -> str:
    """What stands for all addresses of a family, and for all numbers."""
    if found[0].count(":") > 1:
        return "::"
    return "0" if re.search("[0-9]", found[0]) else found[0]


def replaced(said: str, field: Field, payload: Payload) -> str:
    """An answer, with a payload where the field was."""
    return said[: field.start] + payload(said[field.start : field.end]) + said[field.end :]


def payloads(others: Mapping[str, str]) -> dict[str, Payload]:
    """What to write into a field, by what it is called; `others`: values of another machine."""
    said: dict[str, Payload] = {
        "scope": lambda text: _scoped(text, f"%$({COMMAND})"),
        "scope of lines": lambda text: _scoped(text, f"%\nEND\n({COMMAND})\n"),
        "scope of JSON lines": lambda text: _scoped(text, f"%\\nEND\\n({COMMAND})\\n"),
        "scope of the other family": lambda text: f"{text} fd00:200:0:1::%$({COMMAND})/64",
        "scope of an address": lambda text: f"fd00:200:0:1::2%$({COMMAND})",
        "a command after it": lambda text: f"{text};{COMMAND};",
        "lines after it": lambda text: f"{text}\nEND\n{COMMAND}\n",
        "JSON lines after it": lambda text: f"{text}\\nEND\\n{COMMAND}\\n",
        "a section after it": lambda text: f"{text}\n== answering\n{MARKER}\n",
        "a title after it": lambda text: f"{text}\x1b]0;{MARKER}\x07",
        "JSON title after it": lambda text: f"{text}\\u001b]0;{MARKER}\\u0007\\u202e",
        "other digits": lambda text: re.sub("[0-9]", lambda m: chr(0x660 + int(m[0])), text),
    }
    instead = {
        "a substitution": f"$({COMMAND})",
        "an end of quotes": f"'; {COMMAND} #",
        "backticks": f"`{COMMAND}`",
        "a quoted substitution": f'"$({COMMAND})"',
        "C1": f"\x9b31m{MARKER}",
        "right to left": f"\u202e{MARKER}\u2028{MARKER}",
        "no UTF-8": f"\udcff\udc9b{MARKER}",
        "zero": f"\0{MARKER}",
        "400 digits": "9" * 400,
        "5000 digits": "9" * 5000,
        "negative": "-1",
        "14 digits": "99999999999999",
        "an exponent": "1e999",
        "nothing": "",
        "20000 letters": "A" * 20000,
        "superscript": "²",
        "a run to come": "99991231T235959.999999",
        **others,
    }
    return said | {name: _always(text) for name, text in instead.items()}


def _always(text: str) -> Payload:
    return lambda _: text


def _scoped(text: str, scope: str) -> str:
    """An address with a scope ID, in front of its prefix length if it has one."""
    head, slash, length = text.rpartition("/")
    return f"{head}{scope}{slash}{length}" if slash else f"{text}{scope}"
