"""Linux system calls for namespaces and mounts, which Python 3.10 lacks. All raise OSError."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEWNS = 0x0002_0000
NEWUTS = 0x0400_0000
NEWNET = 0x4000_0000

BIND = 0x1000
BIND_ALL = BIND | 0x4000
NOSUID_NODEV = 0x2 | 0x4

_DETACH = 2


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def unshare(kinds: int) -> None:
    """Give the calling thread new namespaces of these kinds."""
    _call("unshare", kinds)


def enter(path: Path, kind: int) -> None:
    """Move the calling thread into the namespace of a file such as /proc/PID/ns/net."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", descriptor, kind)
    finally:
        os.close(descriptor)


@contextmanager
def coming_back() -> Iterator[None]:
    """Return to the network namespace of the calling thread when the block ends."""
    with Path("/proc/thread-self/ns/net").open() as here:
        try:
            yield
        finally:
            enter(Path(f"/proc/self/fd/{here.fileno()}"), NEWNET)


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system of this kind on a path. With BIND, mount the source path itself."""
    _call(
        "mount",
        source.encode(),
        os.fsencode(target),
        kind.encode(),
        ctypes.c_ulong(flags),
        options.encode(),
    )


def change_root(root: Path) -> None:
    """Make a mounted directory the root of this mount namespace, and unmount the old root."""
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir("/")
