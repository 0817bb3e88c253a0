"""The loader of scripts: whatever a value holds, a shell reads it back as it was."""

import subprocess
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.script import script

SHELLS = ("dash", "bash", "busybox")


def said(shell: str, text: str) -> bytes:
    command = ["busybox", "sh"] if shell == "busybox" else [shell]
    return subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("shell", SHELLS)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")))
def test_a_value_is_read_back_as_it_was(shell: str, text: str) -> None:
    made = script(value=text)
    assert said(shell, f'{made}\nprintf %s "$value"') == text.encode()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("text", ["$(id)", "`id`", "'; id; '", "a\nEND\nid", "\\", "%s", "!!", "~"])
def test_a_value_runs_nothing(shell: str, text: str) -> None:
    assert said(shell, f'{script(value=text)}\nprintf %s "$value"') == text.encode()


def test_values_of_several_kinds() -> None:
    made = script(one=ip_address("fd00::1"), port=80, all=[ip_network("10.0.0.0/8"), "x y"])
    printed = said("sh", f'{made}\necho "$one $port"; echo "$all"')
    assert printed == b"fd00::1 80\n10.0.0.0/8\nx y\n"


@pytest.mark.parametrize("name", ["PATH", "a-b", "1a", "a;id"])
def test_a_name_that_is_none_of_a_variable(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a shell variable"):
        script(**{name: "x"})


def test_no_shell_holds_a_zero_byte() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        script(value="a\0b")
