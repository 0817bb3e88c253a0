"""ProxyJump as ssh_config(5) writes it."""

import paramiko
import pytest
from fabric import Config

from tasks.common.errors import Stop
from tasks.ssh.connection import JumpHost
from tasks.ssh.login import Login
from tasks.ssh.proxy_jump import Hop, hops
from tests.builders import cluster

SIX = "2001:db8:5::b"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("bastion", [Hop("bastion")]),
        ("root@bastion:2222", [Hop("bastion", "root", 2222)]),
        ("bastion:", [Hop("bastion")]),
        (f"root@[{SIX}]:22", [Hop(SIX, "root", 22)]),
        (f"[{SIX}]", [Hop(SIX)]),
        (SIX, [Hop(SIX)]),
        (f"root@{SIX}", [Hop(SIX, "root")]),
        ("[fe80::1%eth0]:22", [Hop("fe80::1%eth0", None, 22)]),
        (f"ssh://root@[{SIX}]:22", [Hop(SIX, "root", 22)]),
        ("ssh://ann%40example.org;fingerprint=x@bastion/", [Hop("bastion", "ann@example.org")]),
        ("ann@example.org@bastion", [Hop("bastion", "ann@example.org")]),
        (f"one, ann@[{SIX}]:23,ssh://three", [Hop("one"), Hop(SIX, "ann", 23), Hop("three")]),
    ],
)
def test_hops_are_read(text: str, named: list[Hop]) -> None:
    assert hops(text) == named


@pytest.mark.parametrize(
    "text", ["", ",", "bastion,", "bastion:ssh", "bastion:0", "bastion:70000", "[::1", "ssh://h/x"]
)
def test_what_is_no_host_is_told_of_before_anything_is_asked(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no host|not a number"):
        hops(text)
    if text:
        with pytest.raises(Stop, match=r"ssh_config: ProxyJump of 203\.0\.113\.10: "):
            way(f"Host *\n  ProxyJump {text}\n")


def way(text: str) -> list[tuple[str, str, int] | str]:
    """The hops to a machine, the last one first, and the ProxyCommand that leads to the first."""
    config = Config(ssh_config=paramiko.SSHConfig.from_text(text))
    (machine,) = cluster(1).machines
    hop = Login(cluster(1), config).connection(machine).gateway
    found: list[tuple[str, str, int] | str] = []
    while isinstance(hop, JumpHost):
        found.append((hop.user, hop.host, hop.port))
        hop = hop.gateway
    return [*found, hop] if hop else found


HOP = "Host bastion\n  User ann\n  Port 23\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"Host *.10\n  ProxyJump [{SIX}]\nHost {SIX}\n  User ann\n", [("ann", SIX, 22)]),
        (f"{HOP}Host *\n  ProxyJump bastion\n", [("ann", "bastion", 23)]),
        (
            f"{HOP}  ProxyJump ann@outer\nHost *.10\n  ProxyJump bastion\n",
            [("ann", "bastion", 23), ("ann", "outer", 22)],
        ),
        (
            f"{HOP}  ProxyCommand nc %h %p\nHost *.10\n  ProxyJump bastion\n",
            [("ann", "bastion", 23), "nc %h %p"],
        ),
        ("Host *.10\n  ProxyJump ann@%r:2%p\n  User bastion\n", [("ann", "bastion", 222)]),
        ("Host *\n  ProxyJump 203.0.113.10\n", []),
        ("Host *\n  ProxyJump none\n  ProxyCommand nc %h %p\n", []),
        ("Host *\n  ForwardAgent $SSH_AUTH_SOCK\n", []),
    ],
)
def test_the_way_to_a_machine_is_that_of_ssh(
    text: str, found: list[tuple[str, str, int] | str]
) -> None:
    assert way(text) == found


def test_a_port_that_is_none_is_told_of() -> None:
    with pytest.raises(Stop, match=r"ssh_config: Port of 203\.0\.113\.10: not a number"):
        way("Host *\n  Port ssh\n")
