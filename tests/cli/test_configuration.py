"""Fabric's configuration where it is wrong: a plain line, and nothing is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fabric import Config

from tasks.cli.configuration import mistakes
from tests.paths import PROJECT

FAB = Path(sys.executable).with_name("fab")
SECRET = "a-secret"  # noqa: S105


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"timeouts": {"connect": "soon"}}, 'timeouts.connect is "soon", not a number of seconds'),
        ({"timeouts": {"command": -1}}, 'timeouts.command is "-1", not a number'),
        ({"timeouts": {"connect": "10", "command": 20}}, ""),
        ({"connect_kwargs": {"timeout": "x"}}, "connect_kwargs.timeout is"),
        ({"connect_kwargs": {"key_file": "x"}}, "connect_kwargs has no key_file"),
        ({"connect_kwargs": {"key_filename": 5}}, 'key_filename is "5", not a list of files'),
        ({"connect_kwargs": {"key_filename": ["~/a", "~/b"], "passphrase": SECRET}}, ""),
        ({"authentication": {"identities": "x"}}, 'identities is "x", not a list of files'),
        ({"authentication": {"identities": [Path("x")]}}, ""),
        ({"port": "ssh"}, 'port is "ssh", not a port'),
        ({"gateway": 5}, 'gateway is "5", not a ProxyCommand'),
        ({"inventory": ["hosts.toml"]}, "not a file"),
        ({"user": 5, "port": 0}, 'user is "5"'),
        ({}, ""),
    ],
)
def test_values_of_the_wrong_kind_are_named(given: dict[str, object], said: str) -> None:
    found = mistakes(Config(overrides=given, lazy=True))
    assert bool(found) == bool(said)
    assert said in "\n".join(found)
    assert SECRET not in "\n".join(found)


def fab(
    directory: Path, *arguments: str, root: Path = PROJECT, **environment: str
) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [FAB, "--search-root", root, *arguments, "plan", "--inventory", "nowhere.toml"],
        cwd=directory,
        env={**env, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )


def told(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line that is said."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


FILES = {
    "x.yaml: Fabric cannot read it: while parsing": ("x.yaml", "user: [root\n"),
    "x.json: Fabric cannot read it: Expecting": ("x.json", "{ ["),
    "x.py: Fabric cannot read it: '[' was never closed": ("x.py", "user = [\n"),
    "x.yaml: Fabric cannot read it: 'utf-8' codec": ("x.yaml", "user: \udcff\n"),
    "x.toml: Fabric cannot read it: Config files of type": ("x.toml", ""),
    "x.yaml: Fabric cannot use it: it has one value": ("x.yaml", f"sudo: {SECRET}\n"),
}


@pytest.mark.parametrize(("said", "file"), FILES.items())
def test_a_file_that_fabric_cannot_use_is_named(
    said: str, file: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / file[0]
    path.write_text(file[1], errors="surrogateescape")
    line = told(fab(tmp_path, "--config", str(path)))
    assert line.startswith(f"{tmp_path}/{said}")
    assert SECRET not in line


def test_the_file_beside_the_fabfile_is_named_too(tmp_path: Path) -> None:
    for name in ("fabfile.py", "tasks"):
        (tmp_path / name).symlink_to(PROJECT / name)
    (tmp_path / "fabric.yaml").write_text("user: [root\n")
    assert "/fabric.yaml: Fabric cannot read it: " in told(fab(tmp_path, root=tmp_path))


def test_variables_that_fabric_cannot_use_are_told_of(tmp_path: Path) -> None:
    words = told(fab(tmp_path, FABRIC_PORT="ssh"))
    assert "a variable that begins with FABRIC_ cannot be used: " in words
    words = told(fab(tmp_path, FABRIC_AUTHENTICATION_IDENTITIES="key"))
    assert "a variable that begins with FABRIC_ cannot be used: " in words


def test_nobody_to_ask_for_a_password_is_told(tmp_path: Path) -> None:
    done = fab(tmp_path, "--prompt-for-sudo-password")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "there is no terminal to ask in; nothing was run" in done.stderr


def test_what_is_wrong_at_home_runs_nothing(tmp_path: Path) -> None:
    """Fabric merges ~/.fabric.yaml before this project is loaded, but what it holds is checked."""
    (tmp_path / ".fabric.yaml").write_text("timeouts:\n  connect: soon\nconnect_kwargs: {a: b}\n")
    done = fab(tmp_path)
    assert done.returncode == 1
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == [
        *["Fabric's configuration"] * 2,
        "Nothing was run",
    ]
