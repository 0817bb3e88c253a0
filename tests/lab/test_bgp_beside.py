"""BIRD of this tool beside others that speak BGP, where it is missing, and its password."""

from collections.abc import Iterator
from functools import partial

import pytest

from tasks.bgp.bird_conf import METRIC, RUN
from tasks.ssh.transcript import HIDDEN

from .conftest import Lab, labs, tutorial
from .kit import ok, on, routing
from .namespaces import wait_for
from .test_bgp import CHANGE, left

# As the distribution runs it, and on another address than this tool's.
OTHER = """mkdir -p /etc/bird /run/bird && cat >/etc/bird/bird.conf <<'END'
log syslog all;
router id 10.240.0.6;
protocol device {}
protocol kernel { ipv4 { export all; }; }
protocol static { ipv4; route 192.0.2.0/24 via 10.240.0.8; }
protocol bgp outside {
  local 203.0.113.10 as 65001; neighbor 203.0.113.99 as 65001; strict bind;
  ipv4 { import none; export none; };
}
END
bird -P /run/bird/bird.pid"""
# What it has: its files, its process, and that its socket answers.
ITS = """find /etc/bird /run/bird -printf '%p %m %u %s %T@\n' | sort; cat /etc/bird/bird.conf
cat /run/bird/bird.pid; birdc show status | grep 'Server time' -vc"""
# FRR without its zebra, and GoBGP, on the addresses that this tool's BIRD needs.
FRR = """mkdir /run/frr-lab && cd /run/frr-lab && echo 'router bgp 64999' >bgpd.conf
/usr/lib/frr/bgpd -d -S -Z -l 10.240.0.7 -f bgpd.conf -i bgpd.pid --vty_socket ."""
GOBGP = """cat >/tmp/gobgpd.conf <<'END'
[global.config]
as = 64999
router-id = "10.240.0.8"
local-address-list = ["10.240.0.8"]
END
setsid gobgpd -f /tmp/gobgpd.conf </dev/null >/dev/null 2>&1 &"""
HIDE = "mkdir /opt/bird && mv /usr/sbin/bird /usr/sbin/birdc /usr/sbin/birdcl /opt/bird/"
APT_GET = """cat >/usr/bin/apt-get <<'END'
#!/bin/sh
echo "$* $(readlink /etc/systemd/system/bird.service)" >>/var/log/asked
{}
END
chmod 755 /usr/bin/apt-get"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with labs(tmp_path_factory) as make:
        lab = make(tutorial())
        yield lab


def listens(lab: Lab, name: str) -> bool:
    """Whether something holds the port of BGP there."""
    return on(lab, name, "ss -H -l -t -n 'sport = 179'") != ""


def test_others_stay_as_they_are_and_those_in_the_way_are_named(lab: Lab) -> None:
    on(lab, "worker-0", OTHER)
    wait_for(lambda: "192.0.2.0/24" in on(lab, "worker-0", "ip route"), "no other BIRD")
    for name, start in (("worker-1", FRR), ("worker-2", GOBGP)):
        on(lab, name, start)
        wait_for(partial(listens, lab, name), f"no listener on {name}")
    bird_32 = "10.200.1.0/24 via 10.240.0.99 dev enp6s0 proto bird metric 32"
    for line in (f"10.200.0.0/24 via 10.240.0.6 proto static metric {METRIC}", bird_32):
        on(lab, "worker-2", f"ip route add {line}")
    its, before = on(lab, "worker-0", ITS), lab.tables()
    routing(lab, "bgp")
    refused = lab.fab(*CHANGE, "--replace")
    shown = " ".join(ok(refused, 1).split())
    assert "worker-1: port 179, which BGP needs, is held there by FRR (bgpd)" in shown
    assert "worker-2: port 179, which BGP needs, is held there by GoBGP" in shown
    assert f"proto static metric {METRIC} has the metric that BIRD's routes get" in shown
    assert "worker-0:" not in shown
    assert lab.tables() == before
    assert on(lab, "worker-1", f"ls -d {RUN} 2>/dev/null || :") == ""

    for name, program in (("worker-1", "bgpd"), ("worker-2", "gobgpd")):
        on(lab, name, f"pkill -x {program} && while pgrep -x {program}; do sleep 0.1; done")
    on(lab, "worker-2", f"ip route del 10.200.0.0/24 metric {METRIC}")
    before = lab.tables()
    shown = " ".join(ok(lab.fab(*CHANGE), 1).split())
    assert bird_32 in shown
    assert "--replace removes it" in shown
    ok(lab.fab(*CHANGE, "--replace"))
    assert "metric 32" not in on(lab, "worker-2", "ip route")
    assert "nothing to do" in ok(lab.fab(*CHANGE))
    ok(lab.fab("rollback"))
    assert lab.tables() == before
    assert on(lab, "worker-0", ITS) == its
    on(lab, "worker-0", "birdc down && while pgrep -x bird; do sleep 0.1; done")
    on(lab, "worker-2", "ip route del 10.200.1.0/24 metric 32")


def test_bird_is_installed_where_that_is_allowed(lab: Lab) -> None:
    """worker-1 and worker-2 have none; apt-get fails on worker-2 at first."""
    for name in ("worker-1", "worker-2"):
        on(lab, name, HIDE)
    brings = 'case " $* " in *" install "*) mv /opt/bird/* /usr/sbin/ ;; esac'
    fails = "echo 'E: no space left' >&2; exit 100"
    on(lab, "worker-1", APT_GET.format(brings))
    on(lab, "worker-2", APT_GET.format(fails))
    routing(lab, "bgp")
    refused = lab.fab(*CHANGE)
    assert "worker-1: BIRD is not installed there: --install brings it" in ok(refused, 1)
    before = lab.tables()
    failed = lab.fab(*CHANGE, "--install")
    ok(failed, 1)
    assert "installed BIRD on worker-1; its own service is masked" in failed.stderr
    assert "no route was changed anywhere:\n  worker-2: E: no space left" in failed.stderr
    assert (lab.tables(), set(left(lab).values())) == (before, {""})
    assert on(lab, "worker-2", "ls /etc/systemd/system/bird.service 2>/dev/null || :") == ""
    on(lab, "worker-2", APT_GET.format(brings))
    ok(lab.fab(*CHANGE, "--install"))
    for name, asked in (("worker-1", 1), ("worker-2", 3)):
        lines = on(lab, name, "cat /var/log/asked").splitlines()
        assert len(lines) == asked
        assert all(line.endswith(" /dev/null") for line in lines)
    done = lab.fab("rollback")
    ok(done)
    assert "BIRD stays installed" in done.stderr
    assert (lab.tables(), set(left(lab).values())) == (before, {""})


SECRET = "Xq7-kept-from-all"  # noqa: S105
# The files that hold it, and those of them that others than root and BIRD can read.
HOLDING = f"""cd /; find etc run tmp root home opt var/log var/lib/pod-routes -type f \
  -exec grep -lF {SECRET[:3]}''{SECRET[3:]} {{}} + 2>/dev/null | while read -r file; do
  stat -c '%n %a %U %G' "$file"
done"""


def test_the_password_is_seen_by_nobody_else(lab: Lab) -> None:
    file = lab.dir / "secret"
    file.write_text(f"{SECRET}\n")
    routing(lab, "bgp", 'password_file = "secret"')
    refused = lab.fab("plan")
    assert "others can read" in refused.stderr
    ok(refused, 1)
    file.chmod(0o600)
    said = [
        lab.fab("plan"),
        lab.fab("plan", "--format", "json"),
        lab.fab("--debug", *CHANGE, "--dry-run"),
    ]
    log = lab.dir / "log"
    with log.open("w") as out:
        operator = lab.popen("--debug", *CHANGE, "--hold", stdout=out, stderr=out)
        while operator.poll() is None:
            seen = on(lab, "worker-0", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ || :")
            assert SECRET not in seen
    assert operator.returncode == 0
    assert HIDDEN in log.read_text()
    said += [lab.fab("confirm"), lab.fab("--debug", "status"), lab.fab("history")]
    said.append(lab.fab("verify", "--report", "page.html"))
    file.write_text("two words\n")
    said.append(lab.fab(*CHANGE))
    ok(said[-1], 1)
    file.write_text(f"{SECRET}\n")
    said.append(lab.fab("--debug", "rollback", "--last"))
    said.append(lab.fab(*CHANGE))
    assert [SECRET in done.stdout + done.stderr for done in said] == [False] * len(said)
    assert all("Traceback" not in done.stderr for done in said)
    holding = [p for p in lab.dir.rglob("*") if p.is_file() and SECRET in p.read_text("latin-1")]
    assert holding == [file]
    assert not [p for p in lab.home.rglob("*") if p.is_file() and SECRET in p.read_text("latin-1")]
    for machine in lab.cluster.machines:
        found = on(lab, machine.name, HOLDING).splitlines()
        assert f"{RUN[1:]}/bgp-password.conf 640 root bird" in found
        assert all(line.startswith("run/") for line in found)
        assert on(lab, machine.name, "stat -c %a /run/pod-routes") == "700\n"
    ok(lab.fab("rollback"))
    for machine in lab.cluster.machines:
        found = on(lab, machine.name, HOLDING).splitlines()
        assert all(line.startswith("run/pod-routes/last/") for line in found)  # for root alone
