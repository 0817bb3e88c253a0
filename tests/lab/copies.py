"""Copies of twins from their snapshots, compared with the twins."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.common.errors import Stop
from tasks.iproute.printed import same_route
from tasks.snapshots.file import read_snapshot
from tasks.twin import lifecycle

from .conftest import KEY, Lab, MakeDirectory, MakeLab
from .kit import ok, on
from .test_diagnosis import Fault, Said, make, put_routes, said


@dataclass(frozen=True)
class Row:
    """What verify said on the twin and on its copy. `told`: what was not copied."""

    fault: Fault
    original: Said
    copy: Said | None  # None: a machine could not be asked
    told: Sequence[str] = ()

    @property
    def same(self) -> bool:
        """Whether the copy is silent where the original is, for the same causes, and is mended."""
        return self.original == self.copy


@contextmanager
def copied(lab: Lab, make_directory: MakeDirectory) -> Iterator[tuple[Lab, list[str]]]:
    """The copy of a lab from its snapshot, with an operator of its own; and what it lacks."""
    directory = make_directory.mktemp("copy")
    file = directory / "snapshot.json"
    done = lab.fab("snapshot", str(file))
    if done.returncode == 1:
        raise Stop(done.stderr)
    ok(done)
    taken = read_snapshot(file)
    twin = lifecycle.copy(taken, directory / "hosts.toml")
    try:
        shutil.copy(lab.cluster.path, directory / "hosts.toml")
        shutil.copy(twin.home / "key", directory / KEY)
        told = [
            f"{n}: {x.words}" for n, gaps in lifecycle.not_copied(taken, twin).items() for x in gaps
        ]
        yield Lab(twin, lab.cluster, directory, make_directory.mktemp("home")), told
    finally:
        twin.stop()


# What has to be the same on a copy, by a command for each. Counters and the way that links fare are
# left out. A firewall's chains of iptables are compared as iptables shows them.
ASKED = {
    "IPv4 routes": "ip -N -d -o -4 route show table all root 0.0.0.0/0",
    "IPv6 routes": "ip -N -d -o -6 route show table all root ::/0",
    "IPv4 rules": "ip -N -d -o -4 rule show",
    "IPv6 rules": "ip -N -d -o -6 rule show",
    "addresses": "ip -o address show | sed 's/ nodad//; s/valid_lft.*//'",
    "links": "ip -br link show | awk '{ sub(/@.*/, \"\", $1); print $1, $4 }'",
    "neighbours": "ip neigh show nud permanent | grep PERMANENT; ip neigh show proxy",
    "settings": "cd /proc/sys/net; grep -H . ipv4/ip_forward ipv*/conf/*/forwarding"
    " ipv4/conf/*/rp_filter ipv*/conf/*/accept_redirects ipv4/conf/*/arp_*",
    "iptables": "for p in iptables ip6tables; do for b in nft legacy; do"
    r" $p-$b-save | sed '/^#/d; s/\[[0-9:]*\]$//'; done; done",
    "nft": r"nft -s list ruleset | sed -n '/^table inet/,/^}/p'",
}


def held(lab: Lab, machine: str) -> dict[str, list[str]]:
    """What the kernel of a machine says that it holds, by what was asked, in sorted lines."""
    return {
        what: sorted(same_route(line) for line in on(lab, machine, f"{command}; :").splitlines())
        for what, command in ASKED.items()
    }


def row(fault: Fault, make_lab: MakeLab, make_directory: MakeDirectory) -> Row:
    """Make a fault on a twin, and see what verify says of it there and on its copy."""
    lab = make_lab(fault.cluster)
    try:
        put_routes(lab)
        make(lab, fault)
        try:
            with copied(lab, make_directory) as (copy, told):
                if "ufw" in fault.what:  # its remedy works on files of its own
                    _bring_ufw(lab, copy, fault.where)
                of_copy = said(copy, fault)
        except Stop:
            return Row(fault, said(lab, fault), None)
        return Row(fault, said(lab, fault), of_copy, told)
    finally:
        lab.twin.stop()


def _bring_ufw(lab: Lab, copy: Lab, machine: str) -> None:
    packed = lab.twin.run(machine, ["tar", "-c", "etc/ufw", "etc/default/ufw"], cwd="/", text=False)
    copy.twin.run(machine, ["tar", "-x"], cwd="/", input=packed.stdout, text=False, check=True)
