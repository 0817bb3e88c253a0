"""`fab discover`: fill and refresh hosts.toml from where the truth already is."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, task

from .command import Command, CommandLine, fleet, help_for, report
from .exits import Status, Stop

if TYPE_CHECKING:
    from .cluster import Cluster
    from .fleet import Fleet

_HELP = {
    "from": "where to look: ssh (default), or others with commas: vultr,ssh",
    "match": "machines by name, exactly or as a pattern: 'worker-*'; several with commas",
    "tag": "machines by tag or label",
    "controllers": "which new machines are controllers: 'controller-*'",
    "context": "kubectl's context",
    "file": "the machines.txt (default: the one in this directory)",
    "pod-networks": "what holds all pod CIDRs, for a new hosts.toml: 10.200.0.0/16",
    "write": "write what was found into hosts.toml",
    "prune": "with --write: remove machines that no source lists any more",
}


@task(klass=Command, help={**help_for("inventory", "skip-unreachable"), **_HELP})
def discover(
    c: Context,
    inventory: str = "",
    from_: str = "ssh",
    match: str = "",
    tag: str = "",
    controllers: str = "",
    context: str = "",
    file: str = "machines.txt",
    pod_networks: str = "",
    write: bool = False,
    prune: bool = False,
    skip_unreachable: bool = False,
) -> None:
    """Show what machines there are, and how that differs from hosts.toml; --write writes it."""
    from . import sources, write_inventory
    from .combine import Selection
    from .discovery import SSH, edit_of, gather, new_text
    from .discovery_report import asked, discovery_report, hints
    from .found import Request

    command_line: CommandLine = c.config.command_line
    names = sources.chosen(from_)
    path = Path(inventory or c.config.inventory)
    if command_line.rehearsing and (write or names != [SSH]):
        raise Stop("a rehearsal asks its own machines only, and writes nothing of them anywhere")
    before = write_inventory.current(path)
    if before is None and names == [SSH]:
        raise Stop(f"{path}: there is none yet; --from another source finds machines for a new one")
    cluster = _cluster(c, inventory, path, names)
    if cluster and pod_networks:
        raise Stop(f"--pod-networks is for a new file; {path} has pod_networks: edit them there")
    gathered = gather(
        names,
        Request(c, context, Path(file), skip_unreachable=skip_unreachable),
        path,
        cluster,
        Selection(cluster, _listed(match), tag),
        _listed(controllers),
        lambda draft: _reach(c, inventory, names, draft),
    )
    gathered = replace(gathered, discovery=asked(gathered.discovery))
    edit = edit_of(gathered.discovery, cluster, prune)
    report(c, discovery_report(gathered, cluster, path))
    for line in hints(gathered, edit, path, write):
        print(line, file=sys.stderr)
    if write and gathered.discovery.open:
        raise Stop("nothing is written")
    if write and not edit.empty:
        text = before or new_text(_listed(pod_networks), gathered.discovery.rows, path)
        after = write_inventory.edited(text, edit)
        write_inventory.write(path, before, after, with_key=SSH in names)
        command_line.forget(path)
        report(c, f"written: {path}")
    if gathered.skipped:
        raise Stop(status=Status.NOT_WHOLE)


def _cluster(c: Context, inventory: str, path: Path, names: list[str]) -> "Cluster | None":
    """What hosts.toml says; None where there is none and other sources can do without."""
    from .discovery import SSH
    from .inventory import read

    if names == [SSH]:
        return fleet(c, inventory).cluster
    return read(path, with_key=SSH in names) if path.exists() else None


def _reach(c: Context, inventory: str, names: list[str], draft: "Cluster") -> "Fleet":
    """The machines of a draft of hosts.toml; where ssh is alone, those of hosts.toml itself."""
    from .fleet import Fleet

    if len(names) == 1:
        return fleet(c, inventory)
    return Fleet(draft, c.config, int(c.config.parallel))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
