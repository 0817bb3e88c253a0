"""A run: one change of a cluster, with the ID and the user that every machine records."""

import getpass
import os
import re
import socket
from dataclasses import dataclass
from datetime import datetime, timezone

from tasks.common.values import Network, quoted, shown

_ID = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{1,6}")


@dataclass(frozen=True)
class Run:
    """What all machines of one run are told about it."""

    id: str  # unique; made of the time, but facts/run_order.py says which run came first
    who: str  # user@host, printable and on one line
    timeout: int  # seconds until a change that nobody confirms reverts
    pod_networks: tuple[Network, ...]
    machines: tuple[str, ...] = ()  # all machines that the run changes
    since: str = ""  # HH:MM:SS by the operator's clock


def new_run(pod_networks: tuple[Network, ...], timeout: int) -> Run:
    """A run that starts now, by the user of this process. `timeout`: seconds."""
    now = datetime.now(timezone.utc)
    return Run(
        now.strftime("%Y%m%dT%H%M%S.%f"),
        shown(f"{_user()}@{socket.gethostname()}"),
        timeout,
        pod_networks,
        since=now.astimezone().strftime("%H:%M:%S"),
    )


def is_run(text: str) -> bool:
    """Whether a text from a machine has the form of a run's ID."""
    return bool(_ID.fullmatch(text))


def run_id(text: str) -> str:
    """The text, if it has the form of a run's ID. Raises ValueError if not."""
    if is_run(text):
        return text
    raise ValueError(f"not the name of a run: {quoted(text)}")


def when(run: str) -> str:
    """When a run began, in UTC by the operator's clock, as text. `run`: its ID."""
    return f"{run[:4]}-{run[4:6]}-{run[6:8]} {run[9:11]}:{run[11:13]}:{run[13:15]} UTC"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return f"uid {os.getuid()}"
