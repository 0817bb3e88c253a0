"""The gate: what is a value, and what is refused in words that can be printed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common import values

HOSTILE = [
    "fd00::1%x",
    "fd00::1%\nEND\n(id >/root/owned)\n",
    "fd00::1%$(cd;id>owned)",
    "10.200.1.0/24\n",
    " 10.200.1.0/24",
    "10.200.1.0/24; id",
    "\u0661\u0660.200.1.0",
    "10.200.1.0/\u0662\u0664",
    "",
    "%",
    "/",
    "10.200.1.0/-1",
    "9" * 5000,
    "-" * 20000,
    "\x1b]0;x\x07",
    "$(id)",
]
PARSERS: list[Callable[[str], object]] = [
    values.address,
    values.interface,
    values.network,
    values.prefix,
    values.number,
    lambda text: values.decimal(text, 1e6),
    values.name,
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("parse", PARSERS)
def test_hostile_text_is_no_value_and_can_be_told_of(
    parse: Callable[[str], object], text: str
) -> None:
    with pytest.raises(ValueError) as error:  # the words are judged here
        parse(text)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


@given(st.text())
def test_what_is_a_value_reads_back_as_the_same(text: str) -> None:
    for parse in (values.address, values.interface, values.network, values.prefix):
        try:
            found = parse(text)
        except ValueError:
            continue
        assert set(str(found)) <= set("0123456789abcdef.:/")
        assert parse(str(found)) == found


@given(st.ip_addresses())
def test_every_address_is_a_value(ip: values.Address) -> None:
    assert values.address(str(ip)) == ip
    assert values.host(ip)[0] == ip


def test_a_network_has_its_host_bits_cleared_and_a_prefix_has_none() -> None:
    assert str(values.network("10.200.1.7/24")) == "10.200.1.0/24"
    assert str(values.network("fd00::1")) == "fd00::1/128"
    with pytest.raises(ValueError, match="not a prefix"):
        values.prefix("10.200.1.7/24")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("-5", -5), ("9", 9)])
def test_numbers_in_range(text: str, number: int) -> None:
    assert values.number(text, -5, 9) == number


@pytest.mark.parametrize("text", ["-6", "10", "1_0", "+1", "1.0", "0x1", "\u0663"])
def test_numbers_out_of_range_or_otherwise_written(text: str) -> None:
    with pytest.raises(ValueError, match="not a number from -5 to 9"):
        values.number(text, -5, 9)


def test_decimals() -> None:
    assert values.decimal("0.031", 60_000) == 0.031
    for text in ("1e9", "inf", "nan", "-1", "60001", "1" * 400):
        with pytest.raises(ValueError, match="not a number from 0 to 60000"):
            values.decimal(text, 60_000)


@pytest.mark.parametrize("text", ["eth0", "enp6s0.100", "br-lan", "büro", "a" * 15, "veth@x"])
def test_names_of_links(text: str) -> None:
    assert values.device(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "a b", "a/b", "a:b", "a" * 16, "a\tb", "\x1b[31m", "\u202ea", "a#b", "a'b", 'a"b', "a\\b"],
)
def test_no_names_of_links(text: str) -> None:
    with pytest.raises(ValueError, match="not the name of a network link"):
        values.device(text)


def test_what_is_shown_speaks_to_no_terminal() -> None:
    assert values.shown("a\x1b[31m\nb\u202ec\x9b") == "a?[31m b?c?"
    assert values.shown("x" * 500, most=10) == "xxxxxxx..."
    assert values.printable("jörg@desk") == "jörg@desk"


def test_only_a_line_feed_ends_a_line() -> None:
    assert values.lines("a\tb\u2028c\x0bd\n\x1be") == ["a\tb?c?d", "?e"]
    with pytest.raises(ValueError, match="longer than"):
        values.lines("short\n" + "x" * (values.MAX_LINE + 1))
