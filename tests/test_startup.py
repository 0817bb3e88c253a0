"""What a run leaves in the project, so that the next one starts faster."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
FAB = Path(sys.executable).with_name("fab")


@pytest.mark.parametrize(
    ("owner", "env", "kept"),
    [
        (os.geteuid(), {}, True),
        (os.geteuid(), {"PYTHONDONTWRITEBYTECODE": "1"}, False),
        pytest.param(
            *(os.geteuid() + 1, {}, False),
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
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
    os.chown(tmp_path / "tasks/__init__.py", owner, -1)
    subprocess.run(
        [FAB, "--list"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        check=True,
    )
    assert (tmp_path / "tasks/__pycache__").exists() == kept
