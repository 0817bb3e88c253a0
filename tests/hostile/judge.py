"""What must not come of a hostile answer: in scripts, on the terminal, in files."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

from tests.paths import PROJECT

from .fields import MARKER

LONGEST = 2000  # characters of a line on the terminal
REPORTS = (".html", ".json", ".xml")  # which quote what a machine says, escaped

_TOKEN = re.compile(r"[A-Za-z0-9.:%+-]+|[^\x00-\x7f]+|[\x00-\x08\x0b-\x1f\x7f]")
_PARTS = re.compile(r"[.:+-]+")
_CANONICAL = re.compile(
    r"-?\d{1,19}(\.\d{1,9})?|([0-9a-f]{2}:){5}[0-9a-f]{2}|\d{8}T\d{6}(\.\d{6})?|\d\d:\d\d:\d\d",
    re.ASCII,
)


def strange(script: str, known: frozenset[str]) -> Iterator[str]:
    """The words of a script that are neither known nor addresses, networks or numbers."""
    if MARKER in script:
        yield around(script)
        return
    for word in set(_words(script)) - known:
        parts = _PARTS.split(word.strip(".:-+"))
        if not (_is_value(word) or all(part in known or _is_value(part) for part in parts)):
            yield ascii(word[:60])


def vocabulary(texts: Iterable[str]) -> frozenset[str]:
    """The words that scripts may hold: those of the software itself, and of some texts."""
    return _own().union(*map(_tokens, texts))


def shown(printed: str) -> Iterator[str]:
    """What must not have come to a terminal."""
    for line in printed.split("\n"):
        if "Traceback (most" in line:
            yield "a traceback is printed"
        if not line.isprintable():
            raw = sorted({c for c in line if not c.isprintable()})
            yield f"raw on the terminal: {raw!a} in {line[:100]!a}"
        if len(line) > LONGEST:
            yield f"a line of {len(line)} characters on the terminal: {line[:60]!a}"


def written(file: Path) -> Iterator[str]:
    """What must not stand in a file."""
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    raw = sorted({c for c in text if not (c.isprintable() or c in "\n\t")})
    if raw:
        yield f"written to {file.name}: {raw!a}"
    if MARKER not in text:
        return
    if file.suffix not in REPORTS:
        yield f"written to {file.name}: {around(text)}"
    elif f">{MARKER}" in text and file.suffix != ".json":
        yield f"not escaped in {file.name}: {around(text)}"


def around(text: str) -> str:
    """The marker, with what stands around it."""
    at = text.index(MARKER)
    return ascii(text[max(0, at - 40) : at + 40])


def _words(text: str) -> list[str]:
    return _TOKEN.findall(text.replace("_", " "))


def _tokens(text: str) -> Iterator[str]:
    for word in _words(text):
        yield word
        yield word.strip(".:-+")


@lru_cache(maxsize=1)
def _own() -> frozenset[str]:
    files = [p for p in (PROJECT / "tasks").rglob("*") if p.suffix in (".py", ".sh")]
    return frozenset(word for file in files for word in _tokens(file.read_text()))


@lru_cache(maxsize=1 << 16)
def _is_value(word: str) -> bool:
    if _CANONICAL.fullmatch(word):
        return True
    try:
        ip_address(word.removesuffix("."))
    except ValueError:
        return False
    return "%" not in word
