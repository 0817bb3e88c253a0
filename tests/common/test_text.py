"""Text for the operator."""

from tasks.common.text import table

ROUTE = "fd00:10:200:1::/64 via fe80::5054:ff:fe12:3456 dev enp7s0 proto static metric 1024 onlink"


def test_a_table_wider_than_the_terminal_wraps_its_widest_column() -> None:
    shown = table(["machine", "routes", "route"], [["worker-0", 1, ROUTE], ["worker-1", 12, "-"]])
    head, _, *rows = shown.splitlines()
    assert max(map(len, shown.splitlines())) <= 80
    start = head.index("route", head.index("routes") + len("routes"))
    assert " ".join(row[start:] for row in rows[:-1]) == ROUTE
    assert rows[-1].split() == ["worker-1", "12", "-"]


def test_a_table_with_several_wide_columns_wraps_them_all() -> None:
    names = "worker-0, worker-1, worker-2 and 47 more"
    row = ["2026-11-29T19:45:19Z", "ann@desk", "6 add", "undone: not confirmed in time", names]
    shown = table(["ended (UTC)", "who", "what", "ended", "on"], [row])
    assert max(map(len, shown.splitlines())) <= 80
    assert all(word in shown.split() for cell in row for word in cell.split())


def test_a_table_keeps_words_whole() -> None:
    long = "x" * 100
    assert long in table(["machine", "what"], [["worker-0", f"a {long} b"]])


def test_a_table_that_fits_is_not_wrapped() -> None:
    assert table(["machine", "what"], [["worker-0", "x" * 68]]).splitlines()[2:] == [
        "worker-0   " + "x" * 68
    ]
