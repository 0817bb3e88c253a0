"""What happens before a task begins: bytecode is kept, and bad ssh files end in a plain line."""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import PROJECT

FAB = Path(sys.executable).with_name("fab")


@pytest.mark.parametrize(
    ("owner", "env", "kept"),
    [
        (os.geteuid(), {}, True),
        (os.geteuid(), {"PYTHONDONTWRITEBYTECODE": "1"}, False),
        pytest.param(
            *(os.geteuid() + 1, {}, False),
            marks=pytest.mark.system,  # only root can give files away
        ),
    ],
    ids=["one's own", "where Python is not to", "another user's"],
)
def test_bytecode_is_kept_in_a_project_of_ones_own(
    tmp_path: Path, owner: int, env: dict[str, str], kept: bool
) -> None:
    shutil.copy(PROJECT / "fabfile.py", tmp_path)
    shutil.copytree(
        PROJECT / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__")
    )
    for path in [tmp_path / "tasks", *(tmp_path / "tasks").rglob("*")]:
        os.chown(path, owner, -1)
    subprocess.run(
        [FAB, "--list"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        check=True,
    )
    assert (tmp_path / "tasks/__pycache__").exists() == kept


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (b"Match final all\n  User root\n", "Match does not allow 'all'"),
        (b"Host worker-0\n  Port\n", "Unparsable line Port"),
        (b"# caf\xe9\n", "it is not UTF-8"),
    ],
)
def test_an_ssh_config_that_fabric_cannot_read_is_named(
    tmp_path: Path, config: bytes, why: str
) -> None:
    file = tmp_path / ".ssh/config"
    file.parent.mkdir()
    file.write_bytes(config)
    done = plan(tmp_path)
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first.startswith("~/.ssh/config: ")
    assert why in first
    assert len(rest) == 1
    assert "nowhere.toml: cannot be read" in plan(tmp_path, "--ssh-config", "/dev/null").stderr


def test_an_ssh_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = plan(tmp_path, "--ssh-config", "/nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("/nowhere: cannot be read: No such file or directory\n")
    assert "Traceback" not in done.stderr


def plan(home: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    """`fab plan` of a cluster that there is not, by an operator with this home."""
    return subprocess.run(
        [FAB, "--search-root", PROJECT, *flags, "plan", "--inventory", "nowhere.toml"],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("task", [["apply-routes"], ["rehearse", "plan"], ["plan"], ["lab.status"]])
@pytest.mark.parametrize("there", [True, False])
def test_an_identity_that_is_an_inventory_is_refused_before_anything_runs(
    tmp_path: Path, task: list[str], there: bool
) -> None:
    if there:
        (tmp_path / "staging.toml").write_text("[cluster]\n")
    done = subprocess.run(
        [FAB, "--search-root", PROJECT, "-i", "staging.toml", *task],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    why = "not a private key" if there else "No such file or directory"
    assert done.stderr.startswith(f"-i staging.toml: cannot be used: {why}; ")
    assert f"fab {task[0]} --inventory staging.toml" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_an_identity_may_be_a_public_key(tmp_path: Path) -> None:
    """Its private half is in ssh-agent."""
    blob = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
    (tmp_path / "node.pub").write_text(f"ssh-ed25519 {blob} ann@home\n")
    assert plan(tmp_path, "-i", "node.pub").stderr.startswith("nowhere.toml: cannot be read")


def test_an_identity_in_nobodys_home_is_refused_in_plain_lines(tmp_path: Path) -> None:
    done = plan(tmp_path, "-i", "~nobody-has-this-name/key")
    assert done.returncode == 1
    assert done.stderr.startswith("-i ~nobody-has-this-name/key: cannot be used: there is no such")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.system
def test_a_user_without_a_name_is_asked_for_one(tmp_path: Path) -> None:
    """A container that runs as any number at all has such users."""
    inventory = (PROJECT / "hosts.toml").read_text().replace("key_file", "# key_file")
    (tmp_path / "hosts.toml").write_text(inventory)
    capable = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]  # to read the project
    nobody = ["unshare", "--net", "setpriv", "--reuid=4123456", "--clear-groups", *capable]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    for name, said in ({}, "no user here has the number 4123456"), ({"LOGNAME": "ops"}, "worker-0"):
        done = subprocess.run(
            [*nobody, FAB, "--search-root", PROJECT, "plan"],
            cwd=tmp_path,
            env={**env, **name},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
