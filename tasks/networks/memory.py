"""What this tool remembers of the routes that it added to a provider's table.

No provider lets a route carry a mark of its own. So a file beside hosts.toml says which are this
tool's. It is written before each call that changes the table, so that it knows more routes than
there are, never fewer. A route that it does not know is foreign, also if it leads where hosts.toml
says: if the file is lost, nothing is deleted.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tasks.common.atomic import replacing
from tasks.common.errors import Stop
from tasks.common.files import content
from tasks.common.provider_cli import Answer
from tasks.common.values import address, network, word
from tasks.inventory.model import ProviderNetwork

from .model import Key

MAX_BYTES = 1 << 20  # a thousand routes take a tenth


@dataclass(frozen=True)
class TableRecord:
    """What one run changed in the table, for `fab rollback --last`.

    `seen`: the last runs of the machines before it, if it changed none of them; else None, and the
    machines have its ID. `owned`: those of `takes` that this tool had added.
    """

    run: str
    seen: frozenset[str] | None
    puts: frozenset[Key] = frozenset()
    takes: frozenset[Key] = frozenset()
    owned: frozenset[Key] = frozenset()
    unchecked: frozenset[str] = frozenset()  # members whose source check it switched off

    @property
    def empty(self) -> bool:
        """Whether nothing was changed."""
        return not (self.puts or self.takes or self.unchecked)

    def without(self, later: "TableRecord") -> "TableRecord":
        """What is left to take back of it once a later run has changed the same destinations."""
        about = {destination for destination, _ in later.puts | later.takes}
        puts, takes, owned = (
            frozenset(key for key in keys if key[0] not in about)
            for keys in (self.puts, self.takes, self.owned)
        )
        unchecked = self.unchecked - later.unchecked
        return replace(self, puts=puts, takes=takes, owned=owned, unchecked=unchecked)


@dataclass(frozen=True)
class Memory:
    """What the file holds. Routes are known by destination and gateway."""

    table: str = ""  # the table's ID, which no other table has; empty: nothing is remembered
    ours: frozenset[Key] = frozenset()  # added, and confirmed
    unfinished: frozenset[Key] = frozenset()  # that a run, which has not ended yet, is to add
    displaced: frozenset[Key] = frozenset()  # foreign ones that were deleted for ours
    unchecked: frozenset[str] = frozenset()  # members whose source check was switched off
    run: str = ""  # the ID of the run that has not ended
    runs: tuple[TableRecord, ...] = ()  # in their order, the last one of each destination

    @property
    def added(self) -> frozenset[Key]:
        """The routes that are this tool's where the table has them."""
        return self.ours | self.unfinished

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take back."""
        return not (self.ours or self.unfinished or self.displaced or self.unchecked)

    def after(self, record: TableRecord) -> "Memory":
        """What is remembered once a run has been recorded."""
        left = (one.without(record) for one in self.runs if one.run != record.run)
        return replace(self, runs=tuple(one for one in (*left, record) if not one.empty))


class _Record(Answer):
    run: str
    seen: list[str] | None
    puts: list[tuple[str, str]]
    takes: list[tuple[str, str]]
    owned: list[tuple[str, str]]
    unchecked: list[str]


class _File(Answer):
    version: int
    table: str
    ours: list[tuple[str, str]]
    unfinished: list[tuple[str, str]]
    displaced: list[tuple[str, str]]
    unchecked: list[str]
    run: str
    runs: tuple[_Record, ...] = ()


def remembered(where: ProviderNetwork, table: str) -> Memory:
    """What is remembered of a table. `table`: its ID. Raises Stop if the file is of another one."""
    memory = _read(where.memory)
    if memory.table not in ("", table) and not memory.empty:
        raise Stop(
            f"{where.memory} is about another network, {memory.table}, not {where.name} ({table}):"
            " name that one in [network] and run `fab rollback`; if it was deleted, delete this"
            " file too"
        )
    return memory if memory.table == table else Memory(table)


def _read(path: Path) -> Memory:
    try:
        file = TypeAdapter(_File).validate_json(content(path, MAX_BYTES))
        if file.version != 1:
            raise Stop(f"{path}: written by a later version of this tool; use that one")
        return Memory(
            word(file.table),
            _keys(file.ours),
            _keys(file.unfinished),
            _keys(file.displaced),
            frozenset(map(word, file.unchecked)),
            word(file.run) if file.run else "",
            tuple(map(_record, file.runs)),
        )
    except FileNotFoundError:
        return Memory()
    except OSError as error:
        raise Stop(f"{path}: cannot be read: {error.strerror}") from None
    except (ValidationError, ValueError):
        raise Stop(
            f"{path}: cannot be read; take it from a backup, or delete it: then no route of the"
            " network counts as this tool's"
        ) from None


def _record(one: _Record) -> TableRecord:
    return TableRecord(
        word(one.run),
        None if one.seen is None else frozenset(map(word, one.seen)),
        _keys(one.puts),
        _keys(one.takes),
        _keys(one.owned),
        frozenset(map(word, one.unchecked)),
    )


def _keys(pairs: Iterable[tuple[str, str]]) -> frozenset[Key]:
    return frozenset((network(one), address(other)) for one, other in pairs)


def remember(where: ProviderNetwork, memory: Memory) -> None:
    """Write the file, or remove it if there is nothing to take back. Raises Stop."""
    if memory.empty:
        try:
            where.memory.unlink(missing_ok=True)
        except OSError as error:
            raise Stop(f"{where.memory}: cannot be removed: {error.strerror}") from None
        return
    document = {
        "version": 1,
        "about": f"routes that this tool added to the network {where}; keep this file",
        "table": memory.table,
        "ours": _listed(memory.ours),
        "unfinished": _listed(memory.unfinished),
        "displaced": _listed(memory.displaced),
        "unchecked": sorted(memory.unchecked),
        "run": memory.run,
        "runs": [
            {
                "run": one.run,
                "seen": None if one.seen is None else sorted(one.seen),
                "puts": _listed(one.puts),
                "takes": _listed(one.takes),
                "owned": _listed(one.owned),
                "unchecked": sorted(one.unchecked),
            }
            for one in memory.runs
        ],
    }
    with replacing(where.memory, json.dumps(document, indent=1) + "\n"):
        pass


def confirm_unfinished(where: ProviderNetwork) -> None:
    """Remember the routes of a run that has not ended as confirmed."""
    memory = _read(where.memory)
    if memory.unfinished:
        added = memory.ours | memory.unfinished
        remember(where, replace(memory, ours=added, unfinished=frozenset(), run=""))


def _listed(keys: Iterable[Key]) -> list[list[str]]:
    return [[str(one), str(other)] for one, other in sorted(keys, key=lambda key: str(key[0]))]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let no other process that is told the same `path` into this block. Raises Stop if one is."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Stop(f"{path}: cannot be read: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = f"another run changes the network of {path}: wait until it has ended"
            raise Stop(busy) from None
        yield
    finally:
        os.close(handle)
