"""Errors of one machine, each in one line: what failed, where, and what to do.

Paramiko's messages may quote the machine. MachineError makes them printable.
"""

import os
import socket

import paramiko
from fabric import Connection
from paramiko.ssh_exception import NoValidConnectionsError

from tasks.common.values import quoted, shown

from .authentication import Refused
from .known_hosts import HostKeyRefused
from .proxy import ProxyFailed, program

MAX_MESSAGE = 1000  # characters

# What sshd says instead of its version when it turns a login away, and what that means. Since
# OpenSSH 9.8 these are the same words for both reasons (drop_connection in sshd.c).
_TURNED_AWAY = {
    "Exceeded MaxStartups": (
        "has too many logins under way: try again later, or raise MaxStartups in its sshd_config"
    ),
    "Not allowed at this time": (
        'turns logins from here away ("Not allowed at this time"): it has too many under way'
        " (MaxStartups), or it bars this address for some minutes because logins from here have"
        " failed (PerSourcePenalties). Correct the user or the key, wait and try again;"
        " PerSourcePenaltyExemptList in its sshd_config exempts an address"
    ),
}


class Preamble(Exception):
    """What a server said before it ended, instead of a version of SSH."""


class MachineError(Exception):
    """A machine cannot be asked: one printable line says what is wrong and what to do."""

    def __init__(self, message: str) -> None:
        """`message` may quote the machine: it is made printable and cut to MAX_MESSAGE."""
        super().__init__(shown(message, MAX_MESSAGE))


def said(answer: str | MachineError) -> str:
    """What a machine said. Raises the error that came instead of an answer."""
    if isinstance(answer, MachineError):
        raise answer
    return answer


def machine_error(connection: Connection, error: Exception) -> MachineError:
    """The exception as a MachineError: one that explains what failed and what to do."""
    return error if isinstance(error, MachineError) else MachineError(_explain(connection, error))


def turned_away(error: Exception) -> bool:
    """Whether sshd closed the connection before its version banner, as MaxStartups makes it do."""
    if isinstance(error, ProxyFailed):
        return error.busy
    ended = (EOFError, ConnectionResetError)
    if isinstance(error, ended) or "No existing session" in str(error):
        return True
    if isinstance(error.__context__, Preamble):
        return str(error.__context__) in _TURNED_AWAY
    no_banner = str(error).startswith("Error reading SSH protocol banner")
    return no_banner and isinstance(error.__context__, (*ended, TimeoutError))


def _explain(connection: Connection, error: Exception) -> str:  # noqa: PLR0911
    via = ", over its ProxyCommand," if isinstance(connection.gateway, str) else ""
    where = f"{connection.host} port {connection.port}{via}"
    said = str(error)
    if isinstance(error, (HostKeyRefused, ProxyFailed)):
        return said
    if isinstance(error.__context__, Preamble):
        line = str(error.__context__)
        why = f"says {quoted(line)} instead of a version of SSH: is that sshd? check [ssh] port"
        return f"{where} {_TURNED_AWAY.get(line, why)}"
    if isinstance(error, TimeoutError) or "timed out" in said or "imeout" in said:
        if via:
            return (
                f"nothing comes through its ProxyCommand ({program(connection.gateway)}) within"
                f" {connection.connect_timeout} s: are the machine and every host on the way up?"
            )
        return f"{where} does not answer within {connection.connect_timeout} s: is it up?"
    if isinstance(error, Refused):
        return (
            f"{where} refuses the key for user {connection.user}: {said};"
            " check [ssh] user and key_file, and authorized_keys there"
        )
    if isinstance(error, socket.gaierror) or _is_no_name(connection.host):
        return f"the name {connection.host} has no address: check public_ip"
    if isinstance(error, NoValidConnectionsError):
        number = getattr(next(iter(error.errors.values())), "errno", None) or 0
        return f"{where}: {os.strerror(number).lower()}: is it up, is sshd running?"
    if isinstance(error, paramiko.ChannelException):
        return f"the jump host cannot reach {where}: {error.text.lower()}"
    if isinstance(error, paramiko.SSHException) and "No authentication methods" in said:
        return f"there is no key to log in with on {where}: set [ssh] key_file, or use ssh-agent"
    if turned_away(error):
        return f"{where} closes the connection before it says anything: is that sshd, is it busy?"
    if isinstance(error, OSError) and error.strerror:
        return f"{where}: {error.strerror.lower()}"
    return f"{where} does not speak SSH as it should: {said or type(error).__name__}"


def _is_no_name(host: str) -> bool:
    """Whether a name cannot be encoded for DNS."""
    try:
        host.encode("idna")
    except UnicodeError:
        return True
    return False
