"""What a change writes into the records of a machine. Pure."""

from tasks.planning.model import MachinePlan, Verb
from tasks.undo.records import last_lines


def changed_routes(machine: MachinePlan) -> list[str] | None:
    """The record for `rollback --last`: empty for a rollback; None to leave the record as it is."""
    if machine.repair:
        return None
    if machine.is_rollback:
        return []
    puts = {c.put.key: c.put for c in machine.changes if c.put is not None}
    takes = {r.key: r for c in (*machine.changes, *machine.later) for r in c.take if r.owned}
    brief = puts.keys() & {r.key for c in machine.later for r in c.take}  # put, and taken later
    return last_lines(
        (route for key, route in puts.items() if key not in brief),
        (route for key, route in takes.items() if key not in brief),
    )


def summary(machine: MachinePlan) -> str:
    """A summary of a machine's changes, for its history."""
    counts = [(machine.count(verb), str(verb)) for verb in Verb]
    counts.append((len(machine.restores), "restore"))
    counts.append((len(machine.files.write) + len(machine.files.remove), "file"))
    said = [f"{number} {verb}" for number, verb in counts if number]
    if machine.bird:
        said.append(f"BGP {machine.bird.verb}")
    return ", ".join(said) or "records only"
