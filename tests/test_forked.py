"""A run of fab that is forked ends, and prints, as the program does."""

import os
import subprocess
from pathlib import Path

import pytest

from . import forked
from .paths import FAB


@pytest.mark.parametrize(
    "line", ["--list", "plan", "plan --no-such-flag", "--config broken.yaml plan", "-f none plan"]
)
def test_it_is_as_the_program(tmp_path: Path, line: str) -> None:
    (tmp_path / "broken.yaml").write_text("[")
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    argv = [*FAB, *line.split()]
    program = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    done = forked.fab(*line.split(), cwd=tmp_path, env=env)
    assert (done.stdout, done.stderr) == (program.stdout, program.stderr)
    assert (done.args, done.returncode) == (argv, program.returncode)
