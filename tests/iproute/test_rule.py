"""Policy rules as `ip rule` shows them: which can lead packets for pods away, and which exempt."""

import pytest

from tasks.iproute.rule import read_rules

LOCAL, MAIN = "0:\tfrom all lookup local", "32766:\tfrom all lookup main"
LATER = "5270:\tfrom all lookup 52"


@pytest.mark.parametrize(
    ("line", "tables"),
    [
        ("5210:\tfrom all fwmark 0x80000/0xff0000 lookup main", ["52"]),  # Tailscale's
        ("100:\tfrom 192.168.5.0/24 lookup main", ["main", "52"]),
        ("100:\tfrom all to 10.200.0.0/16 lookup main", ["main", "52"]),
        ("100:\tfrom all iif wg0 lookup main", ["52"]),
        ("100:\tnot from all fwmark 0xca6c lookup main", ["52"]),
        ("100:\tfrom all lookup main suppress_prefixlength 32", ["52"]),
        ("100:\tfrom all lookup main suppress_prefixlength 0", []),  # wg-quick's
        ("100:\tfrom all lookup main", []),
        ("100:\tfrom all tos 0x10 lookup 7", ["52"]),
        ("100:\tfrom all fwmark 0x1 lookup 7", ["52"]),
        ("100:\tnot from all fwmark 0xca6c lookup 7", ["7", "52"]),
        ("100:\tfrom all lookup [l3mdev-table]", ["52"]),
        ("100:\tfrom all goto 5270", ["52"]),
        ("100:\tfrom all prohibit", ["", "52"]),
    ],
)
def test_rules_count_until_the_main_table_is_asked_for_all(line: str, tables: list[str]) -> None:
    found = read_rules([LOCAL, line, LATER, MAIN, "40000:\tfrom all lookup 9"], 4)
    assert [rule.table for rule in found] == tables


@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        ("32765:\tfrom 10.240.0.6/16 lookup 254 proto 4", "32765:\tfrom 10.240.0.6/16 lookup main"),
        ("100:\tfrom 10.200.0.0/24 8 proto 0", "100:\tfrom 10.200.0.0/24 prohibit"),
        (
            "99:\tfrom all iif vpn0 [detached] lookup 200 proto 0",
            "99:\tfrom all iif vpn0 [detached] lookup 200",
        ),
    ],
)
def test_numbers_and_names_are_the_same_rule(numbers: str, names: str) -> None:
    """As `ip rule` prints it with -N and without. The kernel keeps host bits of a selector."""
    assert read_rules([numbers], 4) == read_rules([names], 4)
    assert read_rules([numbers], 4)
