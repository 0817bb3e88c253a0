"""`fab verify`: prove with pings that pods on different workers would reach each other."""

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from invoke import Context, task

from tasks.cli.command import Command
from tasks.cli.session import session
from tasks.common.errors import Status, Stop

if TYPE_CHECKING:
    from tasks.diagnosis.result import Verification
    from tasks.diagnosis.verify import VerifyOptions
    from tasks.ssh.fleet import Fleet


@task(klass=Command)
def verify(
    c: Context,
    inventory: str = "",
    skip_unreachable: bool = False,
    report: str = "",
    format: str = "table",  # noqa: A002
    tcp: int = 0,
    sample: int = 0,
    seed: int = 0,
    full: bool = False,
    pods: bool = False,
    watch: int = 0,
    parallel: int = 0,
) -> None:
    """Prove with pings between pod CIDRs that the routes work, both ways."""
    from datetime import datetime

    from tasks.diagnosis.result import start
    from tasks.diagnosis.verify import VerifyOptions, run_verify
    from tasks.reports.publish import Output, publish

    if watch and format != "table":
        raise Stop("--watch prints changes, a line each: it cannot be combined with --format")
    machines = session.fleet(c, inventory, parallel)
    skip = skip_unreachable or watch > 0
    options = VerifyOptions(skip, tcp, sample, seed or datetime.now().microsecond, full, pods)
    begun = start(machines.cluster, rehearsal=session.rehearsing)
    known = publish(run_verify(machines, options, begun), Output(format, report, session.report))
    if watch:
        _watch(machines, options, known, report, watch)
    if not known.ok:
        raise Stop(status=Status.SILENT)
    if known.skipped:
        raise Stop(status=Status.NOT_WHOLE)


def _watch(
    machines: "Fleet", options: "VerifyOptions", known: "Verification", page: str, every: int
) -> NoReturn:
    """Run again every so many seconds, and print what has changed, until interrupted.

    A run that ends early is reported once, and the next one is tried.
    """
    from datetime import datetime
    from time import sleep

    from tasks.diagnosis.result import start
    from tasks.diagnosis.verify import run_verify
    from tasks.reports.publish import Output, publish

    options = replace(options, skip_unreachable=True)
    last_error = ""
    while True:
        sleep(every)
        begun = start(machines.cluster, rehearsal=known.rehearsal)
        output = Output("table", page, partial(print, flush=True), known)
        try:
            known = publish(run_verify(machines, options, begun), output)
            last_error = ""
        except Stop as stop:
            if stop.message != last_error:
                last_error = str(stop.message)
                print(f"{datetime.now():%H:%M:%S}  {last_error}", file=sys.stderr)
