"""One script, run on one machine over an open connection, as root.

The login shell is only asked to start `sh`, which says a nonce when it is ready; the script
follows on its stdin. What rc files print stays outside the answer, what they read is not the
script, sudo's password prompt comes first, and a script that arrives torn runs nothing,
because only its last line calls anything.
"""

import re
import secrets
import shlex
from collections.abc import Sequence

from fabric import Connection
from invoke.exceptions import CommandTimedOut, Failure, ThreadException
from invoke.watchers import FailingResponder, Responder, StreamWatcher

TIMEOUT = 60  # seconds for one command; Fabric's own --command-timeout sets another


# Nothing that a machine says may speak to the operator's terminal (ECMA-48, C0 and C1).
_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\t"), ord("\n")}, " ")


class Trouble(Exception):
    """A machine that cannot be asked: one plain line, what is wrong and what to do."""


def run(
    connection: Connection,
    script: str,
    watchers: Sequence[StreamWatcher] = (),
    timeout: int = TIMEOUT,
) -> str:
    """Run the shell function `main` of a script, and return what it prints.

    The script is POSIX sh that defines `main`; stdin is /dev/null, descriptor 3 is the
    channel, for scripts that are spoken to while they run. SSH_CONNECTION is set.

    Raises Trouble where no shell or no sudo is to be had or the answer breaks off, and what
    paramiko raises where the connection does.
    """
    nonce = secrets.token_hex(8)
    begin, end = f"{nonce}-begin", f"{nonce}-end"
    body = (
        "PATH=$PATH:/usr/sbin:/sbin LC_ALL=C SSH_CONNECTION=$1\nexport PATH LC_ALL\n"
        f"{script}\n"
        f"echo; echo {begin}; main 3<&0 </dev/null; echo; echo {end}; exit 0\n"
    )
    sudo = connection.user != "root"
    password = connection.config.sudo.password
    ready = Responder(f"{nonce}-ready", body)
    answers: list[StreamWatcher] = [ready, *watchers]
    prompt = f"{nonce}-password"
    if sudo and password:
        answers.append(FailingResponder(prompt, f"{password}\n", "Sorry, try again"))
    timeout = connection.config.timeouts.command or timeout
    try:
        result = connection.run(
            _start(nonce, prompt if sudo and password else None, sudo),
            hide=True,
            warn=True,
            echo=False,
            pty=False,
            in_stream=False,
            encoding="utf-8",
            watchers=answers,
            timeout=timeout,
        )
    except CommandTimedOut as error:
        raise Trouble(f"no answer within {timeout} seconds") from error
    except (Failure, ThreadException) as error:
        raise Trouble(_why_no_shell(str(error), sudo)) from error
    found = re.search(f"{begin}\n(.*)\n{end}\n", result.stdout, re.DOTALL)
    if found is None:
        if begin in result.stdout:
            raise Trouble("the answer broke off; ask again with `fab plan`")
        raise Trouble(_why_no_shell(result.stderr or result.stdout, sudo))
    return found[1].translate(_CONTROLS)


def _start(nonce: str, prompt: str | None, sudo: bool) -> str:
    """The command line for the login shell; it means the same to sh, fish and tcsh."""
    inner = f'echo {nonce}-ready; exec sh -s -- "$@"'
    start = f"sh -c {shlex.quote(inner)} sh"
    if prompt is not None:
        start = f"sudo -S -p {prompt} {start}"
    elif sudo:
        start = f"sudo -n {start}"
    return f'exec {start} "$SSH_CONNECTION"'


def _why_no_shell(output: str, sudo: bool) -> str:
    words = " ".join(output.split())
    if sudo and "not in the sudoers" in words:
        return "this user may not use sudo there: log in as root, or as a user who may"
    if "Sorry, try again" in words or "not accepted" in words.lower():
        return "sudo does not accept the password"
    if sudo and ("password is required" in words or "terminal is required" in words):
        return "sudo wants a password: add --prompt-for-sudo-password in front of the task"
    if sudo and ("sudo: not found" in words or "sudo: command not found" in words):
        return "there is no sudo on it: install it, or log in as root"
    said = ascii(words[-200:]) if words else "nothing"
    return f"no shell answers there; it says {said}"
