"""Workers that join, leave, or come back with another address: everyone else is left alone."""

from dataclasses import replace
from ipaddress import ip_address

from tasks.inventory.model import Cluster

from .conftest import Lab, MakeLab, hosts_toml, tutorial
from .kit import monitor, ok, on
from .test_watch import watch


def write(lab: Lab, cluster: Cluster) -> None:
    """Have hosts.toml describe this cluster."""
    lab.cluster.path.write_text(hosts_toml(replace(cluster, ssh=lab.cluster.ssh)))


def ours(lab: Lab, machine: str) -> list[str]:
    """Where our routes of a machine lead."""
    lines = on(lab, machine, "ip -o route show proto 214").splitlines()
    return [" ".join(line.split()[:3]) for line in lines]


def test_a_worker_joins_is_replaced_and_leaves(make_lab: MakeLab) -> None:
    everyone = tutorial(3)
    lab = make_lab(everyone)
    write(lab, replace(everyone, machines=everyone.machines[:2]))
    ok(lab.fab("apply-routes", "--no-ping"))
    assert ours(lab, "worker-2") == []

    write(lab, everyone)
    with monitor(lab, "worker-0") as events:
        assert "4 added on 3 machines" in ok(lab.fab("apply-routes", "--no-ping"))
    assert [e.split()[0] for e in events if "proto 214" in e] == ["10.200.2.0/24"]
    joined = lab.tables()
    assert len(ours(lab, "worker-2")) == 2

    on(lab, "worker-2", "ip addr flush dev enp6s0; ip addr add 10.240.0.88/24 dev enp6s0")
    assert ours(lab, "worker-2") == []
    other = replace(everyone.machines[2], internal_ips=(ip_address("10.240.0.88"),))
    moved = replace(everyone, machines=(*everyone.machines[:2], other))
    write(lab, moved)
    done = ok(lab.fab("apply-routes", "--no-ping", "--yes"))
    assert done.splitlines()[-1] == "done: 2 added, 2 replaced on 3 machines"
    for name in ("worker-0", "worker-1"):
        assert "10.200.2.0/24 via 10.240.0.88" in ours(lab, name)
        assert len(lab.tables()[name]) == len(joined[name])

    refused = lab.fab("drain", "worker-2", "--yes")
    assert "worker-2 still answers at 203.0.113.12" in ok(refused, status=1)
    asked = lab.fab("drain", "worker-2", "--force")
    assert "add --yes" in asked.stderr
    ok(asked, status=1)
    on(lab, "worker-0", "ip route del 10.200.1.0/24")
    done_draining = lab.fab("drain", "worker-2", "--force", "--yes", "--no-ping")
    assert ok(done_draining).splitlines()[-1] == "done: 4 deleted on 3 machines"
    assert "now take worker-2 out of" in done_draining.stderr
    assert [ours(lab, name) for name in ("worker-0", "worker-2")] == [[], []]
    write(lab, replace(everyone, machines=everyone.machines[:2]))
    lost = "worker-0: missing: 10.200.1.0/24 via 10.240.0.7 dev enp6s0 was put here and is gone"
    assert lost in " ".join(ok(lab.fab("plan")).split())


def test_a_worker_that_is_dead_is_drained_from_the_others(make_lab: MakeLab) -> None:
    lab = make_lab(tutorial(3))
    ok(lab.fab("apply-routes", "--no-ping"))
    on(lab, "worker-2", "ip link set eth0 down; ip link set enp6s0 down")
    drained = lab.fab("-t", "1", "drain", "worker-2", "--skip-unreachable", "--yes")
    assert "2 deleted on 2 machines" in ok(drained, status=4)
    assert ours(lab, "worker-0") == ["10.200.1.0/24 via 10.240.0.7"]


def test_an_absent_workers_pods_stay_its_own(make_lab: MakeLab) -> None:
    """worker-1 says in all places that it has the pod CIDR of worker-2, which cannot be asked."""
    everyone = tutorial(3)
    lab = make_lab(everyone)
    bare = tuple(replace(m, pod_cidrs=()) for m in everyone.machines)
    write(lab, replace(everyone, machines=bare))
    ok(lab.fab("apply-routes", "--no-ping"))
    on(
        lab,
        "worker-1",
        "rm /var/lib/pod-routes/owned; cd /; sed -i 's/10[.]200[.]1[.]/10.200.2./g'"
        " etc/cni/net.d/10-bridge.conf var/lib/kubelet/kubelet-config.yaml;"
        " ip addr flush dev cnio0; ip addr add 10.200.2.1/24 dev cnio0; ip route flush proto 214",
    )
    before = lab.tables()
    on(lab, "worker-2", "iptables -I INPUT -p tcp --dport 22 -j REJECT")
    skip = ("--skip-unreachable", "--yes", "--no-ping")
    for verb in (("apply-routes", "--replace"), ("apply-routes", "--prune", "--force")):
        done = lab.fab(*verb, *skip)
        ok(done, status=1)
        said = (
            "worker-1: names pod CIDR 10.200.2.0/24 as its own, but worker-0 routes 10.200.2.0/24"
        )
        assert said in done.stderr
        assert "via 10.240.0.8, which may be worker-2, not asked: write pod_cidr" in done.stderr
        assert lab.tables() == before
    held = lab.cluster.path.read_text()
    written = ok(lab.fab("discover", "--write", "--skip-unreachable"), status=4)
    assert "not taken" in written
    assert "10.200.0.0/24" in lab.cluster.path.read_text()
    assert "10.200.2.0/24" not in lab.cluster.path.read_text()
    lab.cluster.path.write_text(held)
    on(lab, "worker-0", "ip route del 10.200.2.0/24 proto 214")
    with_loss = lab.tables()
    with watch(lab) as watching:
        watching.until("worker-1", "is not as in", "names pod CIDR 10.200.2.0/24 as its own")
    assert not any(line.startswith("worker-0") for line in watching.said)
    assert lab.tables() == with_loss
    on(lab, "worker-2", "iptables -F INPUT")
    assert "pod CIDRs overlap: 10.200.2.0/24 of" in lab.fab("plan").stderr
