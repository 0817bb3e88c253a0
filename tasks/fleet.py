"""The machines within reach: one SSH connection each, kept for the whole command line."""

import logging
import os
import resource
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from time import monotonic, sleep
from typing import TypeVar

import paramiko
from fabric import Config, Connection, SerialGroup
from paramiko.ssh_exception import NoValidConnectionsError

from .cluster import Cluster
from .exits import Stop
from .hostkeys import HostKeyRefused
from .login import Login
from .progress import progress
from .shell import Shell, Talk, Trouble

T = TypeVar("T")

SPARE_FILES = 64  # open besides the connections

BUSY_TRIES = (0.2, 0.5, 1.0, 2.0)  # seconds to wait where sshd's MaxStartups turns one away


def make_room(machines: int) -> None:
    """Let this process have a connection to each machine open; Stop where it may not."""
    needed = machines + SPARE_FILES
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

    parallel = 32  # how many machines are asked at a time

    def __init__(self, cluster: Cluster, config: Config) -> None:
        """`config`: Fabric's, with its flags. Raises Stop where there is no room for them all."""
        make_room(len(cluster.machines))
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it prints tracebacks by itself
        self.cluster = cluster
        self._login = Login(cluster, config)
        self._connections: dict[str, Connection] = {}
        self._shells: dict[str, Shell] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._pool_size = 0

    def ask(self, scripts: Mapping[str, str], doing: str = "asking") -> dict[str, str | Trouble]:
        """Run a script on each of the machines named, several at a time.

        `doing`: what is shown in a terminal to a person who waits for it.
        """
        jobs = {name: self._opened(_runner(script)) for name, script in scripts.items()}
        return self._each(jobs, self._threads, doing)

    def meet(
        self, jobs: Mapping[str, Callable[[Shell], str]], doing: str
    ) -> dict[str, str | Trouble]:
        """Do a job on each of the machines named, all at once: they wait for each other."""
        opened = {name: self._opened(job) for name, job in jobs.items()}
        with ThreadPoolExecutor(max(1, len(jobs))) as pool:
            return self._each(opened, pool, doing)

    def talks(
        self, scripts: Mapping[str, str], marker: str, doing: str
    ) -> dict[str, Talk | str | Trouble]:
        """Begin a script on each of the machines named, as far as a line with this marker.

        Where a script ends before that, its answer.
        """

        def begin(script: str) -> Callable[[Shell], Talk | str]:
            def job(shell: Shell) -> Talk | str:
                talk = shell.talk(script)
                try:
                    if talk.hear(marker):
                        return talk
                    answer = talk.answer()
                except BaseException:
                    talk.close()
                    raise
                talk.close()
                return answer

            return job

        jobs = {name: self._opened(begin(script)) for name, script in scripts.items()}
        return self._each(jobs, self._threads, doing)

    def tell(self, talks: Mapping[str, Talk], line: str, marker: str) -> dict[str, str | Trouble]:
        """Send a line to scripts under way, and hear each until its next line with this marker."""

        def job(talk: Talk) -> Callable[[Shell], str]:
            return lambda _: talk.ask(line, marker)

        jobs = {name: job(talk) for name, talk in talks.items()}
        return self._each(jobs, self._threads, "")

    def _opened(self, job: Callable[[Shell], T]) -> Callable[[Shell], T]:
        """A job that opens its connection first."""

        def run(shell: Shell) -> T:
            self.open(shell.connection)
            return job(shell)

        return run

    def _each(
        self, jobs: Mapping[str, Callable[[Shell], T]], pool: ThreadPoolExecutor, doing: str
    ) -> dict[str, T | Trouble]:
        """Do a job in the shell of each machine named; the answers in the same order."""
        shells = {name: self.shell(name) for name in jobs}
        troubles = self._open_gateways({name: s.connection for name, s in shells.items()})

        def do(name: str) -> T | Trouble:
            if name in troubles:
                return troubles[name]
            try:
                return jobs[name](shells[name])
            except Exception as error:
                return self._trouble(shells[name].connection, error)

        with progress(doing, len(jobs)) as step:
            try:
                if len(jobs) < 2:
                    return {name: do(name) for name in jobs}
                futures = {name: pool.submit(do, name) for name in jobs}
                for _ in as_completed(futures.values()):
                    step()
                return {name: future.result() for name, future in futures.items()}
            except BaseException:
                self.close()  # ends the commands that are under way
                raise

    @property
    def _threads(self) -> ThreadPoolExecutor:
        """As many as machines are asked at a time; kept, since to start one costs as an answer."""
        if self._pool is None or self._pool_size != self.parallel:
            self._end_threads()
            self._pool, self._pool_size = ThreadPoolExecutor(self.parallel), self.parallel
        return self._pool

    def _end_threads(self) -> None:
        """What has not begun in a thread never will."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def group(self, names: Iterable[str]) -> SerialGroup:
        """The connections of some machines as a Fabric group, in the cluster's order."""
        chosen = set(names)
        return SerialGroup.from_connections(
            [self.connection(m.name) for m in self.cluster.machines if m.name in chosen]
        )

    def name_of(self, connection: Connection) -> str:
        """The machine a connection leads to."""
        return next(name for name, held in self._connections.items() if held is connection)

    def run(self, name: str, script: str) -> str:
        """Run a script on one machine; raises Trouble."""
        shell = self.shell(name)
        try:
            return self._opened(_runner(script))(shell)
        except Exception as error:
            raise self._trouble(shell.connection, error) from error

    def close(self) -> None:
        """End all connections, and what is under way."""
        self._end_threads()
        for connection in [*self._connections.values(), *self._login.gateways]:
            connection.close()

    def connection(self, name: str) -> Connection:
        """The connection to a machine, not yet opened if it is new."""
        if name not in self._connections:
            self._connections[name] = self._login.connection(self.cluster.machine(name))
        return self._connections[name]

    def shell(self, name: str) -> Shell:
        """The shell on a machine, not yet started if it is new."""
        if name not in self._shells:
            self._shells[name] = Shell(self.connection(name))
        return self._shells[name]

    def open(self, connection: Connection) -> None:
        """Open a connection; where sshd is too busy to answer, ask it again a little later."""
        for pause in BUSY_TRIES:
            started = monotonic()
            try:
                connection.open()
                return
            except (paramiko.SSHException, EOFError, ConnectionResetError) as error:
                if not _turned_away(error):
                    raise
                if monotonic() - started >= connection.connect_timeout:
                    raise TimeoutError from error
                connection.close()
                sleep(pause)
        connection.open()

    def _open_gateways(self, connections: Mapping[str, Connection]) -> dict[str, Trouble]:
        """Open the jump hosts in use, before many machines want them at the same time."""
        troubles: dict[Connection, Trouble] = {}
        for gateway in self._login.gateways:  # first hops first
            if gateway.gateway in troubles:
                troubles[gateway] = troubles[gateway.gateway]
                continue
            try:
                self.open(gateway)
            except Exception as error:
                trouble = self._trouble(gateway, error)
                troubles[gateway] = Trouble(f"jump host {gateway.host}: {trouble}")
        return {
            name: troubles[connection.gateway]
            for name, connection in connections.items()
            if connection.gateway in troubles
        }

    def _trouble(self, connection: Connection, error: Exception) -> Trouble:
        if isinstance(error, Trouble):
            return error
        if isinstance(error, (OSError, EOFError, UnicodeError, paramiko.SSHException)):
            return Trouble(_explain(connection, error))
        raise error


def _runner(script: str) -> Callable[[Shell], str]:
    return lambda shell: shell.run(script)


def _turned_away(error: Exception) -> bool:
    """Whether sshd closed the connection before it said who it is (MaxStartups)."""
    said_nothing = "banner" in str(error) or "No existing session" in str(error)
    return isinstance(error, (EOFError, ConnectionResetError)) or said_nothing


def _explain(connection: Connection, error: Exception) -> str:  # noqa: PLR0911
    """One line for what went wrong: what, where, what to do."""
    where = f"{connection.host} port {connection.port}"
    if isinstance(error, HostKeyRefused):
        return str(error)
    if isinstance(error, paramiko.AuthenticationException):
        return (
            f"{where} refuses the key for user {connection.user}:"
            " check [ssh] user and key_file, and authorized_keys there"
        )
    if isinstance(error, (socket.gaierror, UnicodeError)):  # a name that is none in DNS
        return f"the name {connection.host} has no address: check public_ip"
    if isinstance(error, TimeoutError) or "timed out" in str(error).lower():
        return f"{where} does not answer within {connection.connect_timeout} s: is it up?"
    if isinstance(error, NoValidConnectionsError):
        number = getattr(next(iter(error.errors.values())), "errno", None) or 0
        return f"{where}: {os.strerror(number).lower()}: is it up, is sshd running?"
    if isinstance(error, paramiko.SSHException) and "No authentication methods" in str(error):
        return f"there is no key to log in with on {where}: set [ssh] key_file, or use ssh-agent"
    if isinstance(error, paramiko.ChannelException):
        return f"the jump host cannot reach {where}: {error.text.lower()}"
    if _turned_away(error):
        return f"{where} closes the connection before it says anything: is that sshd, is it busy?"
    return f"{where}: {error}"
