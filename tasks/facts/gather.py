"""The script that asks a machine for its facts. The answer is text in sections."""

from collections.abc import Iterable, Sequence

from tasks.bgp import bird
from tasks.common.script import Script, joined, script
from tasks.common.values import Address, Network
from tasks.iproute.names import MAIN
from tasks.iproute.route import OWN_PROTOCOL
from tasks.persistence.backends import PATTERNS
from tasks.undo.records import LOG, STATE

NOTHING = Script("settle() { :; }")


def inside(pod_networks: Sequence[Network], family: int) -> list[str]:
    """The lines for `ip -batch` that show the routes of a family inside pod_networks."""
    return [f"route show root {n} table {MAIN}" for n in pod_networks if n.version == family]


def all_ours(pod_networks: Sequence[Network], family: int) -> list[str]:
    """The lines for `ip -batch` that show all routes of a family that this tool may touch.

    First those for the routes inside pod_networks, then one for owned routes; none if the family
    has no pods.
    """
    lines = inside(pod_networks, family)
    return [*lines, f"route show proto {OWN_PROTOCOL} table {MAIN}"] if lines else []


def question(
    pod_networks: Sequence[Network],
    known: Iterable[Address],
    ping_unknown: bool,
    settle: str = NOTHING,
    *,
    pings: bool = False,
    bgp_port: int | None = None,
) -> Script:
    """The script that asks a machine for its facts, for `Shell.run`.

    `known`: the internal IPs of the cluster. With `ping_unknown`, every other next hop of an
    owned route is pinged: a worker that answers is running, though hosts.toml does not list it.
    With either of `pings` and `ping_unknown`, a ping(8) that cannot do what is asked of it here is
    missing. `settle`: a script that defines a shell function of that name, which is called first.
    `bgp_port`: of BGP, if the cluster is to use it.
    """
    gather = script(
        "undo/deadline.sh",
        "facts/gather.sh",
        pings="yes" if pings or ping_unknown else "",
        state=STATE,
        log=LOG,
        files=PATTERNS,
        own=OWN_PROTOCOL,
        known=known,
        ping_unknown="yes" if ping_unknown else "",
        ours_4=all_ours(pod_networks, 4),
        ours_6=all_ours(pod_networks, 6),
    )
    return joined(Script(settle), bird.question(bgp_port), gather)
