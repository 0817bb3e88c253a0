"""All machines of a cluster: one SSH connection each, open for the whole command line."""

import logging
import resource
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from queue import SimpleQueue
from random import uniform
from threading import Thread
from time import monotonic, sleep
from typing import TypeVar

import paramiko
from fabric import Config, SerialGroup

from tasks.common.errors import Stop
from tasks.common.progress import progress
from tasks.inventory.model import Cluster

from .connection import Connection, JumpHost
from .errors import MachineError, machine_error, turned_away
from .login import Login
from .shell import TIMEOUT, RunningScript, Shell
from .transcript import Transcript

K = TypeVar("K")
T = TypeVar("T")

Step = tuple[str, Collection[str]]  # what a line begins with, and the machines that print it

STEP_TIMEOUT = 120  # seconds for one step of scripts that wait for each other
SPARE_FILES = 64  # files that this process has open besides its connections

# The most seconds to wait each time that sshd refuses a connection (MaxStartups). All machines
# behind a bastion knock at the same sshd, if a ProxyCommand leads there anew for each.
BUSY_TRIES = (0.2, 0.5, 1.0, 2.0)
PROXY_TRIES = (*BUSY_TRIES, *(2.0,) * 6)


def make_room(machines: int, files: int) -> None:
    """Raise the limit of open files if `files` need it. Raises Stop if the hard limit is lower."""
    needed = files + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise Stop(
            f"{machines} machines take {needed} open files, and {hard} are allowed here:"
            f" `ulimit -n {needed}`, or nofile in /etc/security/limits.conf, allows more"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Fleet:
    """The connections to a cluster's machines, opened when first used."""

    parallel = 32  # machines that are asked at the same time

    def __init__(self, cluster: Cluster, config: Config, place: str = "") -> None:
        """`config`: Fabric's, with its flags. `place`: where machines are that are no real ones."""
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it prints tracebacks by itself
        self.cluster = cluster
        self._place = place
        self.patience: int | None = config.timeouts.command  # seconds for one command, if given
        self._login = Login(cluster, config)
        given = config.connect_kwargs
        self._secrets = [config.sudo.password, given.get("passphrase"), given.get("password")]
        self._connections: dict[str, Connection] = {}
        self._shells: dict[str, Shell] = {}

    def hide(self, secret: str) -> None:
        """Leave a text out of the transcripts of all machines from now on."""
        self._secrets.append(secret)

    def ask(
        self, scripts: Mapping[str, str], doing: str = "asking", timeout: int = TIMEOUT
    ) -> dict[str, str | MachineError]:
        """Run a script on each machine, `parallel` machines at a time; the answers by name.

        `doing`: the word that the progress line shows in a terminal. `timeout`: seconds to wait for
        the end of a script.
        """
        jobs = {name: self._opened(_runner(script, timeout)) for name, script in scripts.items()}
        return self._each(jobs, self.parallel, doing)

    def in_step(
        self, scripts: Mapping[str, str], ready: str, steps: Iterable[Step], doing: str
    ) -> dict[str, str | MachineError]:
        """Run a script on each machine, all at once; the machines wait for each other.

        Each script first prints a line that begins with `ready`, then one for each of its steps.
        After each such line it reads a line from descriptor 3. That line is sent once all machines
        of the step have printed theirs, have ended or have failed.
        """
        jobs = {
            name: self._opened(_beginning(script, ready, STEP_TIMEOUT))
            for name, script in scripts.items()
        }
        found = self._each(jobs, len(jobs), doing)
        for marker, names in [*steps, ("", scripts)]:
            goes_on = {
                name: _continuing(running, marker)
                for name in names
                if isinstance(running := found[name], RunningScript)
            }
            found |= self._each(goes_on, len(goes_on), doing)
        return {name: end for name, end in found.items() if not isinstance(end, RunningScript)}

    def start(
        self, scripts: Mapping[str, str], marker: str, doing: str, timeout: int = TIMEOUT
    ) -> dict[str, RunningScript | str | MachineError]:
        """Start a script on each machine, and wait for a line that begins with this marker.

        `timeout`: seconds to wait for each answer of a script. Returns the answer of a script that
        ends before it prints such a line.
        """
        jobs = {
            name: self._opened(_beginning(script, marker, timeout))
            for name, script in scripts.items()
        }
        return self._each(jobs, self.parallel, doing)

    def send(
        self, running: Mapping[str, RunningScript], line: str, marker: str
    ) -> dict[str, str | MachineError]:
        """Send a line to running scripts; what each prints until its next line with this marker."""

        def job(script: RunningScript) -> Callable[[Shell], str]:
            return lambda _: script.ask(line, marker)

        jobs = {name: job(script) for name, script in running.items()}
        return self._each(jobs, self.parallel, "")

    def _opened(self, job: Callable[[Shell], T]) -> Callable[[Shell], T]:
        """A job that opens its connection first."""

        def run(shell: Shell) -> T:
            self.open(shell.connection)
            return job(shell)

        return run

    def _each(
        self, jobs: Mapping[str, Callable[[Shell], T]], at_once: int, doing: str
    ) -> dict[str, T | MachineError]:
        """Do a job in the shell of each machine; the results in the same order."""
        connections = self.connections(jobs)

        def job(name: str) -> Callable[[], T | MachineError]:
            def do() -> T | MachineError:
                try:
                    return jobs[name](shells[name])
                except Exception as error:
                    self._transcript(name).failed(error)
                    return machine_error(connections[name], error)

            return do

        shells = {name: self.shell(name) for name in jobs}
        answers: dict[str, T | MachineError] = {}
        with self.progress(doing, len(jobs)) as step:
            try:
                answers.update(self._unreachable_jump_hosts(connections))
                able = {name: job(name) for name in jobs if name not in answers}
                for name, answer in side_by_side(able, at_once):
                    answers[name] = answer
                    step()
            except BaseException:
                self.close()  # ends the commands that are under way
                raise
        return {name: answers[name] for name in jobs}

    def progress(self, doing: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """A progress line about its machines (tasks/common/progress.py)."""
        return progress(f"{self._place}, {doing}" if self._place and doing else doing, total)

    def group(self, names: Iterable[str]) -> SerialGroup:
        """The connections of some machines as a Fabric group, in the cluster's order."""
        chosen = set(names)
        return SerialGroup.from_connections(
            [self.connection(m.name) for m in self.cluster.machines if m.name in chosen]
        )

    def name_of(self, connection: Connection) -> str:
        """The name of the machine that a connection leads to."""
        return next(name for name, held in self._connections.items() if held is connection)

    def run(self, name: str, script: str) -> str:
        """Run a script on one machine; its answer. Raises MachineError."""
        shell = self.shell(name)
        try:
            return self._opened(_runner(script))(shell)
        except Exception as error:
            self._transcript(name).failed(error)
            raise machine_error(shell.connection, error) from error

    def close(self) -> None:
        """Close all connections in the background, which ends the running scripts."""
        for connection in [*self._connections.values(), *self._login.gateways]:
            Thread(target=connection.close, daemon=True).start()

    def connections(self, names: Iterable[str]) -> dict[str, Connection]:
        """The connections to some machines. Raises Stop if they need too many open files."""
        before = len(self._connections)
        found = {name: self.connection(name) for name in names}
        if len(self._connections) > before:
            held = [*self._connections.values(), *self._login.gateways]
            make_room(len(self._connections), sum(connection.files for connection in held))
        return found

    def connection(self, name: str) -> Connection:
        """The connection to a machine, not yet opened if it is new."""
        if name not in self._connections:
            self._connections[name] = self._login.connection(self.cluster.machine(name))
        return self._connections[name]

    def shell(self, name: str) -> Shell:
        """The shell on a machine, not yet started if it is new."""
        if name not in self._shells:
            self._shells[name] = Shell(self.connection(name), self._transcript(name))
        return self._shells[name]

    def _transcript(self, name: str) -> Transcript:
        return Transcript(name, self._secrets)

    def open(self, connection: Connection) -> None:
        """Open a connection and its jump hosts. Raises MachineError if a jump host fails.

        If sshd is too busy to accept the connection, this tries again a few times.
        """
        if isinstance(connection.gateway, JumpHost):
            self._open_jump_host(connection.gateway)
        for pause in PROXY_TRIES if isinstance(connection.gateway, str) else BUSY_TRIES:
            started = monotonic()
            try:
                connection.open()
                return
            except (paramiko.SSHException, EOFError, ConnectionResetError) as error:
                if not turned_away(error):
                    raise
                if monotonic() - started >= connection.connect_timeout:
                    raise TimeoutError from error
                sleep(uniform(pause / 2, pause))  # noqa: S311  # not all come again at once
        connection.open()

    def _open_jump_host(self, gateway: JumpHost) -> None:
        """Open a jump host, once for all who need it. Raises a MachineError that names it."""

        def act() -> None:
            try:
                self.open(gateway)
            except MachineError:
                raise  # of a jump host before it
            except Exception as error:
                raise MachineError(
                    f"jump host {gateway.host}: {machine_error(gateway, error)}"
                ) from error

        gateway.opening.do(act)

    def _unreachable_jump_hosts(
        self, connections: Mapping[str, Connection]
    ) -> dict[str, MachineError]:
        """An error for each machine whose jump host cannot be opened. Opens each jump host once."""

        def job(gateway: JumpHost) -> Callable[[], MachineError | None]:
            def do() -> MachineError | None:
                try:
                    self._open_jump_host(gateway)
                except MachineError as error:
                    return error
                return None

            return do

        doors = {
            id(way): way for c in connections.values() if isinstance(way := c.gateway, JumpHost)
        }
        jobs = {key: job(way) for key, way in doors.items() if not way.is_connected}
        troubles = dict(side_by_side(jobs, max(1, len(jobs))))
        return {
            name: found
            for name, connection in connections.items()
            if (found := troubles.get(id(connection.gateway))) is not None
        }


def side_by_side(jobs: Mapping[K, Callable[[], T]], at_once: int) -> Iterator[tuple[K, T]]:
    """Do `at_once` jobs at a time; yields each key and result as it comes. No job may raise.

    The threads are daemons, so neither the caller nor Python waits for a job that hangs.
    """
    waiting = deque(jobs.items())
    done: SimpleQueue[tuple[K, T]] = SimpleQueue()

    def work() -> None:
        while waiting:
            try:
                key, job = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            done.put((key, job()))

    for _ in range(min(at_once, len(jobs))):
        Thread(target=work, daemon=True).start()
    try:
        for _ in jobs:
            yield done.get()
    finally:
        waiting.clear()


def _beginning(script: str, marker: str, timeout: int) -> Callable[[Shell], RunningScript | str]:
    return lambda shell: _until(shell.start(script, timeout), marker)


def _continuing(running: RunningScript, marker: str) -> Callable[[Shell], RunningScript | str]:
    return lambda _: _until(running, marker, "go")


def _until(running: RunningScript, marker: str, line: str = "") -> RunningScript | str:
    """Send a line if there is one, and wait for a line that begins with the marker.

    Returns the script's answer if it ends before that, or if the marker is empty.
    """
    try:
        if line:
            running.say(line)
        if marker and running.hear(marker):
            return running
        answer = running.answer()
    except BaseException:
        running.close()
        raise
    running.close()
    return answer


def _runner(script: str, timeout: int = TIMEOUT) -> Callable[[Shell], str]:
    return lambda shell: shell.run(script, timeout)
