"""`fab snapshot FILE`: write what the machines hold into a file, to be rehearsed on."""

from pathlib import Path

from invoke import Context, task

from tasks.cli.command import Command
from tasks.cli.session import session

_HELP = {
    "file": "the file to write",
    "anonymous": "replace names of machines, hardware addresses and public addresses",
}


@task(klass=Command, help=_HELP)
def snapshot(c: Context, file: str, inventory: str = "", anonymous: bool = False) -> None:
    """Ask the machines what they hold, and write it into a file for `fab rehearse --snapshot`."""
    from tasks.common.atomic import check_writable, replacing
    from tasks.common.text import counted
    from tasks.snapshots.anonymous import anonymous as without_names
    from tasks.snapshots.file import to_text
    from tasks.snapshots.take import take

    check_writable(Path(file))
    taken = take(session.fleet(c, inventory))
    if anonymous:
        taken = without_names(taken)
    with replacing(Path(file), to_text(taken)):
        pass
    session.report(f"written: {file}, {counted(len(taken.machines), 'machine')}")
