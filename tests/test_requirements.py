"""The lock files are those of the ranges: who edits one without the other is told."""

import re
import runpy
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from .paths import PROJECT

RUNS, TESTS = "requirements", "requirements-test"


def ranges(name: str) -> list[Requirement]:
    lines = (PROJECT / f"{name}.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def pins(name: str) -> dict[str, set[str]]:
    """The versions of each package that a lock file names."""
    found: dict[str, set[str]] = {}
    for pin in re.findall(r"^(\S+)==(\S+)", (PROJECT / f"{name}.lock").read_text(), re.MULTILINE):
        found.setdefault(pin[0], set()).add(pin[1])
    return found


@pytest.mark.parametrize(
    ("names", "lock"), [([RUNS], RUNS), ([RUNS, TESTS], TESTS)], ids=["what runs", "what tests"]
)
def test_each_range_holds_what_is_locked(names: list[str], lock: str) -> None:
    locked = pins(lock)
    for requirement in (one for name in names for one in ranges(name)):
        assert locked[requirement.name], requirement
        assert all(map(requirement.specifier.contains, locked[requirement.name])), requirement


def test_what_tests_runs_on_what_runs() -> None:
    assert pins(RUNS).items() <= pins(TESTS).items()


@pytest.mark.parametrize("name", [RUNS, TESTS])
def test_each_package_has_hashes_and_comes_from_nowhere_in_particular(name: str) -> None:
    text = (PROJECT / f"{name}.lock").read_text()
    packages = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    assert len(packages) >= len(pins(name)) > 0
    assert all("--hash=sha256:" in package for package in packages)
    assert "://" not in text
    assert "--index-url" not in text


def test_an_older_python_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit) as refused:
        runpy.run_path(str(PROJECT / "tasks/__init__.py"))
    assert re.fullmatch(
        r"pod routes: needs Python 3\.10 or newer; \S.* is Python \S+", str(refused.value)
    )
    assert "Python 3.10" in (PROJECT / "README.md").read_text()


@pytest.mark.parametrize("target", ["demo", "setup", "check", "test"])
def test_python_is_looked_at_before_anything_is_installed(target: str) -> None:
    argv = ["make", "--always-make", "--dry-run", "PYTHON=old", target]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("make")]
    assert lines[0] == "old -B -c 'import tasks'", lines
