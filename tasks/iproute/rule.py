"""Policy rules (ip-rule(8)) that can divert pod traffic from the main routing table."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.common.values import Network, device, network, number, shown, word

from .names import table_name, type_name
from .printed import RULE_PAIRS

SHORTEST = 8  # bits; no pod CIDR has a shorter prefix


# Keywords that limit a rule to some packets of a prefix.
_PARTIAL = {
    *("fwmark", "uidrange", "ipproto", "sport", "dport", "oif", "tos", "dsfield", "dscp"),
    *("tun_id", "flowlabel"),
}


@dataclass(frozen=True)
class Rule:
    """A policy rule (ip-rule(8)) before the rule that looks up the main table for all packets.

    A rule that looks up the main table exempts its packets from the rules after it.
    """

    family: int  # IP version
    text: str
    source: Network | None  # None: from all
    destination: Network | None  # None: to all
    table: str  # empty if the rule drops the packet (blackhole, unreachable, prohibit)
    device: str = ""  # by which the packets come in; "lo": the machine's own; empty: any

    @property
    def exempts(self) -> bool:
        """True if the rule looks up the main table."""
        return self.table == "main"


def keyed(words: Iterable[str]) -> dict[str, str]:
    """The keywords among the words of a rule that have a value, and their values."""
    rest = iter(words)
    return {word: next(rest, "") for word in rest if word in RULE_PAIRS}


def selector(text: str | None) -> Network | None:
    """What `from` or `to` selects; None for all."""
    return None if text in (None, "all") else network(text)


def read_rules(lines: list[str], family: int) -> list[Rule]:
    """The rules for whole prefixes, up to the rule that looks up the main table for all packets.

    `lines` are the output of `ip rule` for one family. Raises ValueError for a line that cannot be
    read.
    """
    rules = []
    for line in lines:
        words = line.partition(":")[2].split()
        values = keyed(words)
        table = table_name(word(values["lookup"])) if "lookup" in values else ""
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
            _for_people(line),
            None if negated else selector(values.get("from")),
            None if negated else selector(values.get("to")),
            table,
            "" if negated or "iif" not in values else device(values["iif"]),
        )
        if rule.exempts and rule.source is None and rule.destination is None:
            break
        rules.append(rule)
    return rules


def _for_people(line: str) -> str:
    """A rule as `ip rule` shows it without its options -details and -N."""
    words = shown(line).split()
    if words[-2:-1] == ["proto"]:
        words = words[:-2]
    if "lookup" in words:
        at = words.index("lookup") + 1
        words[at : at + 1] = map(table_name, words[at : at + 1])
    else:
        words[-1:] = map(type_name, words[-1:])
    return " ".join(words)
