"""Writing what was found into hosts.toml: comments, order and formatting stay as they are.

The text is taken apart at its table headers; tomlkit edits the machines' tables one by one, and
the whole is accepted only if it says exactly what was meant, by Python's own parser, and passes
the checks that every hosts.toml has to pass.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array

from tasks.common.atomic import replacing
from tasks.common.errors import Stop
from tasks.common.files import content

from .model import Role
from .read import parsed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEADER = re.compile(r"[ \t]*\[\[?[ \t]*[\w\"'.-]+[ \t]*\]\]?[ \t]*(#.*)?")
MACHINES = re.compile(r"[ \t]*\[\[[ \t]*[\"']?(workers|controllers)[\"']?[ \t]*\]\]")
Fields = Mapping[str, tuple[str, ...]]  # the values of each field, one for each address family


@dataclass(frozen=True)
class Edit:
    """What is to be changed; names are those of machines."""

    sets: Mapping[str, Fields] = field(default_factory=dict)
    adds: Sequence[tuple[str, Role, Fields]] = ()
    removes: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether nothing is to be changed."""
        return not (self.sets or self.adds or self.removes)


def new_file(pod_networks: Sequence[str]) -> str:
    """The beginning of a hosts.toml for somebody who has none."""
    listed = ", ".join(f'"{network}"' for network in pod_networks)
    return f"""\
# The cluster: its machines, and what their pods' networks are. `fab discover` refreshes it.

[cluster]
pod_networks = [{listed}]     # only prefixes inside these are ever touched
# node_networks = ["10.240.0.0/24"]   # which of a node's addresses is the internal one

# [ssh]                               # all optional; ~/.ssh/config is honoured
# user = "root"                       # any other user goes through sudo
# key_file = "kubernetes.id_rsa"      # beside this file, or an absolute path
# host_keys = "accept-new"            # "strict", "accept-new" (learn once, then insist), "off"
"""


def edited(text: str, edit: Edit) -> str:
    """A hosts.toml's text with an edit carried out; raises Stop where its form does not allow it.

    Lines end as they did, and what is not edited stays as it is, to the byte.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    crlf = "\r\n" in text and not re.search(r"(?<!\r)\n", text)
    plain = text.replace("\r\n", "\n") if crlf else text
    try:
        result = "".join(_edited(plain, edit))
        right = tomllib.loads(result) == _meant(tomllib.loads(plain), edit)
    except (TOMLKitError, tomllib.TOMLDecodeError):
        right = False
    if not right:
        raise Stop(
            "nothing is written: the file is in a form that cannot be edited without changing"
            " more; give each machine a [[workers]] or [[controllers]] table"
        )
    return mark + (result.replace("\n", "\r\n") if crlf else result)


def _edited(text: str, edit: Edit) -> Iterator[str]:
    pieces = _pieces(text)
    kinds = [match[1] if (match := MACHINES.match(piece)) else "" for piece in pieces]
    names = [_name(piece, kind) if kind else "" for piece, kind in zip(pieces, kinds, strict=True)]
    last = {kind: at for at, kind in enumerate(kinds) if kind}
    added: dict[int, str] = {}
    for name, role, fields in edit.adds:
        at = last.get(f"{role}s", max(last.values(), default=len(pieces)))
        added[at] = added.get(at, "") + "\n" + _table(f"{role}s", name, fields)
    for at, (piece, kind, name) in enumerate(zip(pieces, kinds, names, strict=True)):
        body, rest = _body(piece)
        if kind and name in edit.removes:
            body = ""
        elif kind and name in edit.sets:
            body = _set(body, kind, edit.sets[name])
        if at + 1 < len(pieces) and kinds[at + 1] and names[at + 1] in edit.removes:
            rest = _without_heading(rest)
        yield _ended(body) + added[at] + rest if at in added else body + rest
    yield added.get(len(pieces), "")


def _ended(body: str) -> str:
    return f"{body}\n" if body and not body.endswith("\n") else body


def _pieces(text: str) -> list[str]:
    """The text cut before each table header; what stands before the first is a piece too."""
    pieces = [""]
    for line in text.splitlines(keepends=True):
        if HEADER.fullmatch(line.rstrip("\n")):
            pieces.append("")
        pieces[-1] += line
    return pieces


def _body(piece: str) -> tuple[str, str]:
    """A table with the comments close to it, and the blank lines and comments after those."""
    lines = piece.splitlines(keepends=True)
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    while end < len(lines) and lines[end].strip():
        end += 1
    return "".join(lines[:end]), "".join(lines[end:])


def _without_heading(rest: str) -> str:
    """What stands before a table that is removed, without the comment right above it."""
    lines = rest.splitlines(keepends=True)
    while lines and lines[-1].lstrip().startswith("#"):
        lines.pop()
    while lines and not lines[-1].strip():
        lines.pop()
    return "".join(lines)


def _name(piece: str, kind: str) -> str:
    return str(tomlkit.parse(piece).unwrap()[kind][0].get("name", ""))


def _set(body: str, kind: str, fields: Fields) -> str:
    document = tomlkit.parse(_ended(body))
    table: Any = document[kind][0]
    for key, values in fields.items():
        old = table.get(key)
        if isinstance(old, Array) and len(old) == len(values):
            for at, value in enumerate(values):
                if old[at] != value:
                    old[at] = value
        else:
            table[key] = _value(values, isinstance(old, Array))
    text = tomlkit.dumps(document)
    return text if body.endswith("\n") else text.removesuffix("\n")


def _value(values: Sequence[str], listed: bool = False) -> str | list[str]:
    return list(values) if listed or len(values) > 1 else values[0]


def _table(kind: str, name: str, fields: Fields) -> str:
    table = tomlkit.table()
    for key, values in {"name": (name,), **fields}.items():
        table[key] = _value(values)
    return f"[[{kind}]]\n{tomlkit.dumps(table)}"


def _meant(data: dict[str, Any], edit: Edit) -> dict[str, Any]:
    """What the file has to say after the edit."""
    for kind in ("workers", "controllers"):
        tables = [t for t in data.get(kind, ()) if t["name"] not in edit.removes]
        for table in tables:
            for key, values in edit.sets.get(table["name"], {}).items():
                table[key] = _value(values, isinstance(table.get(key), list))
        for name, role, fields in edit.adds:
            if f"{role}s" == kind:
                new = {key: _value(values) for key, values in fields.items()}
                tables.append({"name": name, **new})
        if tables or data.pop(kind, None) is None:
            data.update({kind: tables} if tables else {})
    return data


def put_in_place(path: Path, before: str | None, after: str, *, with_key: bool) -> None:
    """Put a new text in the place of a file at once, its mode and owner kept.

    `before` is the text that the new one was made from, None where there was no file; `with_key`
    is as in `inventory.read`. Raises Stop where the result has mistakes, where the file has been
    changed meanwhile, and where it cannot be written: then it is as before.
    """
    with replacing(path, after):
        _check(path, after, with_key)
        if current(path) != before:
            raise Stop(f"{path}: changed while it was read; nothing is written: try again")


def current(path: Path) -> str | None:
    """A file's text to the byte, None where there is no file; Stop where it cannot be read."""
    try:
        return content(path).decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Stop(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Stop(f"{path}: not UTF-8; save it as UTF-8") from None


def _check(path: Path, text: str, with_key: bool) -> None:
    try:
        parsed(path, text.encode(), with_key=with_key)
    except Stop as stop:
        raise Stop(f"{path} is not written, it would not pass:\n{stop}") from None
