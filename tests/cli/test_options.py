"""The table of flags, and the numbers that they take."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.cli.options import OPTIONS, help_of
from tests.paths import PROJECT

FAB = Path(sys.executable).with_name("fab")


@pytest.mark.parametrize(
    ("flag", "allowed", "refused", "choice"),
    [
        ("parallel", [0, 1, 1000], [-1, 1001], "choose from 1 to 1000"),
        ("confirm-timeout", [5, 60, 3600], [0, 4, 3601], "choose from 5 to 3600 seconds"),
        ("every", [1, 3600], [0, 3601], "choose from 1 to 3600 seconds"),
        ("number", [1, 10**9], [-1, 0], "choose 1 or more"),
        ("tcp", [0, 1, 65535], [-1, 65536], "choose from 1 to 65535"),
    ],
)
def test_a_number_is_of_the_range_or_the_default(
    flag: str, allowed: list[int], refused: list[int], choice: str
) -> None:
    numbers = OPTIONS[flag].numbers
    assert numbers
    assert all(map(numbers.allow, allowed))
    assert not any(map(numbers.allow, refused))
    assert numbers.choice == choice


def test_a_default_that_is_not_zero_is_in_the_help() -> None:
    assert help_of("number") == "how many runs of each machine (default: 20)"
    assert "(default: 0)" not in help_of("tcp")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plan --parallel 1001", "--parallel 1001: choose from 1 to 1000"),
        ("apply-routes --confirm-timeout 4", "--confirm-timeout 4: choose from 5 to 3600 seconds"),
        ("watch --every 0", "--every 0: choose from 1 to 3600 seconds"),
        ("verify --tcp 65536", "--tcp 65536: choose from 1 to 65535"),
        ("verify --sample many", "--sample: many is not a whole number"),
    ],
)
def test_a_number_out_of_range_is_refused_before_anything_runs(words: str, said: str) -> None:
    fab = [str(FAB), *words.split(), "--inventory", "nowhere.toml"]
    done = subprocess.run(fab, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.rstrip()) == (1, "", said)
