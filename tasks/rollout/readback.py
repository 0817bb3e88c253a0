"""The questions for `ip` that readback.sh asks before and after a change."""

from collections.abc import Collection, Sequence
from functools import lru_cache

from tasks.bgp.bird_conf import METRIC
from tasks.common.values import Address, Network, within
from tasks.facts.gather import all_ours, inside
from tasks.iproute.batch import VOLATILE
from tasks.iproute.names import MAIN, protocol_number
from tasks.iproute.route import as_shown

from .steps import Steps

Questions = dict[str, Sequence[str] | str | int]  # by variable of the shell script


def change_questions(
    steps: Steps, pod_networks: Sequence[Network], lifelines: Collection[Address]
) -> Questions:
    """The questions for a change: all routes that this tool may touch, and next hops."""
    return {
        **_common(steps, pod_networks),
        "routes_4": all_ours(pod_networks, 4),
        "routes_6": all_ours(pod_networks, 6),
        "lifelines": [f"route get {address}" for address in lifelines],
        "resolves": [f"route get {first_address(prefix)}" for prefix in steps.puts],
    }


def undo_questions(steps: Steps, pod_networks: Sequence[Network]) -> Questions:
    """The questions for an undo: the routes at the prefixes of the change."""
    touched = {prefix.version for prefix in steps.prefixes}
    return {
        **_common(steps, pod_networks),
        "routes_4": inside(pod_networks, 4) if 4 in touched else [],
        "routes_6": inside(pod_networks, 6) if 6 in touched else [],
    }


@lru_cache(maxsize=65536)  # all machines have routes to the same prefixes
def first_address(prefix: Network) -> Address:
    """The address in a prefix for `ip route get`: its first host."""
    return prefix[0] if prefix.num_addresses == 1 else prefix[1]


def _common(steps: Steps, pod_networks: Sequence[Network]) -> Questions:
    return {
        "prefixes": list(map(as_shown, steps.prefixes)),
        "bgp_protocol": protocol_number("bird"),
        "bgp_metric": METRIC,
        "volatile": [f"s/{words}//g" for words in VOLATILE],
        "outside_4": _outside(steps, pod_networks, 4),
        "outside_6": _outside(steps, pod_networks, 6),
    }


def _outside(steps: Steps, pod_networks: Sequence[Network], family: int) -> list[str]:
    """The questions for the prefixes outside pod_networks, one for each prefix."""
    return [
        f"route show table {MAIN} exact {prefix}"
        for prefix in steps.prefixes
        if prefix.version == family and not within(prefix, pod_networks)
    ]
