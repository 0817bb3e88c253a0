"""The judge of hostile answers: what it lets pass and what it does not."""

from pathlib import Path

import pytest

from tests.hostile.fields import MARKER, fields, payloads, replaced
from tests.hostile.judge import shown, strange, vocabulary, written

KNOWN = vocabulary(["route add 10.0.0.0/8 via 10.240.0.6 dev enp6s0", "END"])


@pytest.mark.parametrize(
    "script",
    [
        "ip route add 10.200.1.0/24 via 10.240.0.7 dev enp6s0",
        "route del fd00:200:0:2::/64 via fd00:240::8 dev enp6s0",
        "route add 192.0.2.0/24 20261128T171101.961068 02:70:0a:0b:0c:0d",
    ],
)
def test_a_script_of_known_words_and_values_passes(script: str) -> None:
    assert list(strange(script, KNOWN)) == []


@pytest.mark.parametrize(
    "script",
    [
        "route add fd00:200:0:1::%eth0/64",
        "route add 10.0.0.0/8 via 10.240.0.6 dev enp6s0\nEND\ncurl",
        f"route add 10.0.0.0/8 via 10.240.0.6 dev 'enp6s0;id>{MARKER}'",
        "route add 10.0.0.0/8 metric 99999999999999999999999",
        "route add \u0660\u0661/8",
        "route\x1b add",
    ],
)
def test_a_script_that_holds_more_does_not(script: str) -> None:
    assert len(list(strange(script, KNOWN))) > 0


@pytest.mark.parametrize(
    "printed", ["\x1b]0;x\x07", "a\u202eb", "a\u2028b", "\x9b31m", "\udcff", "A" * 3000]
)
def test_what_speaks_to_a_terminal_is_seen(printed: str) -> None:
    assert len(list(shown(f"done\n{printed}\n"))) == 1
    assert list(shown("done: 3 added\nworker-1: “no”\n")) == []


def test_what_is_written_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text('name = "worker-1"\n')
    assert list(written(file)) == []
    file.write_text(f'name = "{MARKER}"\n')
    assert len(list(written(file))) == 1
    page = tmp_path / "page.html"
    page.write_text(f"<td>$(id&gt;{MARKER})</td>")
    assert list(written(page)) == []
    page.write_text(f"<td>$(id>{MARKER})</td>")
    assert len(list(written(page))) == 1


def test_every_field_of_an_answer_can_lie() -> None:
    said = '== cni /etc/a.conf\n{ "subnet": "fd00:200:0:1::/64" }\n== reserved\n10.200.1.2\n'
    found = {(field.section, said[field.start : field.end]) for field in fields(said)}
    assert {("cni", "fd00:200:0:1::/64"), ("cni", "subnet"), ("cni", "/etc/a.conf")} <= found
    assert ("reserved", "10.200.1.2") in found
    subnet = next(f for f in fields(said) if said[f.start : f.end] == "fd00:200:0:1::/64")
    lies = {name: replaced(said, subnet, payload) for name, payload in payloads({}).items()}
    assert f'"fd00:200:0:1::%$(id>{MARKER})/64"' in lies["scope"]
    assert len(set(lies.values())) == len(lies)
