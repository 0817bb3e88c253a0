"""fab, forked from a process that has imported what it needs.

Most of the processor time of a run is the import of modules, which are the same in each. All else
a run makes anew, from fabfile.py on. How Python itself starts is for tests of the program `fab`.
"""

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
from functools import cache
from pathlib import Path

import tasks
from tasks.twin.namespaces import NEWNET, enter

from .paths import FAB, PROJECT

PATIENCE = 300  # seconds for a run; its status is then that of SIGALRM
_LONGEST = 100_000  # bytes of a request


def fab(
    *arguments: str, cwd: Path, env: Mapping[str, str], network: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the project's fab with an empty stdin, as subprocess.run does.

    `network`: the file of the network namespace to run it in, such as /proc/PID/ns/net.
    """
    return _run("", [*FAB, *arguments], cwd, env, network)


def module(
    name: str, *arguments: str, cwd: Path, env: Mapping[str, str], network: str = ""
) -> subprocess.CompletedProcess[str]:
    """The same for a module of the tests, as `python -m` runs it."""
    return _run(name, [name, *arguments], cwd, env, network)


def _run(
    name: str, argv: list[str], cwd: Path, env: Mapping[str, str], network: str
) -> subprocess.CompletedProcess[str]:
    request = json.dumps([name, argv, str(cwd), dict(env), network]).encode()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        ended, ending = os.pipe()
        with os.fdopen(ended) as status:
            with os.fdopen(ending, "w"):
                socket.send_fds(_parent(), [request], [out.fileno(), errors.fileno(), ending])
            code = int(status.read())
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(argv, code, out.read(), errors.read())


@cache
def _parent() -> socket.socket:
    """Where to ask the process that forks; that process ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        argv = [sys.executable, "-m", "tests.forked", str(its.fileno())]
        subprocess.Popen(argv, cwd=PROJECT, stdin=subprocess.DEVNULL, pass_fds=[its.fileno()])
    return ours


def _serve(requests: socket.socket) -> str:
    """Fork for each request. Returns in the process that is to be that run: of a module, or fab."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a process that waits
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _LONGEST, 3)
        if not request:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run = os.fork()
            if run == 0:
                return _become(request, descriptors)
            _, status = os.waitpid(run, 0)
            os.write(descriptors[2], str(os.waitstatus_to_exitcode(status)).encode())
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def _become(request: bytes, descriptors: Sequence[int]) -> str:
    """Take what a new process is given; the name of the module that it runs, if any."""
    signal.alarm(PATIENCE)
    for descriptor, number in zip(descriptors, (1, 2), strict=False):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    name, sys.argv, directory, environment, network = json.loads(request)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    if network:
        enter(Path(network), NEWNET)
    return str(name)


if __name__ == "__main__":
    for found in pkgutil.walk_packages(tasks.__path__, "tasks."):
        importlib.import_module(found.name)
    from fabric.main import program

    gc.freeze()  # else each run would copy what it only looks at
    if to_run := _serve(socket.socket(fileno=int(sys.argv[1]))):
        runpy.run_module(to_run, run_name="__main__", alter_sys=True)
    else:
        program.run()
