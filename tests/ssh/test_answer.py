"""Answers to pings, trials and questions: whatever a machine says is values, or its own fault."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from ipaddress import ip_address
from time import process_time

import pytest

from tasks.common import values
from tasks.connectivity.mesh import heard
from tasks.connectivity.ping import Report, Target, read_report
from tasks.connectivity.real_pods import RealPod, read_real_pods
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.evidence import Evidence, read_evidence
from tasks.diagnosis.trials import Trials, read_trials
from tasks.ssh.answer import MAX_SECTIONS, sections
from tests.builders import cluster, facts

PINGS = """\
== forwarding 4
1
-P FORWARD ACCEPT
		type filter hook forward priority filter; policy accept;
== forwarding 6
1
== wiring
unshare: no
== ready lo
== large pod
--- 10.200.1.254 ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time 401ms
rtt min/avg/max/mdev = 0.026/0.031/0.041/0.007 ms
== small pod
--- 10.200.1.254 ping statistics ---
3 packets transmitted, 0 received, 100% packet loss, time 401ms
== large host
--- 10.200.1.254 ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time 401ms
rtt min/avg/max/mdev = 0.026/0.031/0.041/0.007 ms
== small host
== sent
== callers
[3:180] -A INPUT -s 10.200.0.0/24 -p tcp -m tcp --tcp-flags SYN SYN -j ACCEPT
[3:180] -A INPUT -p tcp
"""
FIREWALL = """\
*filter
:FORWARD DROP [1:84]
[1:84] -A FORWARD -s 10.200.0.0/24 -j DROP
nft
table inet t {
	chain c {
		type filter hook forward priority filter; policy drop;
		ip saddr 10.200.0.0/24 counter packets 7 bytes 588 drop
"""
COUNTS = """\
Icmp: InMsgs InEchos
Icmp: 7 7
Icmp6InEchos 7
Tcp: InSegs OutSegs
Tcp: 7 7
TcpExt: IPReversePathFilter
TcpExt: 7
"""
TRIALS = f"""\
== size 0 1400
== before 0
{COUNTS}== before-firewall 0
{FIREWALL}== at 0.
== hop 0
From 10.240.0.7 icmp_seq=1 Time to live exceeded
== ping 0
From 10.240.0.7 icmp_seq=1 Packet filtered
2 packets transmitted, 1 received, +1 errors, 50% packet loss, time 201ms
== sent 0.
== after 0
{COUNTS.replace("7", "9")}== after-firewall 0
{FIREWALL.replace("7", "9").replace("1:84", "2:168")}== neighbour 0
10.240.0.7 dev enp6s0 lladdr 02:00:00:00:00:02 REACHABLE
== end
"""
EVIDENCE = f"""\
== link
2: enp6s0: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP
== sysctl
ipv4/ip_forward:1
ipv4/conf/enp6s0/rp_filter:1
== firewall 4
{FIREWALL}== firewall 6
{FIREWALL}== end
"""
PODS = """\
== set
== here 10.200.1.2
== reached 10.200.0.2
== sent
== arrived
[3:252] -A INPUT -s 10.200.0.0/24 -p icmp
"""

ADDRESS = ip_address("10.200.1.254")
TARGETS = [Target("worker-1", ADDRESS, ADDRESS), Target("worker-1", ADDRESS, None)]
PAIR = Pair("worker-0", "worker-1", 4, True, "silent")
ASKED = {f"worker-{n}": facts(n) for n in range(2)}
MACHINES = {machine.name: machine for machine in cluster(2).machines}
WAYS = {"worker-0": ["worker-1"], "worker-1": ["worker-0"]}
TRUE = sections(TRIALS)
STORED = {f"worker-{n}": [ip_address(f"10.200.{n}.2")] for n in range(2)}


def trials(answer: str) -> Trials:
    """Of a machine that tells the truth, and of one that says this."""
    back = read_trials([PAIR], [PAIR], {"worker-1": TRUE, **heard({"worker-0": answer})}, ASKED)
    there = read_trials([PAIR], [PAIR], {"worker-0": TRUE, **heard({"worker-1": answer})}, ASKED)
    return Trials((*there.trials, *back.trials), back.largest)


def pods(answer: str) -> list[RealPod]:
    return read_real_pods(MACHINES, STORED, WAYS, heard({"worker-0": PODS, "worker-1": answer}))


Read = Callable[[str], Report | Trials | Evidence | list[RealPod]]
READERS: dict[str, tuple[str, Read]] = {
    "pings": (PINGS, lambda answer: read_report(answer, TARGETS)),
    "trials": (TRIALS, trials),
    "evidence": (EVIDENCE, read_evidence),
    "pods": (PODS, pods),
}
EACH = pytest.mark.parametrize(("said", "read"), READERS.values(), ids=READERS.keys())

HOSTILE = (
    "",
    "$(id>owned)`id`;id",
    "fd00::1%$(id>owned)",
    "\x1b[2J\x9b2J\r\u202e\u2028",
    "-1",
    "1e999",
    "nan",
    "Infinity",
    "9" * 400,
    "9" * 5000,
    "\u0661\u0662",
    "0" * 300 + "1",
    "x" * (values.MAX_LINE + 1),
    "== ready",
    "== forwarding x",
)


def changed(said: str) -> Iterator[str]:
    """The answer, with hostile text in the place of every word, and next to it."""
    for at, line in enumerate(lines := said.splitlines()):
        words = line.split(" ")
        for place, word in enumerate(words):
            for hostile in HOSTILE:
                for put in {hostile, word + hostile, word.replace("7", hostile)} - {word}:
                    new = " ".join([*words[:place], put, *words[place + 1 :]])
                    yield "\n".join([*lines[:at], new, *lines[at + 1 :]])


@EACH
def test_what_a_machine_says_is_values_or_its_own_fault(said: str, read: Read) -> None:
    assert read(said)
    for answer in changed(said):
        try:
            found = read(answer)
        except ValueError as error:
            assert len(str(error)) < 400
            assert str(error).isprintable()
            continue
        for text in texts(found):
            assert text.isprintable()
            assert len(text) <= values.MAX_SHOWN


def texts(found: object) -> Iterator[str]:
    """All text in a value, if all numbers in it can be written as JSON.

    But for the rules of firewalls: tests/diagnosis/test_firewall.py is about what is shown of them.
    """
    if is_dataclass(found):
        yield from texts([getattr(found, f.name) for f in fields(found) if f.name != "firewalls"])
    elif isinstance(found, Mapping):
        yield from texts([*found.keys(), *found.values()])
    elif isinstance(found, list | tuple | set | frozenset):
        for value in found:
            yield from texts(value)
    elif isinstance(found, str):
        yield found
    elif isinstance(found, int | float):
        assert len(json.dumps(found, allow_nan=False)) < 30


REPEATED = (
    *("1", "[1", "1 ", " ", "\t", "<", ">", ": ", "@", "=", "= 1/", "1/", "/", "-", "--- ", "A"),
    *("From ", "From x: ", "icmp_seq=1 ", "1 received ", "3 received", "Destination x "),
    *("hook forward ", "policy drop", "[1:1] -A INPUT -s ", " mtu 1", "Icmp: 1 ", "drop ", "jump "),
    *("counter packets 1 bytes 1", "reject with ", "-j DROP ", "-A c -j ", "ip saddr "),
)
FIRST = ("", "rtt min/avg/max/mdev = ", "[", "2: a")


@EACH
def test_the_worst_lines_are_read_at_once(
    said: str, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes time by the square of a line takes minutes here, of lines longer than allowed."""
    monkeypatch.setattr(values, "MAX_LINE", 1 << 17)
    long, begin = values.MAX_LINE, process_time()
    for first in FIRST:
        worst = [first + (text * long)[: long - len(first)] for text in REPEATED]
        for head in (line for line in said.splitlines() if line.startswith("== ")):
            with suppress(ValueError):
                read("\n".join([head, *worst, "== ready lo", "== end"]))
            assert process_time() - begin < 30, f"{head}, {first}"


def test_an_answer_has_so_many_sections_and_so_long_lines() -> None:
    answer = "\n".join(f"== name {n}" for n in range(MAX_SECTIONS - 1))
    assert len(sections(answer)) == MAX_SECTIONS
    with pytest.raises(ValueError, match="sections"):
        sections(f"{answer}\n== one more")
    with pytest.raises(ValueError, match="longer"):
        sections("== name\n" + "x" * (values.MAX_LINE + 1))


def test_only_a_line_feed_ends_a_line_of_an_answer() -> None:
    assert sections("a\x0b== b\u2028== c\x85== d") == {("", ""): ["a?== b?== c?== d"]}


def test_a_machine_whose_answer_cannot_be_read_is_as_one_that_gives_none() -> None:
    assert heard({"a": "== x\n1", "b": "x" * (values.MAX_LINE + 1)}) == {
        "a": {("", ""): [], ("x", ""): ["1"]}
    }
