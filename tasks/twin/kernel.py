"""What builds a twin: programs that run to their end or are started, and settings."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.common import values

from .namespaces import NEWNET, coming_back, enter, unshare

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}


class BrokenError(Exception):
    """The twin cannot be built; the text says why, in one line."""


def run(
    argv: Sequence[str], text: str | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """What a program prints. Raises BrokenError with the last line of its error where it fails."""
    done = subprocess.run(
        argv,
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        env={**ENVIRONMENT, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise BrokenError(f"{argv[0]}: {words[-1] if words else f'status {done.returncode}'}")
    return done.stdout


def ip(*lines: str) -> None:
    """Run commands of ip(8), each given without the word ip."""
    run(["ip", "-batch", "-"], "".join(f"{line}\n" for line in lines))


def ip_best(*lines: str, family: int = 0) -> None:
    """The same, without those that fail. `family`: IP version 4 or 6; 0: as each line says."""
    options = [f"-{family}"] if family else []
    text = "".join(f"{line}\n" for line in lines)
    run_best(["ip", *options, "-force", "-batch", "-"], text)


def run_best(argv: Sequence[str], text: str = "") -> None:
    """Run a program that may fail."""
    subprocess.run(argv, input=text, text=True, env=ENVIRONMENT, capture_output=True, check=False)


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Be in the network namespace of a process for the time of the block."""
    with coming_back():
        enter(Path(f"/proc/{pid}/ns/net"), NEWNET)
        yield


def start(*argv: str) -> subprocess.Popen[bytes]:
    """Start a program that outlives this process."""
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        argv,
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def start_network() -> int:
    """Start a process in a network namespace of its own, as a pod has one. Returns its pid."""
    with coming_back():
        unshare(NEWNET)
        no_dad()
        ip("link set dev lo up")
        return start("sleep", "infinity").pid


def address_line(address: str, device: str) -> str:
    """The command of ip(8) that gives a link an address."""
    nodad = " nodad" if values.interface(address).version == 6 else ""
    return f"addr add {address} dev {device}{nodad}"


def forward() -> None:
    """Forward packets in this process's network namespace, as Kubernetes nodes do."""
    set_value("ipv4/ip_forward", "1")
    set_value("ipv6/conf/all/forwarding", "1")


def no_dad() -> None:
    """Switch duplicate address detection off, so that IPv6 addresses are usable at once."""
    set_value("ipv6/conf/all/accept_dad", "0")
    set_value("ipv6/conf/default/accept_dad", "0")


def set_value(name: str, value: str) -> None:
    """Write a setting below /proc/sys/net, if this kernel has it."""
    path = Path("/proc/sys/net", name)
    if path.exists():  # not in a kernel without IPv6
        path.write_text(value)
