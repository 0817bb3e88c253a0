"""Asks the operator at the terminal to choose the values that the sources leave open."""

import sys
from dataclasses import replace

from tasks.common.terminal import is_interactive
from tasks.common.values import Network

from .merge import Discovery, Row


def ask_about_open_rows(discovery: Discovery) -> Discovery:
    """The discovery with the operator's answers; unchanged if stdin is not a terminal."""
    if not (discovery.open and is_interactive()):
        return discovery
    chosen: set[Network | None] = set()  # networks of the values chosen so far
    rows = []
    for row in discovery.rows:
        if row.state == "open":
            row = _on_chosen_network(row, chosen) or _answer(row)  # noqa: PLW2901
            if row.state != "open":
                chosen.add(row.values[0].network)
        rows.append(row)
    return replace(discovery, rows=tuple(rows))


def _on_chosen_network(row: Row, chosen: set[Network | None]) -> Row | None:
    """The row with its only value on a network that was chosen before.

    None if several values, or no value, are on such a network.
    """
    values = [value for value in row.values if value.network and value.network in chosen]
    if len(values) != 1:
        return None
    print(f"{row.machine}: {row.field} {values[0].text}, on the same network", file=sys.stderr)
    return row.settled(values[0])


def _answer(row: Row) -> Row:
    """The row with the value that the operator picks, or the open row if there is no pick."""
    print(f"{row.machine}: which {row.field}?", file=sys.stderr)
    for number, value in enumerate(row.values, 1):
        print(f"  {number}  {value.text}  ({value.place})", file=sys.stderr)
    print("number, or Enter to leave it open: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if answer.isdecimal() and 1 <= int(answer) <= len(row.values):
        return row.settled(row.values[int(answer) - 1])
    return row
