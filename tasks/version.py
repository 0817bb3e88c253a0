"""`fab version`: which version of this collection runs. `fab --version` prints Fabric's."""

from invoke import Context, task

from tasks import __version__
from tasks.cli.command import Command, report


@task(klass=Command)
def version(c: Context) -> None:
    """Print the version of this collection; `fab --version` prints Fabric's."""
    report(c, f"pod-routes {__version__}")
