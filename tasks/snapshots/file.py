"""Reads and writes the file of a snapshot."""

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tasks.common import values
from tasks.common.errors import Stop
from tasks.common.files import content
from tasks.common.text import first

from .model import FORMAT, VERSION, Snapshot

MAX_BYTES = 1 << 28  # a machine takes 20,000 bytes, one with long tables of routes a million
MOST_TOLD = 5  # mistakes in a file


def to_text(snapshot: Snapshot) -> str:
    """The snapshot as JSON."""
    return (
        TypeAdapter(Snapshot).dump_json(snapshot, indent=1, exclude_defaults=True).decode() + "\n"
    )


def read_snapshot(path: Path) -> Snapshot:
    """The snapshot in a file. The file is not trusted. Raises Stop with what is wrong in it."""
    try:
        text = content(path, MAX_BYTES)
    except OSError as error:
        raise Stop(f"{path}: cannot be read: {error.strerror}") from None
    return from_text(text, str(path))


def from_text(text: bytes | str, place: str) -> Snapshot:
    """The snapshot in a text. `place`: what messages call it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Stop(f"{place}: is no JSON: `fab snapshot FILE` writes such a file") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise Stop(f"{place}: is no snapshot: `fab snapshot FILE` writes one")
    if found.get("version") != VERSION:
        said = values.shown(str(found.get("version")))
        raise Stop(f"{place}: is of version {said}, and this program reads version {VERSION}")
    try:
        snapshot = TypeAdapter(Snapshot).validate_python(found)
    except ValidationError as error:
        lines = [
            f"  {values.shown('.'.join(map(str, e['loc'])))}: {values.shown(e['msg'])}"
            for e in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Stop("\n".join([f"{place}: is wrong:", *first(lines, MOST_TOLD)])) from None
    names = [machine.name for machine in snapshot.machines]
    if len(set(names)) < len(names):
        raise Stop(f"{place}: is wrong: two machines have the same name")
    return snapshot
