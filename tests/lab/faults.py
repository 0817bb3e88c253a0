"""What can go wrong in the middle of a run, made for real on a twin."""

import random
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from .conftest import Lab
from .kit import on

DEADLINE = ("--confirm-timeout", "5")
FOREIGN = "10.200.77.0/24 via 10.240.0.98"

# Whether an `ip` on a worker is the one that changes routes: alone, or before it shows them. Not
# one that a test looks with.
CHANGES = '{ [ "$1" = -batch ] || { [ "$4" = -batch ] && [ -e /run/pod-routes/pending/said ]; }; }'

# A program on a worker stands for the real one until its moment comes, which is once.
WRAPPER = """cat >/usr/local/sbin/NAME <<'END'
#!/bin/sh
BODY
END
chmod +x /usr/local/sbin/NAME"""
AFTER_APPLY = f"""/usr/sbin/ip "$@"; status=$?
if {CHANGES}; then rm /usr/local/sbin/ip; COMMAND; fi
exit $status"""
HALF_WAY = f"""{CHANGES} || exec /usr/sbin/ip "$@"
rm /usr/local/sbin/ip
head -n LINES | /usr/sbin/ip "$@"
kill -9 $$"""
# Asked whether it is the flock of util-linux, it does as that does.
ASKED = 'case $* in *-u*) exec /usr/bin/flock "$@" ;; esac'
BEFORE_APPLY = f"""{ASKED}
rm /usr/local/sbin/flock
/usr/sbin/ip route add {FOREIGN}
exec /usr/bin/flock "$@\""""

FIREWALL = "iptables -I INPUT -p tcp --dport 22 -j DROP"
FULL = """mkdir -p /run/pod-routes && mount -t tmpfs -o size=4k none /run/pod-routes &&
dd if=/dev/zero of=/run/pod-routes/filler bs=4096 count=1 2>/dev/null || true"""

# All that a reboot ends and empties, while nobody can log in; sshd and the pod are up again after.
REBOOT = """door="INPUT -p tcp --dport 22 --syn -j DROP"
iptables -I $door
here=$(readlink /proc/self/ns/net)
for place in /proc/[0-9]*; do
  pid=${place#/proc/}
  [ "$(readlink "$place/ns/net" 2>/dev/null)" = "$here" ] && [ "$pid" != $$ ] || continue
  case $(tr '\\0' ' ' <"$place/cmdline" 2>/dev/null) in
    *pending/watch*|"sh "*|"sshd: root"*|"ip "*) kill -9 "$pid" 2>/dev/null ;;
  esac
done
rm -rf /run/pod-routes
ip route flush proto 214
iptables -D $door"""


@dataclass
class Round:
    """One run, or two, that a fault comes upon."""

    lab: Lab
    verb: str
    chance: random.Random
    length: float  # seconds that an undisturbed run takes
    victim: str  # one of the workers
    runs: list["subprocess.Popen[str]"] = field(default_factory=list)
    rebooted: str = ""  # a machine that came up without any route of ours
    flags: tuple[str, ...] = ()  # of the verb

    def start(self, *options: str) -> "subprocess.Popen[str]":
        """Start the operator's command."""
        self.runs.append(self.lab.popen(*options, self.verb, *self.flags, *DEADLINE))
        return self.runs[-1]

    def pause(self, part: float = 1.0) -> None:
        """Let the run go on until some moment of its length, or its end.

        Every other time a moment after its undo is armed, when there is little of it left.
        """
        moment = self.chance.triangular(0, self.length * part, self.length * part)
        if self.chance.random() < 0.5:
            armed = ["test", "-d", "/run/pod-routes/pending"]
            while self.runs[-1].poll() is None and self.lab.twin.run(self.victim, armed).returncode:
                pass
            moment = self.chance.uniform(0, self.length / 8)
        try:
            self.runs[-1].wait(moment)
        except subprocess.TimeoutExpired:
            return


@dataclass(frozen=True)
class Fault:
    """What is done before or during a run, and how the world is mended after it has ended."""

    name: str
    strike: Callable[[Round], None]
    mend: Callable[[Round], None] = lambda _: None
    statuses: frozenset[int] = frozenset({0, 1, 3, 4})


def _signal(number: signal.Signals) -> Fault:
    def strike(now: Round) -> None:
        run = now.start()
        now.pause()
        if run.poll() is None:
            run.send_signal(number)

    name = "kill -9 of the operator" if number == signal.SIGKILL else f"{number.name} sent"
    return Fault(name, strike, statuses=frozenset({0, 1, 3, 130, -number}))


def _wrapped(name: str, program: str, body: str, statuses: set[int]) -> Fault:
    def strike(now: Round) -> None:
        text = body.replace("LINES", str(now.chance.randint(1, 2)))
        on(now.lab, now.victim, WRAPPER.replace("NAME", program).replace("BODY", text))
        now.start("-t", "2", "-T", "4")

    def mend(now: Round) -> None:
        clean = f"rm -f /usr/local/sbin/{program}; iptables -F; ip route del {FOREIGN} 2>/dev/null"
        on(now.lab, now.victim, f"{clean}; true")

    return Fault(name, strike, mend, frozenset(statuses))


def _link(now: Round) -> None:
    now.start("-t", "2", "-T", "4")
    now.pause()
    on(now.lab, now.victim, "ip link set eth0 down")


def _link_up(now: Round) -> None:
    gateway = "ip route replace default via 203.0.113.1 dev eth0"
    on(now.lab, now.victim, f"ip link set eth0 up && {gateway}")


def _full(now: Round) -> None:
    on(now.lab, now.victim, FULL)
    now.start()


def _emptied(now: Round) -> None:
    on(now.lab, now.victim, "umount /run/pod-routes")


def _two(now: Round) -> None:
    now.start()
    now.pause(0.7)
    now.start()


def _reboot(now: Round) -> None:
    now.start("-t", "2", "-T", "4")
    now.pause()
    on(now.lab, now.victim, REBOOT)
    now.rebooted = now.victim


DROPPED = AFTER_APPLY.replace("COMMAND", FIREWALL)
FAULTS = (
    _signal(signal.SIGKILL),
    _signal(signal.SIGINT),
    _signal(signal.SIGTERM),
    _signal(signal.SIGHUP),
    Fault("a worker's public link down, and up again later", _link, _link_up),
    _wrapped("ssh dropped by a firewall right after apply", "ip", DROPPED, {4}),
    Fault("/run/pod-routes full", _full, _emptied, frozenset({1, 3})),
    _wrapped("`ip -batch` killed half way", "ip", HALF_WAY, {1, 3}),
    _wrapped("a foreign route between plan and apply", "flock", BEFORE_APPLY, {1, 3}),
    Fault("two operators at once", _two, statuses=frozenset({0, 1, 3})),
    Fault("a worker rebooted", _reboot),
)
