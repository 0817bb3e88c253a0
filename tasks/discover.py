"""`fab discover`: create or update hosts.toml from sources that already know the machines."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from invoke import Context, task

from tasks.cli.command import Command
from tasks.cli.session import session
from tasks.common.errors import Status, Stop

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


@task(klass=Command, help=_HELP)
def discover(
    c: Context,
    inventory: str = "",
    from_: str = "ssh",
    match: str = "",
    tag: str = "",
    controllers: str = "",
    context: str = "",
    file: str = "",
    pod_networks: str = "",
    write: bool = False,
    prune: bool = False,
    skip_unreachable: bool = False,
) -> None:
    """Show what machines there are, and how that differs from hosts.toml; --write writes it."""
    from tasks.discovery import sources
    from tasks.discovery.gather import SSH, around, edit_of, gather, new_text
    from tasks.discovery.merge import Selection
    from tasks.discovery.model import Request
    from tasks.discovery.network import network_found
    from tasks.discovery.prompt import ask_about_open_rows
    from tasks.inventory.edit import current, edited, put_in_place
    from tasks.inventory.read import read
    from tasks.reports.discovery import discovery_report, hints
    from tasks.ssh.fleet import Fleet

    names = sources.chosen(from_)
    alone = names == [SSH]
    listing = [name for name in sources.names() if name != SSH]
    choices = {"--match": match, "--tag": tag, "--controllers": controllers, "--prune": prune}
    _check_use(names, choices, listing)
    _check_use(names, {"--context": context}, ["kubectl"])
    _check_use(names, {"--file": file}, ["machines"])
    if session.rehearsing and (write or not alone):
        raise Stop("a rehearsal asks its own machines only, and writes nothing of them anywhere")
    path = Path(inventory or c.config.inventory)
    before = current(path)
    cluster = None
    if alone and (before is not None or session.rehearsing):
        cluster = session.fleet(c, inventory).cluster
        path = cluster.path
    elif alone:
        raise Stop(f"{path}: there is none yet; --from another source finds machines for a new one")
    elif before is not None:
        cluster = read(path, with_key=SSH in names)
    if cluster and pod_networks:
        raise Stop(f"--pod-networks is for a new file; {path} has pod_networks: edit them there")
    gathered = gather(
        names,
        Request(c, context, Path(file or "machines.txt"), skip_unreachable=skip_unreachable),
        path,
        cluster,
        Selection(cluster, _listed(match), tag),
        _listed(controllers),
        lambda draft: session.fleet(c, inventory) if alone else Fleet(draft, c.config),
    )
    gathered = replace(gathered, discovery=ask_about_open_rows(gathered.discovery))
    guess = [] if cluster or pod_networks else around(gathered.discovery.rows)
    pods = _listed(pod_networks) or guess
    shared = network_found(gathered, cluster, pods, prune)
    edit = replace(edit_of(gathered.discovery, cluster, prune), network=shared.new)
    session.report(discovery_report(gathered, cluster, edit, path, shared))
    for line in hints(gathered, edit, path, write, guess):
        print(line, file=sys.stderr)
    if write and gathered.discovery.open:
        raise Stop("nothing is written")
    if write and not edit.empty:
        text = before or new_text(pods, path)
        after = edited(text, edit)
        put_in_place(path, before, after, with_key=SSH in names)
        session.forget(path)
        session.report(f"written: {path}")
    if gathered.skipped:
        raise Stop(status=Status.NOT_WHOLE)


def _check_use(names: Sequence[str], flags: Mapping[str, object], concerned: Sequence[str]) -> None:
    """Raise Stop if a flag is given that none of the chosen sources uses."""
    for flag, given in flags.items():
        if given and not set(names) & set(concerned):
            asked = ",".join(names)
            raise Stop(f"{flag} says nothing to {asked}; it is for --from {' or '.join(concerned)}")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
