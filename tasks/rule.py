"""Policy rules of a machine, as far as they can lead packets for pods away; see ip-rule(8)."""

import itertools
from dataclasses import dataclass
from ipaddress import ip_network

from .cluster import Network

SHORTEST = 8  # no pod CIDR has a shorter prefix


@dataclass(frozen=True)
class Rule:
    """A policy rule of ip-rule(8) that is looked up before the main table."""

    family: int  # IP version
    text: str
    source: Network | None  # None: from all
    destination: Network | None  # None: to all
    table: str  # empty where the rule ends the lookup (blackhole, unreachable, prohibit)


def read_rules(lines: list[str], family: int) -> list[Rule]:
    """The rules of a family before `lookup main` that take whole prefixes."""
    rules = []
    for line in lines:
        words = line.partition(":")[2].split()
        values = dict(itertools.pairwise(words))
        table = values.get("lookup", "")
        if table == "main" and int(values.get("suppress_prefixlength", "-1")) < SHORTEST:
            break
        negated = "not" in words
        partial = {"fwmark", "uidrange", "ipproto", "sport", "dport", "oif"} & set(words)
        goes_on = {"goto", "nop"} & set(words) or table in ("local", "main")
        if (partial and not negated) or goes_on or table.startswith("["):
            continue
        rules.append(
            Rule(
                family,
                " ".join(line.split()).removesuffix(" proto unspec"),
                None if negated else _selector(values.get("from")),
                None if negated else _selector(values.get("to")),
                table,
            )
        )
    return rules


def _selector(word: str | None) -> Network | None:
    return None if word in (None, "all") else ip_network(word)
