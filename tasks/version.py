"""`fab version`: which version of this collection runs. `fab --version` prints Fabric's."""

from invoke import Context, task

from tasks import __version__
from tasks.cli.command import Command
from tasks.cli.session import session


@task(klass=Command)
def version(_: Context) -> None:
    """Print the version of this collection; `fab --version` prints Fabric's."""
    session.report(f"pod-routes {__version__}")
