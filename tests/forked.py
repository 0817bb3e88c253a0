"""fab, and PID 1 of a twin, forked from a process that has imported what they need.

Most of the processor time of a run is the import of modules, which are the same in each. All else
a run makes anew, from fabfile.py on. How Python itself starts is for tests of the program `fab`.
"""

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO

import tasks
from tasks.twin.kernel import ENVIRONMENT
from tasks.twin.namespaces import NEWNET, NEWNS, NEWUTS, enter, mount, unshare

from .paths import FAB, PROJECT

PATIENCE = 300  # seconds for a run; its status is then that of SIGALRM
INIT = "tasks.twin.init"
_LONGEST = 100_000  # bytes of a request
_PRIVATE = 0x4000 | 0x40000  # mounts: MS_REC, MS_PRIVATE
_NEWIPC = 0x0800_0000
_NEWPID = 0x2000_0000
_PDEATHSIG = 1  # prctl(2)
_LOCK = Lock()


@dataclass(frozen=True)
class _Request:
    """A process to fork. `module`: what it runs; empty for fab. `network`: a file to enter."""

    module: str
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    network: str = ""


class Starter:
    """The parent of PID 1 of a twin, which its caller waits for as for a subprocess.Popen."""

    def __init__(self, stdout: IO[bytes], ended: IO[str]) -> None:
        self.stdout = stdout
        self.returncode: int | None = None
        self._ended = ended

    def wait(self) -> int:
        """Return its status when it has ended."""
        if self.returncode is None:
            self.returncode = _status(self._ended)
        return self.returncode


def fab(
    *arguments: str, cwd: Path, env: Mapping[str, str], network: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the project's fab with an empty stdin, as subprocess.run does.

    `network`: the file of the network namespace to run it in, such as /proc/PID/ns/net.
    """
    return _run(_Request("", [*FAB, *arguments], str(cwd), dict(env), network))


def module(
    name: str, *arguments: str, cwd: Path, env: Mapping[str, str], network: str = ""
) -> subprocess.CompletedProcess[str]:
    """The same for a module of the tests, as `python -m` runs it."""
    return _run(_Request(name, [name, *arguments], str(cwd), dict(env), network))


def start_init(path: Path, stdin: int) -> Starter:
    """Fork PID 1 of a twin, in the namespaces that tasks/twin/start.py gives it."""
    argv = [INIT, str(path.resolve())]
    out, its = os.pipe()
    with os.fdopen(its, "wb"):
        ended = _fork(_Request(INIT, argv, str(PROJECT), ENVIRONMENT), (stdin, its, its))
    return Starter(os.fdopen(out, "rb"), ended)


def _run(request: _Request) -> subprocess.CompletedProcess[str]:
    with (
        Path(os.devnull).open() as nothing,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as errors,
    ):
        code = _status(_fork(request, (nothing.fileno(), out.fileno(), errors.fileno())))
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(request.argv, code, out.read(), errors.read())


def _fork(request: _Request, descriptors: Sequence[int]) -> IO[str]:
    """Fork a process with these for 0, 1 and 2. When it has ended, its status can be read."""
    ended, ending = os.pipe()
    with os.fdopen(ending, "w"):
        text = json.dumps(asdict(request)).encode()
        socket.send_fds(_parent(), [text], [*descriptors, ending])
    return os.fdopen(ended)


def _status(ended: IO[str]) -> int:
    """Wait for the status of a process; 1 if nobody is left to tell it."""
    with ended:
        return int(ended.read() or 1)


def _parent() -> socket.socket:
    """Where to ask the process that forks. That process ends with this one."""
    with _LOCK:
        return _start_parent()


@cache
def _start_parent() -> socket.socket:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        argv = [sys.executable, "-m", "tests.forked", str(its.fileno())]
        subprocess.Popen(argv, cwd=PROJECT, stdin=subprocess.DEVNULL, pass_fds=[its.fileno()])
    return ours


def _serve(requests: socket.socket) -> str:
    """Fork for each request. Returns the module to run in the process that is to run it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a process that waits
    while True:
        text, descriptors, _, _ = socket.recv_fds(requests, _LONGEST, 4)
        if not text:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            request = _Request(**json.loads(text))
            if request.module == INIT:
                os.dup2(descriptors[2], 2)  # says why there can be no namespaces
                _apart()
            run = os.fork()
            if run == 0:
                return _become(request, descriptors)
            _, status = os.waitpid(run, 0)
            with suppress(BrokenPipeError):
                os.write(descriptors[3], str(os.waitstatus_to_exitcode(status)).encode())
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def _apart() -> None:
    """Give this process a new session, and its child new namespaces, as start.py does."""
    os.setsid()
    unshare(_NEWPID | NEWNS | NEWNET | NEWUTS | _NEWIPC)
    mount("none", Path("/"), flags=_PRIVATE)


def _become(request: _Request, descriptors: Sequence[int]) -> str:
    """Take what a new process is given; the name of the module that it runs, if any."""
    for descriptor, number in zip(descriptors, (0, 1, 2), strict=False):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    sys.argv = list(request.argv)
    os.environ.clear()
    os.environ.update(request.env)
    os.chdir(request.cwd)
    if request.network:
        enter(Path(request.network), NEWNET)
    if request.module == INIT:
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    else:
        signal.alarm(PATIENCE)
    return request.module


if __name__ == "__main__":
    for found in pkgutil.walk_packages(tasks.__path__, "tasks."):
        importlib.import_module(found.name)
    from fabric.main import program

    from tasks.twin import init

    gc.freeze()  # else each run would copy what it only looks at
    to_run = _serve(socket.socket(fileno=int(sys.argv[1])))
    if to_run == INIT:
        init.main()
    elif to_run:
        runpy.run_module(to_run, run_name="__main__", alter_sys=True)
    else:
        program.run()
