"""Edits hosts.toml. Comments, order and formatting stay as they are.

The text is split at its table headers, and tomlkit edits the tables of machines one by one. The
result is accepted only if Python's own parser reads exactly the intended values from it, and if it
passes the checks for every hosts.toml.
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

from .model import ProviderNetwork, Role
from .read import parsed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEADER = re.compile(r"[ \t]*\[\[?[ \t]*[\w\"'.-]+[ \t]*\]\]?[ \t]*(#.*)?")
MACHINES = re.compile(r"[ \t]*\[\[[ \t]*[\"']?(workers|controllers)[\"']?[ \t]*\]\]")
CLUSTER = re.compile(r"[ \t]*\[[ \t]*[\"']?cluster[\"']?[ \t]*\]")
Fields = Mapping[str, tuple[str, ...]]  # the values of each field, one for each address family


@dataclass(frozen=True)
class Edit:
    """Changes to hosts.toml, by the names of machines. `network`: a [network] that is new."""

    sets: Mapping[str, Fields] = field(default_factory=dict)
    adds: Sequence[tuple[str, Role, Fields]] = ()
    removes: frozenset[str] = frozenset()
    network: ProviderNetwork | None = None

    @property
    def empty(self) -> bool:
        """Whether there is no change."""
        return not (self.sets or self.adds or self.removes or self.network)


def new_file(pod_networks: Sequence[str]) -> str:
    """The text of a hosts.toml without machines."""
    listed = ", ".join(f'"{network}"' for network in pod_networks)
    return f"""\
# The cluster: its machines and their pod networks. `fab discover` refreshes it.

[cluster]
pod_networks = [{listed}]     # routes to other prefixes are never changed
# node_networks = ["10.240.0.0/24"]   # internal IPs are inside these

# [ssh]                               # all optional; ~/.ssh/config is honoured
# user = "root"                       # any other user needs sudo
# key_file = "kubernetes.id_rsa"      # beside this file, or an absolute path
# host_keys = "accept-new"            # "strict", "accept-new" (learns new keys), "off"
"""


def edited(text: str, edit: Edit) -> str:
    """The text of a hosts.toml after an edit. Raises Stop where its form allows no edit.

    Line endings are kept, and everything that is not edited stays the same to the byte.
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
            "nothing is written: in this form, the file cannot be edited without changing more"
            " of it; give each machine a [[workers]] or [[controllers]] table"
        )
    return mark + (result.replace("\n", "\r\n") if crlf else result)


def _edited(text: str, edit: Edit) -> Iterator[str]:
    pieces = _pieces(text)
    kinds = [match[1] if (match := MACHINES.match(piece)) else "" for piece in pieces]
    names = [_name(piece, kind) if kind else "" for piece, kind in zip(pieces, kinds, strict=True)]
    last = {kind: at for at, kind in enumerate(kinds) if kind}
    added: dict[int, str] = {}
    if edit.network:  # below [cluster], else at the end
        added[next((n for n, p in enumerate(pieces) if CLUSTER.match(p)), len(pieces))] = (
            f'\n[network]\nprovider = "{edit.network.provider}"\nname = "{edit.network.name}"\n'
        )
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
    """The text split before each table header. The first piece is the text before all tables."""
    pieces = [""]
    for line in text.splitlines(keepends=True):
        if HEADER.fullmatch(line.rstrip("\n")):
            pieces.append("")
        pieces[-1] += line
    return pieces


def _body(piece: str) -> tuple[str, str]:
    """A table with the comments right below it, and the blank lines and comments after that."""
    lines = piece.splitlines(keepends=True)
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    while end < len(lines) and lines[end].strip():
        end += 1
    return "".join(lines[:end]), "".join(lines[end:])


def _without_heading(rest: str) -> str:
    """The text before a removed table, without the comment right above that table."""
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
    """The values that the file must hold after the edit."""
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
    if edit.network:
        data["network"] = {"provider": edit.network.provider, "name": edit.network.name}
    return data


def put_in_place(path: Path, before: str | None, after: str, *, with_key: bool) -> None:
    """Replace the text of a file atomically. Its mode and owner are kept.

    `before`: the text that was edited, None where there was no file. `with_key`: as in
    `inventory.read`. Raises Stop and leaves the file as it is where the result has mistakes, where
    the file has changed meanwhile, and where it cannot be written.
    """
    with replacing(path, after):
        _check(path, after, with_key)
        if current(path) != before:
            raise Stop(f"{path}: changed by another program; nothing is written: try again")


def current(path: Path) -> str | None:
    """The exact text of a file, None where there is none. Raises Stop where it is unreadable."""
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
        raise Stop(f"{path} is not written; the result would have mistakes:\n{stop}") from None
