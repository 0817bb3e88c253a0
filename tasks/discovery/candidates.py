"""Finds a machine's likely internal IP and the values on which all sources agree. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tasks.common import values
from tasks.common.values import Network, within
from tasks.facts.complete import PRIVATE

from .model import Found, Value

MAX_NAMES = 20  # names in one message


def without_shared(
    by_name: Mapping[str, list[Found]],
) -> tuple[dict[str, list[Found]], list[str]]:
    """The machines without the internal IPs that several share, and a note about each such IP.

    There is no note about one that is no likely internal IP, such as that of Docker's bridge.
    """
    owners: dict[str, dict[str, None]] = defaultdict(dict)
    likely: set[str] = set()
    for name, found in by_name.items():
        for one in found:
            for value in one.values:
                if value.field == "internal_ip":
                    owners[value.text][name] = None
                    likely |= {value.text} if value.sure else set()
    shared = {text: list(names) for text, names in owners.items() if len(names) > 1}
    kept = {
        name: [
            replace(
                one,
                values=tuple(
                    v for v in one.values if v.field != "internal_ip" or v.text not in shared
                ),
            )
            for one in found
        ]
        for name, found in by_name.items()
    }
    finds = "" if shared_links(kept) else "; ssh among the sources finds that one"
    return kept, [
        f"{_shared_note(text, names)}{finds}" for text, names in shared.items() if text in likely
    ]


def listing(names: Sequence[str]) -> str:
    """Names separated by commas; after MAX_NAMES of them, the number of the others."""
    rest = len(names) - MAX_NAMES
    return ", ".join(names) if rest < 2 else f"{', '.join(names[:MAX_NAMES])} and {rest} others"


def _shared_note(text: str, names: Sequence[str]) -> str:
    return (
        f"{text} is on {listing(names)} alike, as Vagrant's NAT has it: not taken."
        " Give each kubelet --node-ip with its address on the network that the machines share"
    )


def shared_links(by_name: Mapping[str, list[Found]]) -> set[Network]:
    """The networks that the most machines share, by family. Two or more machines must share one."""
    owners: dict[Network, set[str]] = defaultdict(set)
    for name, found in by_name.items():
        for one in found:
            for value in one.values:
                if value.network is not None:
                    owners[value.network].add(name)
    most = {
        version: max((len(who) for n, who in owners.items() if n.version == version), default=0)
        for version in (4, 6)
    }
    return {n for n, who in owners.items() if len(who) == most[n.version] > 1}


def likely_internal(
    found: list[Value], ranges: Sequence[Network], links: set[Network]
) -> list[Value]:
    """The addresses, of one source and family, that may be the internal IP.

    Prefers addresses in node_networks (`ranges`). Without node_networks of this family it prefers
    private addresses, and among them those on the networks that most machines share (`links`).
    Where a person has to choose, that is between all of them.
    """
    if not all(v.sure for v in found):
        return found
    of_family = tuple(n for n in ranges if found and n.version == found[0].family)
    if of_family:
        return [v for v in found if within(values.network(v.text), of_family)] or found
    private = [v for v in found if within(values.network(v.text), PRIVATE)] or found
    return [v for v in private if v.network in links] or private


def agreed(sets: Sequence[list[Value]]) -> list[Value]:
    """The values that every source gives, without duplicates. Empty if the sources contradict."""
    common = set.intersection(*({v.text for v in said} for said in sets)) if sets else set()
    return [value for value in distinct(sets) if value.text in common]


def distinct(sets: Sequence[list[Value]]) -> list[Value]:
    """The values that any source gives, without duplicates."""
    by_text: dict[str, Value] = {}
    for value in (value for said in sets for value in said):
        by_text.setdefault(value.text, value)
    return list(by_text.values())
