"""Policy rules of a machine, as far as they can lead packets for pods away; see ip-rule(8)."""

import itertools
from dataclasses import dataclass

from tasks.common.values import Network, network, number, shown, word

SHORTEST = 8  # no pod CIDR has a shorter prefix


# What makes a rule one for some packets of a prefix only.
_PARTIAL = {
    *("fwmark", "uidrange", "ipproto", "sport", "dport", "oif", "tos", "dsfield", "dscp"),
    *("tun_id", "flowlabel"),
}


@dataclass(frozen=True)
class Rule:
    """A policy rule of ip-rule(8) that comes before the one that asks the main table for all.

    One to the main table exempts what it takes from those after it.
    """

    family: int  # IP version
    text: str
    source: Network | None  # None: from all
    destination: Network | None  # None: to all
    table: str  # empty where the rule ends the lookup (blackhole, unreachable, prohibit)

    @property
    def exempts(self) -> bool:
        """Whether it has the main table looked up."""
        return self.table == "main"


def read_rules(lines: list[str], family: int) -> list[Rule]:
    """The rules of a family that take whole prefixes, until the main table is asked for all."""
    rules = []
    for line in lines:
        words = line.partition(":")[2].split()
        values = dict(itertools.pairwise(words))
        table = word(values["lookup"]) if "lookup" in values else ""
        negated = "not" in words
        partial = bool(_PARTIAL & set(words))
        if table == "main":
            suppressed = number(values.get("suppress_prefixlength", "-1"), least=-1)
            held_back = suppressed >= SHORTEST
            passed_over = negated or partial or "iif" in words or held_back
        else:
            goes_on = bool({"goto", "nop"} & set(words)) or table == "local"
            passed_over = goes_on or table.startswith("[") or (partial and not negated)
        if passed_over:
            continue
        rule = Rule(
            family,
            shown(line).removesuffix(" proto unspec"),
            None if negated else _selector(values.get("from")),
            None if negated else _selector(values.get("to")),
            table,
        )
        if rule.exempts and rule.source is None and rule.destination is None:
            break
        rules.append(rule)
    return rules


def _selector(text: str | None) -> Network | None:
    return None if text in (None, "all") else network(text)
