"""Formats the output of `fab discover`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.common.text import MAX_ROWS, counted, table, wrapped
from tasks.discovery.gather import Gathered
from tasks.discovery.merge import Discovery, Row, State
from tasks.discovery.network import NetworkFound
from tasks.facts.providers import notes as provider_notes
from tasks.inventory.edit import Edit
from tasks.inventory.model import Cluster


def discovery_report(
    gathered: Gathered, cluster: Cluster | None, edit: Edit, path: Path, shared: NetworkFound
) -> str:
    """The report: a table of the values found, notes, and a line of totals.

    A long table leaves out values that are the same in hosts.toml.
    """
    discovery = gathered.discovery
    shown = [
        r
        for r in discovery.rows
        if len(discovery.rows) <= MAX_ROWS or r.state != "same" or r.against
    ]
    headers = ["machine", "field", "found", "from", path.name]
    named = shared.network or (cluster and cluster.network)
    pods = cluster.pod_networks if cluster else ()
    notes = [] if named else provider_notes(gathered.providers, pods)
    lines = [cells for row in shown for cells in _cells(row, _new(row, discovery))]
    if shared.network:
        state = "same" if shared.held else "new"
        lines.insert(0, ["[network]", "name", str(shared.network), shared.source, state])
    parts = [
        table(headers, lines) if lines else "",
        "\n".join(
            wrapped(
                [
                    *_gone(discovery, edit, path),
                    *discovery.notes,
                    *filter(None, [shared.note]),
                    *notes,
                ]
            )
        ),
        _totals(discovery, shared),
    ]
    return "\n\n".join(part for part in parts if part)


def _new(row: Row, discovery: Discovery) -> str:
    """The state column of a new value. The first row of a new machine also shows its role."""
    first = row.machine in discovery.new and row.field == "public_ip"
    return f"new {discovery.roles[row.machine]}" if first else "new"


def _cells(row: Row, new: str) -> Iterable[list[str]]:
    """The lines of the table for one row; `new` is the state shown for a new value."""
    first, *others = row.values
    words: dict[State, str] = {"open": "choose", "new": new}
    state = words.get(row.state, row.state)
    yield [row.machine, row.field, first.text, first.place, state]
    for value in others:
        yield ["", "or", value.text, value.place, ""]
    if row.state == "differs" or (row.state == "open" and row.held):
        yield ["", "instead of", row.held, "", ""]
    for value in row.against:
        yield ["", "but", value.text, value.place, ""]


def _gone(discovery: Discovery, edit: Edit, path: Path) -> list[str]:
    """One message for each machine of hosts.toml that a source should list but does not."""
    lines = []
    for name, sources in discovery.gone.items():
        fate = "to be removed" if name in edit.removes else "kept"
        hint = "; --prune removes it" if fate == "kept" and name in discovery.absent else ""
        lines.append(f"{name}: in {path.name}, but not in {', '.join(sources)}: {fate}{hint}")
    return lines


def _totals(discovery: Discovery, shared: NetworkFound) -> str:
    states = Counter(row.state for row in discovery.rows)
    if shared.network:
        states["same" if shared.held else "new"] += 1
    words: dict[State, str] = {"new": "new", "differs": "different", "open": "to choose"}
    contradicted = sum(bool(row.against) for row in discovery.rows)
    numbers = [
        f"{counted(states['same'], 'value')} the same",
        *(f"{states[state]} {word}" for state, word in words.items() if states[state]),
        *([f"{contradicted} contradicted"] if contradicted else []),
    ]
    return f"{counted(len(discovery.roles), 'machine')}: {', '.join(numbers)}"


def hints(
    gathered: Gathered, edit: Edit, path: Path, write: bool, guess: Sequence[str]
) -> list[str]:
    """The next steps for the operator, one line each.

    `guess` holds the pod networks of a new file if they are derived from the pod CIDRs found.
    """
    discovery = gathered.discovery
    lines = [
        f"{source} has {counted(number, 'other machine')}; --match and --tag take machines in"
        for source, number in gathered.others.items()
        if number
    ]
    if guess:
        said = f"its pod_networks are {', '.join(guess)}, by what was found"
        lines.append(f"{path} is new; {said}: --pod-networks says others")
    lines += [f"{flag}: no source lists such a machine" for flag in gathered.unmet]
    if discovery.open:
        lines += [f"a person has to choose; write the right value into {path}:"]
        lines += [f"  {_choice(row, discovery)}" for row in discovery.open]
        networks = {str(v.network): None for row in discovery.open for v in row.values if v.network}
        if networks:
            lines += [f"  or, in [cluster]: node_networks = [{_either(networks)}]"]
    elif edit.empty:
        lines += [f"nothing to write{f': {path} says all this' if discovery.rows else ''}"]
    elif not write:
        lines += [f"nothing was written; --write puts this into {path}"]
    return lines


def _choice(row: Row, discovery: Discovery) -> str:
    new = "a new " if row.machine in discovery.new else ""
    where = f"{new}[[{discovery.roles[row.machine]}s]]"
    return f"{row.machine}, {where}: {row.field} = {_either(v.text for v in row.values)}"


def _either(values: Iterable[str]) -> str:
    return " or ".join(f'"{value}"' for value in values)
