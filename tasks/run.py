"""One run of a change, as every machine is told of it."""

import getpass
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timezone

from .cluster import Network


@dataclass(frozen=True)
class Run:
    """What all machines are told of one run."""

    id: str  # sorts by time
    who: str  # user@host
    timeout: int  # seconds until a change that nobody confirms takes itself back
    pod_networks: tuple[Network, ...]
    machines: tuple[str, ...] = ()  # all that it changes
    since: str = ""  # HH:MM:SS by the operator's clock


def new_run(pod_networks: tuple[Network, ...], timeout: int) -> Run:
    """A run that starts now, of the user of this machine."""
    now = datetime.now(timezone.utc)
    return Run(
        now.strftime("%Y%m%dT%H%M%S.%f"),
        f"{_user()}@{socket.gethostname()}",
        timeout,
        pod_networks,
        since=now.astimezone().strftime("%H:%M:%S"),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return f"uid {os.getuid()}"
