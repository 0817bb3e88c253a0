"""The layout: packages import one way, as the table in docs/architecture.md says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import LONGEST
from tests.paths import PROJECT

TASKS = PROJECT / "tasks"
ROW = re.compile(r"\| `(\w+)` \| [^|]+ \| ([\w, ]*)\|")


def table() -> dict[str, set[str]]:
    """Each package, and what it may import, by the docs; a package stands below those."""
    text = (PROJECT / "docs/architecture.md").read_text()
    return {name: set(re.findall(r"\w+", imports)) for name, imports in ROW.findall(text)}


def imported(file: Path) -> Iterator[str]:
    """The packages of tasks/ that a module imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            top, *rest = [*node.module.split("."), *(name.name for name in node.names[:1])]
            if top == "tasks":
                yield rest[0]
        elif isinstance(node, ast.Import):
            assert not any(name.name.startswith("tasks") for name in node.names)


def test_every_package_is_in_the_table() -> None:
    assert {path.parent.name for path in TASKS.glob("*/__init__.py")} == set(table())


def test_packages_import_no_more_than_the_table_says() -> None:
    for package, allowed in table().items():
        found = {name for file in (TASKS / package).rglob("*.py") for name in imported(file)}
        assert found - {package} <= allowed, package


def test_imports_run_one_way() -> None:
    above: set[str] = set()
    for package, allowed in table().items():
        assert allowed <= above, package
        above.add(package)


def test_the_verbs_are_imported_by_fabfile_alone() -> None:
    verbs = {path.stem for path in TASKS.glob("*.py")} - {"__init__"}
    for file in TASKS.glob("*/**/*.py"):
        assert not verbs & set(imported(file)), file


def test_the_test_files_that_are_to_be_begun_first_are_there() -> None:
    files = [(PROJECT / name.replace(".", "/")).with_suffix(".py") for name in LONGEST]
    assert [file for file in files if not file.is_file()] == []
