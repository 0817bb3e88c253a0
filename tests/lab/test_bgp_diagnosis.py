"""What verify says of BGP: each fault made for real, told, and mended by typing the advice.

One twin has all faults, several at a time on different workers. docs/diagnosis.md has them as a
table.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tasks.bgp.bird_conf import RUN

from .conftest import Lab, MakeDirectory, labs, tutorial
from .kit import ok, on, routing, says
from .test_diagnosis import DOC, SWITCH, causes_in, take_advice

BIRDC = f"birdc -s {RUN}/bird.ctl"
EDIT = f"sed -i 's,%s,%s,' {RUN}/%s && {BIRDC} configure"
KILL = f"kill -9 $(cat {RUN}/bird.pid)"
APPLY = "fab apply-routes"


@dataclass(frozen=True)
class Fault:
    """One fault, and what verify has to say about it."""

    name: str
    where: str  # a worker, or "network" for the switch between them
    what: str  # a command there; one in a line "worker-N: command" is for that worker
    words: str
    remedy: str = APPLY
    ends: bool = True  # whether the sessions of that worker end
    mend: str = ""  # a command there, where the remedy is a sentence


def conf(old: str, new: str) -> str:
    """The command that changes BIRD's configuration, and has BIRD read it."""
    return EDIT % (old, new, "bird.conf")


ROUNDS = (
    (Fault("BIRD killed", "worker-1", KILL, "worker-1: BIRD does not run"),),
    (
        Fault(
            "a limit on prefixes that is reached",
            "worker-1",
            "\n".join(
                (
                    conf("import where .*10.200.0.0.*", "import where is_pods4();"),
                    f"worker-0: {conf('10.200.0.0/24', '10.200.99.0/24')}",
                    f"timeout 20 sh -c 'until {BIRDC} show route | grep 10.200.99.; do :; done'",
                    f"worker-0: {conf('route 10.200.99.*', '& route 10.200.0.0/24 blackhole;')}",
                )
            ),
            "worker-1's BIRD takes 1 prefix at most of a neighbor, and leaves out 10.200.0.0/24,"
            " worker-0's pods",
            ends=False,
        ),
        Fault(
            "another password",
            "worker-2",
            EDIT % ("password .*", 'password "other";', "bgp-password.conf"),
            "worker-2: another password for BGP than on other machines",
        ),
        Fault(
            "another AS number",
            "worker-3",
            conf("as 64512", "as 65000"),
            "worker-3: BIRD has AS 65000, and hosts.toml 64512",
        ),
        Fault(
            "no TTL security",
            "worker-4",
            conf("ttl security on", "ttl security off"),
            "worker-4: BIRD has TTL security off",
        ),
        Fault(
            "a configuration that BIRD refuses",
            "worker-5",
            f"sed -i '3s/.*/nonsense;/' {RUN}/bird.conf; {KILL}",
            "worker-5: BIRD refuses its configuration: /run/pod-routes-bird/bird.conf:3:1 syntax"
            " error, unexpected CF_SYM_UNDEFINED",
        ),
    ),
    (
        Fault(
            "the configuration deleted",
            "worker-1",
            f"{KILL}; rm -r {RUN}; ip route flush proto bird",
            "worker-1: BIRD has no configuration",
        ),
        Fault(
            "the router ID of another worker",
            "worker-2",
            conf("router id .*", "router id 10.240.0.6;"),
            "worker-0, worker-2: BIRD has the same router ID there, 10.240.0.6",
        ),
        Fault(
            "a firewall that drops TCP",
            "worker-3",
            "iptables -A INPUT -p tcp -s 10.240.0.0/24 -j DROP",
            "worker-3: its firewall drops BGP, TCP port 179: iptables, -A INPUT -s 10.240.0.0/24"
            " -p tcp -j DROP",
            "on worker-3: iptables -I INPUT -s 10.240.0.0/24 -p tcp -m multiport --ports 179 -j"
            " ACCEPT; netfilter-persistent save  # from the package iptables-persistent",
        ),
        Fault(
            "sessions disabled",
            "worker-4",
            f"{BIRDC} disable '\"10.240.*\"'",
            "worker-4: BIRD has disabled sessions",
            f"on worker-4: {BIRDC} enable all",
        ),
        Fault(
            "BIRD stopped by a signal",
            "worker-5",
            f"kill -STOP $(cat {RUN}/bird.pid)",
            "worker-5: BIRD hangs",
            "on worker-5: kill -9 PID; then, from here: fab apply-routes",
        ),
    ),
    (
        Fault(
            "the port closed for one worker",
            "network",
            SWITCH % "ip saddr 10.240.0.7 meta l4proto tcp",
            "BGP gets no answer between worker-1 and the others: TCP port 179 is closed on the"
            " network",
            "allow TCP port 179 between worker-1 and the others on that network: security groups,"
            " firewalls",
            mend="nft delete table bridge f",
        ),
        Fault(
            "a prefix that nobody announces",
            "worker-2",
            conf("route 10.200.2.0/24 blackhole;", ""),
            "nobody announces 10.200.2.0/24, worker-2's pods",
            ends=False,
        ),
        Fault(
            "another worker's prefix announced too",
            "worker-3",
            conf("route 10.200.3.0/24 blackhole;", "& route 10.200.4.0/24 blackhole;"),
            "10.200.4.0/24, worker-4's pods, is announced by worker-3, worker-4",
            ends=False,
        ),
        Fault(
            "a filter that refuses a prefix",
            "worker-5",
            conf("import where .*10.200.0.0.*", "import where false;"),
            "worker-5's BIRD refuses 10.200.0.0/24, which worker-0 announces",
            ends=False,
        ),
        Fault(
            "a static route to somewhere else",
            "worker-0",
            "ip route add 10.200.3.0/24 via 10.240.0.99",
            "worker-0 sends packets for worker-3's pods via 10.240.0.99, not via 10.240.0.9",
            "fab apply-routes --replace",
            ends=False,
        ),
    ),
)


@dataclass(frozen=True)
class Said:
    """What verify said of one round, and its status after the advice was typed."""

    status: int
    causes: Mapping[str, str]  # the remedies, by the words
    mended: int


def sessions(lab: Lab) -> dict[str, int]:
    """How many sessions each worker has."""
    count = f"timeout 1 {BIRDC} show protocols | grep -c Established || :"
    return {w.name: int(on(lab, w.name, count) or 0) for w in lab.cluster.workers}


def wait_for_sessions(lab: Lab) -> None:
    """Wait until every worker has a session with every other."""
    deadline = time.monotonic() + 60
    others = len(lab.cluster.workers) - 1
    while any(n < others for n in sessions(lab).values()):
        assert time.monotonic() < deadline, sessions(lab)
        time.sleep(0.5)


def wait_for_faults(lab: Lab, faults: tuple[Fault, ...]) -> None:
    """Wait until sessions have ended: some do after the hold time only."""
    least = {w.name: 1 for w in lab.cluster.workers}
    least.update((f.where.replace("network", "worker-1"), 0) for f in faults if f.ends)
    most = list(least.values()).count(1) - 1
    deadline = time.monotonic() + 60
    while any(n > most * least[name] for name, n in sessions(lab).items()):
        assert time.monotonic() < deadline, sessions(lab)
        time.sleep(0.5)


def make(lab: Lab, where: str, what: str) -> None:
    """Run commands on workers, or on the switch."""
    if where == "network":
        subprocess.run([*lab.inside, "sh", "-c", what], check=True)
        return
    for line in what.splitlines():
        other = re.fullmatch(r"(worker-\d): (.*)", line)
        on(lab, *(other.groups() if other else (where, line)))


def play(lab: Lab, faults: tuple[Fault, ...]) -> Said:
    """Make the faults of a round, ask verify, and type its advice."""
    for fault in faults:
        make(lab, fault.where, fault.what)
    wait_for_faults(lab, faults)
    done = lab.fab("verify", "--format", "json")
    assert "Traceback" not in done.stderr
    causes = {
        cause["words"]: re.sub(r"kill -9 \d+", "kill -9 PID", cause["remedy"])
        for cause in json.loads(done.stdout)["causes"]
    }
    for fault in faults:
        if fault.mend:
            make(lab, fault.where, fault.mend)
    advice = {remedy for _, remedy in causes_in(done)}
    if f"{APPLY} --replace" in advice:
        advice.discard(APPLY)
    for remedy in sorted(advice, key=lambda text: ("fab" in text, -len(text))):
        take_advice(lab, remedy)
    wait_for_sessions(lab)
    return Said(done.returncode, causes, lab.fab("verify").returncode)


pytestmark = pytest.mark.timeout(400)  # the first test waits for all faults


@pytest.fixture(scope="module")
def sayings(tmp_path_factory: MakeDirectory) -> Iterator[list[Said]]:
    """What verify said of each round."""
    with labs(tmp_path_factory) as make_lab:
        lab = make_lab(tutorial(6))
        routing(lab, "bgp", 'password_file = "secret"')
        ok(lab.fab("apply-routes", "--no-ping", "--yes"))
        yield [play(lab, faults) for faults in ROUNDS]


@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_each_fault_is_told_once_and_nothing_else(number: int, sayings: list[Said]) -> None:
    said, faults = sayings[number], ROUNDS[number]
    assert said.causes == {f.words: f.remedy for f in faults}
    assert said.status == (5 if number else 0)  # without BIRD, routes stay at first
    assert said.mended == 0


HEAD = """## BGP

These were made on one twin of six workers with `routing = "bgp"`, five of them at a time. A session
that is down is told also if no packet is lost yet: routes stay for 120 seconds without it.

"""


def test_the_table_of_faults_is_what_was_seen(sayings: list[Said]) -> None:
    """The test writes the table anew where it differs, and fails once."""
    lines = ["| fault | where | what verify says | remedy |", "|---|---|---|---|"]
    for faults, said in zip(ROUNDS, sayings, strict=True):
        for fault in faults:
            remedy = said.causes.get(fault.words, "")
            lines.append(f"| {fault.name} | {fault.where} | {fault.words} | {remedy} |")
    assert says(DOC, HEAD + "\n".join(lines).replace("  ", " "), "BGP")
