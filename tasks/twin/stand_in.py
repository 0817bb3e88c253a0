"""What the stand-ins for providers' programs share: the twin's table, and the kernel of its router.

A stand-in answers one command from the table. If that changes the table, the router leads packets
by the new one before the command ends. Each command starts Python anew: nothing slow is imported.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUTER = "router"  # its network namespace, by the name that ip-netns(8) finds it by

Table = dict[str, Any]  # what the provider's API shows, in its own form


class Refused(Exception):
    """The command cannot be carried out; the text says why, as the program does."""


@dataclass(frozen=True)
class Leading:
    """How the router leads packets.

    `routes`: destinations with the machine that each leads to. `checked`: the ports that pass only
    packets from and to an address, with that address; None: there are no such checks.
    """

    routes: frozenset[tuple[str, str]]
    checked: frozenset[tuple[str, str]] | None = None


Answer = Callable[[Table, Sequence[str]], str]
Lead = Callable[[Table], Leading]


def run(home: Path, words: Sequence[str], answer: Answer, lead: Lead, status: int) -> int:
    """Carry out one command in a session of its own. Returns its exit status.

    `home`: the directory of the twin's files. `answer`: what the command prints; it changes the
    table. `lead`: how the router leads packets by a table. `status`: that of a refusal. As in an
    API, a change that has begun goes on if whoever asked for it is killed.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.setsid()
    try:
        with _locked(home / "table") as table:
            before = deepcopy(table)
            text = answer(table, words)
            if table != before:
                make_lead(home.parent / "netns" / ROUTER, lead(table))
                _keep(home / "table", table)
        if text:
            print(text)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return status
    return 0


@contextmanager
def _locked(path: Path) -> Iterator[Table]:
    """The table, while nobody else changes it."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield json.loads(path.read_text())
    finally:
        os.close(directory)


def _keep(path: Path, table: Table) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(table))
    new.replace(path)


def make_lead(namespace: Path, leading: Leading) -> None:
    """Make the kernel of a router lead packets so."""
    inside = ["nsenter", f"--net={namespace}", "--"]
    shown = json.loads(_run([*inside, "ip", "-json", "route", "show", "proto", "static"]) or "[]")
    has = {(route["dst"].replace("default", "0.0.0.0/0"), route["gateway"]) for route in shown}
    lines = [f"route del {to} via {via} proto static" for to, via in has - leading.routes]
    lines += [f"route add {to} via {via} proto static" for to, via in leading.routes - has]
    _run([*inside, "ip", "-batch", "-"], "".join(f"{line}\n" for line in lines))
    if leading.checked is not None:
        _run([*inside, "nft", "-f", "-"], _checks(sorted(leading.checked)))


def _checks(ports: Sequence[tuple[str, str]]) -> str:
    """The rules of nft(8) that make ports pass only packets from and to their machine."""
    sends = "".join(f'iifname "{port}" ip saddr != {own} drop\n' for port, own in ports)
    gets = "".join(f'oifname "{port}" ip daddr != {own} drop\n' for port, own in ports)
    return (
        "add table bridge checks\ndelete table bridge checks\ntable bridge checks {\n"
        f"chain sends {{\ntype filter hook prerouting priority 0\n{sends}}}\n"
        f"chain gets {{\ntype filter hook postrouting priority 0\n{gets}}}\n}}\n"
    )


def _run(argv: Sequence[str], text: str = "") -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"the router of the twin: {done.stderr.strip()}")
    return done.stdout
