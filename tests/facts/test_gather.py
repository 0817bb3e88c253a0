"""What a machine says of itself, asked by the script and read from its answer."""

import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from tasks.facts.gather import question
from tasks.facts.parse import read
from tests.builders import POD_NETWORKS
from tests.scripts import APART, SHELLS, answer, stub

QUESTION = question(POD_NETWORKS, [], False)
PODS = ip_network("10.200.1.0/24")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_cni_configuration_comes_as_it_is_written(shell: str, tmp_path: Path) -> None:
    """JSON's escapes are no shell's, whatever its echo(1) makes of them."""
    config = {
        "name": "a\n== missing\nip\n== pending\npending 5\n20260101T000000.1\n\\c",
        "type": "bridge",
        "ipam": {"type": "host-local", "subnet": "10.200.1.0/24"},
    }
    (tmp_path / "config").write_text(json.dumps(config, indent=1))
    before = f"{APART}\nmkdir -p /etc/cni/net.d\ncp config /etc/cni/net.d/10-a.conf"
    facts = read(answer(QUESTION, tmp_path, before=before, shell=shell))
    assert [claim.networks for claim in facts.claims] == [(PODS,)]
    assert (facts.missing, facts.pending) == ((), None)


# A ping that takes no -M: what GNU inetutils 2.4 says. The summary is how it answers otherwise.
INETUTILS = """case "$*" in
  *-M*) echo "ping: invalid option -- 'M'"; exit 64 ;;
esac
echo "1 packets transmitted, 1 packets received, 0% packet loss"
"""
# A ping for IPv4 alone: iputils before it took both.
FOUR = """case "$*" in
  *::1) echo "ping: unknown host ::1"; exit 2 ;;
esac
echo "1 packets transmitted, 1 received, 0% packet loss, time 0ms"
"""
OPTIONS = "ping with the options -I, -M and -O"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("before", "stubs", "missing"),
    [
        (":", {}, ()),
        ("ip link set lo down", {}, ()),
        ("echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all", {}, ()),
        ("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6", {}, ()),
        ("ln -s /bin/busybox ping", {}, (OPTIONS,)),
        (":", {"ping": INETUTILS}, (OPTIONS,)),
        (":", {"ping": FOUR}, ("ping that takes IPv6 addresses",)),
        ("ln -s /bin/true ping", {}, (OPTIONS,)),
        (":", {"flock": "echo usage: flock; exit 1"}, ("flock of util-linux",)),
        (
            ":",
            {"ip": 'case $1 in -N) exit 1 ;; esac\nexec /bin/ip "$@"'},
            ("ip of iproute2 5.2 or newer",),
        ),
    ],
)
def test_programs_are_judged_by_what_they_can_do(
    shell: str, before: str, stubs: dict[str, str], missing: tuple[str, ...], tmp_path: Path
) -> None:
    for name, text in stubs.items():
        stub(tmp_path, name, text)
    asked = question([*POD_NETWORKS, ip_network("fd00:200::/48")], [], False, pings=True)
    found = read(answer(asked, tmp_path, before=f"{APART}\n{before}", shell=shell))
    assert found.missing == missing


def test_a_ping_is_judged_only_where_it_is_used(tmp_path: Path) -> None:
    stub(tmp_path, "ping", INETUTILS)
    assert read(answer(QUESTION, tmp_path, before=APART)).missing == ()
