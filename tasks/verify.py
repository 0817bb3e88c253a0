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
    from tasks.diagnosis.verify import Wish
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
    """Prove with pings between pod subnets that the routes work, both ways."""
    from datetime import datetime

    from tasks.diagnosis.result import beginning
    from tasks.diagnosis.verify import Wish, look
    from tasks.reports.publish import Publication

    if watch and format != "table":
        raise Stop("--watch prints what has changed, a line each: not with --format")
    machines = session.fleet(c, inventory, parallel)
    skip = skip_unreachable or watch > 0
    wish = Wish(skip, tcp, sample, seed or datetime.now().microsecond, full, pods)
    begun = beginning(machines.cluster, rehearsal=session.rehearsing)
    with Publication(begun, format, report, session.report) as published:
        published.follow(look(machines, wish, begun))
    if watch:
        _watch(machines, wish, published.known, report, watch)
    if not published.known.ok:
        raise Stop(status=Status.SILENT)
    if published.known.skipped:
        raise Stop(status=Status.NOT_WHOLE)


def _watch(
    machines: "Fleet", wish: "Wish", known: "Verification", page: str, every: int
) -> NoReturn:
    """Look again every so many seconds, and print what has changed; until it is interrupted.

    A machine that cannot be asked is a change as well, and ends nothing.
    """
    from datetime import datetime
    from time import sleep

    from tasks.diagnosis.result import beginning
    from tasks.diagnosis.verify import look
    from tasks.reports.publish import Publication

    wish = replace(wish, skip_unreachable=True)
    trouble = ""
    while True:
        sleep(every)
        begun = beginning(machines.cluster, rehearsal=known.rehearsal)
        published = Publication(begun, "table", page, partial(print, flush=True), known)
        try:
            with published:
                published.follow(look(machines, wish, begun))
            known, trouble = published.known, ""
        except Stop as stop:
            if stop.message != trouble:
                trouble = str(stop.message)
                print(f"{datetime.now():%H:%M:%S}  {trouble}", file=sys.stderr)
