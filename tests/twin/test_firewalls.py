"""Firewalls of a snapshot: what iptables and nft print is passed on, and nothing else is."""

import pytest

from tasks.twin.firewalls import iptables_tables, is_harmless, nft_tables

HARMLESS = [
    "-A FORWARD -j MINE",
    '-A MINE -s 10.0.0.0/8 ! -d 10.1.0.0/16 -m comment --comment "it\\\'s \\"so\\"" -j ACCEPT',
    "-A INPUT -p tcp -m multiport --dports 22,23 -j DROP",
    "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    '-A X -m set --match-set s src -j LOG --log-prefix "a b "',
    "-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully",
    "-A INPUT -i eth+ -f -g OTHER",
]
HARMFUL = [
    "-A INPUT -M /tmp/x -m foo -j DROP",
    "-A INPUT -4M/tmp/x -j DROP",
    "-A INPUT --modprobe=/tmp/x -j DROP",
    "-A INPUT --modprobe /tmp/x -j DROP",
    "-A INPUT --mod /tmp/x -j DROP",
    "-A INPUT --m /tmp/x -j DROP",
    '-A INPUT "--modprobe" /tmp/x -j DROP',
    '-A INPUT "-M" /tmp/x -j DROP',
    "-A INPUT -m comment --comment 'a --modprobe=/tmp/x' -j DROP",
    '-A INPUT -m comment --comment a"b --modprobe=/tmp/x" -j DROP',
    "-A INPUT -m recent --name --comment --modprobe=/tmp/x -j DROP",
    "-A INPUT -m ../../x -j DROP",
    "-A INPUT -j ../../x",
    "-A INPUT\t-M /tmp/x",
    "-A INPUT \\-M /tmp/x",
    "-t nat -F",
    "-F",
    "-A",
    "",
]


@pytest.mark.parametrize("line", HARMLESS)
def test_what_iptables_prints_is_passed_on(line: str) -> None:
    assert is_harmless(line)


@pytest.mark.parametrize("line", HARMFUL)
def test_no_option_that_starts_a_program_is(line: str) -> None:
    assert not is_harmless(line)


def test_a_line_that_is_not_passed_on_is_told() -> None:
    told: list[str] = []
    text = f"*filter\n:INPUT DROP [0:0]\n{HARMLESS[0]}\n{HARMFUL[0]}\nCOMMIT\n*nat\nCOMMIT"
    tables = list(iptables_tables(text, told))
    assert tables == [("filter", [":INPUT DROP [0:0]", HARMLESS[0]]), ("nat", [])]
    assert [HARMFUL[0] in line for line in told] == [True]


TABLE = """table inet mine {
\tset s {
\t\ttype ipv4_addr
\t\telements = { 10.1.0.0, 10.2.0.0 }
\t}
\tchain c {
\t\ttype filter hook forward priority 5; policy accept;
\t\tip saddr @s counter drop comment "hello # include \\"
\t}
}"""


def test_a_table_of_nft_is_passed_on() -> None:
    told: list[str] = []
    text = TABLE.replace(' \\"', '"')
    assert [t[:2] for t in nft_tables(text, (), told)] == [("inet", "mine")]
    assert list(nft_tables(text, [("inet", "mine")], told)) == []
    assert told == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("\ttype ipv4_addr", '\tinclude "/etc/shadow"'),
        ("\ttype ipv4_addr", 'include "/etc/shadow"'),
        ("table inet", 'include "/etc/shadow"; table inet'),
        ("policy accept;", 'policy accept; } } ; include "/etc/shadow" ; table x { chain y {'),
        ('comment "hello', '# "\n\t\tinclude "/etc/shadow" #'),
        ("\ttype ipv4_addr", '\tcomment "\n\tinclude \t"/etc/shadow'),
        ("\ttype ipv4_addr", "\tdefine x = 1"),
        ("10.1.0.0", "$x"),
        ("table inet mine", "flush ruleset\ntable inet mine"),
        ("\n}", ""),
    ],
)
def test_no_statement_that_reads_a_file_is(right: str, wrong: str) -> None:
    told: list[str] = []
    text = TABLE.replace(' \\"', '"')
    assert right in text
    tables = [t for _, _, t in nft_tables(text.replace(right, wrong, 1), (), told)]
    assert not any("include" in table.replace("# include", "") for table in tables)
    assert told
