"""The tables of `fab status` and `fab history`."""

from collections.abc import Mapping

from tasks.common.text import MAX_LINES, counted, listed, table
from tasks.facts.model import Facts
from tasks.facts.run_order import Row, merged
from tasks.inventory.model import Cluster
from tasks.networks.state import NetworkState
from tasks.rollout.history import Entry
from tasks.undo.run import when

from .bgp import bgp_status


def history_report(found: Mapping[str, list[Entry]], number: int) -> str:
    """A table of the last runs of each machine; machines where a run ended alike share a row.

    `number`: how many runs of each machine.
    """
    chosen: set[str] = set()
    where: dict[Row, list[tuple[str, str]]] = {}
    rows: dict[str, dict[str, list[Row]]] = {}  # by run, then by machine
    for name, entries in found.items():
        chosen.update(list(dict.fromkeys(e.run for e in reversed(entries)))[:number])
        for e in entries:
            where.setdefault(e.row, []).append((e.time, name))
            rows.setdefault(e.run, {}).setdefault(name, []).append(e.row)
    if not where:
        return "no run has changed anything yet"
    runs = merged([(e.run,) for e in es if e.run in chosen] for es in found.values())
    return table(
        ["ended (UTC)", "who", "what", "ended", "on"],
        [
            [max(time for time, _ in where[row]), *row[1:], listed(n for _, n in where[row])]
            for (run,) in runs
            for row in merged(trail[-MAX_LINES:] for trail in rows[run].values())
        ],
    )


def status_report(facts: Mapping[str, Facts], cluster: Cluster) -> str:
    """A table of the machines: routes of ours, displaced routes, and the change that waits.

    Then one of the sessions of BGP, if there are any.
    """
    rows = []
    for name, found in facts.items():
        waits = "-"
        if found.pending is not None:
            waits = f"{found.pending.what}, until {found.pending.until}"
            if found.pending.failed:
                waits = f"{found.pending.what}, which could not be taken back"
        kept = sum(len(d.routes) for d in found.displaced)
        rows.append([name, len(found.owned), kept, waits])
    waiting = sum(found.pending is not None for found in facts.values())
    owned = sum(len(found.owned) for found in facts.values())
    line = f"{counted(len(facts), 'machine')}: {counted(owned, 'owned route')}"
    more = f", {waiting} to be confirmed" if waiting else ", nothing waits for confirmation"
    headers = ["machine", "owned", "displaced", "waits for confirmation"]
    parts = [table(headers, rows), bgp_status(facts, cluster), f"{line}{more}"]
    return "\n\n".join(filter(None, parts))


def network_report(network: NetworkState) -> str:
    """A table of a provider's routes: how many, room for how many, and which are this tool's."""
    table_, memory = network.table, network.memory
    left = sum(map(network.has, memory.unfinished))
    owned = sum(map(network.has, memory.ours - memory.unfinished))
    row = [network.name, len(table_.routes), table_.limit, owned, len(memory.displaced), left]
    headers = ["network", "routes", "of at most", "owned", "displaced", "unfinished"]
    lines = [table(headers, [row])]
    if left:
        lines.append(
            f"{counted(left, 'route')} added by the run of {when(memory.run)}, which has not ended:"
            "\n`fab apply-routes` goes on, `fab rollback` deletes them"
        )
    return "\n\n".join(lines)
