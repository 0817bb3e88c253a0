"""Loads the firewalls of a snapshot: what iptables-save(8) and `nft list ruleset` printed.

A listing is not trusted. Only lines that those programs print are passed on, and no option that has
iptables start a program, nor a statement that has nft read a file.
"""

import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence

from tasks.common.values import quoted
from tasks.snapshots.model import Firewall

from .kernel import ENVIRONMENT

MOST_FAILING = 50  # rules of a table that are left out, one after the other

# The options of one letter that iptables-save prints (iptables(8)). getopt(3) would read -4M, for
# one, as two, and -M names a program to start.
_SHORT = frozenset("-A -s -d -p -i -o -j -g -m -f".split())
_LONG = re.compile(r"--[a-z0-9][a-z0-9-]*")
_PROGRAM = "--modprobe"
# Words as iptables-restore reads them: its only quotes are double, with escapes inside.
_RULE_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"\'\\]+')
_RULE = re.compile(rf"-A( ({_RULE_WORD.pattern}))+")
_EXTENSION = re.compile(r"[A-Za-z0-9_]{1,32}")
_CHAIN = re.compile(r":([!-~]{1,64}) (ACCEPT|DROP|QUEUE|RETURN|-) \[0:0\]")
_TABLE = re.compile(r"\*([a-z]{1,32})")
_NFT_TABLE = re.compile(r"table (ip|ip6|inet|arp|bridge|netdev) ([A-Za-z0-9_/.\\-]{1,128}) \{")
_NFT_STRING = re.compile(r'"[^"\\]*"')
_NFT_FORBIDDEN = re.compile(r"\b(include|define|undefine|redefine)\b|[#$`]")


def load(firewalls: Sequence[Firewall]) -> list[str]:
    """Load the firewalls of a machine. Returns what was not loaded, a line each."""
    told: list[str] = []
    by_iptables: set[tuple[str, str]] = set()
    for firewall in firewalls:
        if firewall.program == "nft":
            continue
        for name, lines in iptables_tables(firewall.listing, told):
            told += _load_iptables(firewall.program, name, lines)
            if firewall.program.endswith("-nft"):
                by_iptables.add(("ip6" if firewall.program.startswith("ip6") else "ip", name))
    for firewall in firewalls:
        if firewall.program == "nft":
            for family, name, text in nft_tables(firewall.listing, by_iptables, told):
                words = _run(["nft", "-f", "-"], text)
                told += [f"without nft's table {family} {name}: {words}"] if words else []
    return told


def _run(argv: Sequence[str], text: str) -> str:
    """The first line of a program's error; empty where it succeeds."""
    try:
        done = subprocess.run(
            argv, input=text, text=True, env=ENVIRONMENT, capture_output=True, check=False
        )
    except FileNotFoundError:
        return f"{argv[0]} is not here"
    lines = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else " ".join(lines[-3:]) or f"status {done.returncode}"


def iptables_tables(listing: str, told: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The tables of iptables-save, each with its lines that may be passed on. Tells of others."""
    name = ""
    lines: list[str] = []
    for line in [*listing.splitlines(), "COMMIT"]:
        if table := _TABLE.fullmatch(line):
            name, lines = table[1], []
        elif line == "COMMIT":
            if name:
                yield name, lines
            name = ""
        elif name and (_CHAIN.fullmatch(line) or is_harmless(line)):
            lines.append(line)
        elif line:
            told.append(f"without a line of its firewall that is not copied: {quoted(line)}")


def is_harmless(line: str) -> bool:
    """Whether a line is a rule, and has no option that iptables-save does not print.

    A word in quotes that begins as an option does is refused too: getopt(3) would take it for one.
    """
    if not _RULE.fullmatch(line):
        return False
    words = [word.strip('"') for word in _RULE_WORD.findall(line)]
    for before, word in zip(["", *words], words, strict=False):
        if before in ("-m", "-j", "-g") and not _is_name(before, word):
            return False
        if word.startswith("--"):
            if not _LONG.fullmatch(word) or _PROGRAM.startswith(word):
                return False
        elif word.startswith("-") and word not in _SHORT:
            return False
    return True


def _is_name(option: str, word: str) -> bool:
    """Whether a word names an extension or a chain, and no file."""
    return bool(_EXTENSION.fullmatch(word)) if option == "-m" else "/" not in word


def _load_iptables(program: str, table: str, lines: list[str]) -> list[str]:
    """Load a table. A rule that this kernel or iptables does not know is left out, and told."""
    told: list[str] = []
    for _ in range(MOST_FAILING):
        text = "\n".join([f"*{table}", *lines, "COMMIT", ""])
        words = _run([f"{program}-restore"], text)
        if not words:
            return told
        failed = re.search(r"line:? (\d+)", words)
        at = int(failed[1]) - 2 if failed else -1
        if not (0 <= at < len(lines) and lines[at].startswith("-A")):
            return [*told, f"without {program}'s table {table}: {words}"]
        told.append(f"without a rule of {program}, which is not known here: {lines.pop(at)}")
    return [*told, f"without {program}'s table {table}"]


def nft_tables(
    listing: str, by_iptables: Collection[tuple[str, str]], told: list[str]
) -> Iterator[tuple[str, str, str]]:
    """The tables of `nft list ruleset`: family, name, and the text that may be passed on.

    Those that iptables lists too are left out.
    """
    block: list[str] = []
    for line in listing.splitlines():
        block.append(line)
        if line == "}":
            head = _NFT_TABLE.fullmatch(block[0])
            wrong = next(_forbidden(block), "" if head else block[0])
            if head and (head[1], head[2]) in by_iptables:
                pass
            elif head and not wrong:
                yield head[1], head[2], "\n".join([*block, ""])
            else:
                told.append(f"without a table of nft, which has a line not copied: {quoted(wrong)}")
            block = []
    if block:
        told.append("without a table of nft, whose listing is not whole")


def _forbidden(lines: Iterable[str]) -> Iterator[str]:
    """The lines with a statement that no listing has. A string has to end on its line."""
    for number, line in enumerate(lines):
        plain = _NFT_STRING.sub('""', line)
        inside = number == 0 or line.startswith("\t") or line == "}"
        if plain.count('"') % 2 or _NFT_FORBIDDEN.search(plain) or not inside:
            yield line
