"""The stand-in for hcloud: what it prints and refuses is what hcloud does."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.inventory.model import ProviderNetwork
from tasks.twin import hcloud
from tasks.twin.design import design
from tasks.twin.stand_in import Refused
from tests import api
from tests.lab.conftest import tutorial

ADD = "network add-route kubernetes --destination {} --gateway {}"
REMOVE = "network remove-route kubernetes --destination {} --gateway {}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with the table of a twin."""
    cluster = replace(tutorial(), network=ProviderNetwork("hetzner", "kubernetes"))
    (tmp_path / "table").write_text(json.dumps(hcloud.table_of(design(cluster))))
    return tmp_path


def said(home: Path, line: str) -> str:
    """What the stand-in prints, or its error. There is no router."""
    table = json.loads((home / "table").read_text())
    try:
        return hcloud.answer(table, line.split())
    except Refused as refused:
        return str(refused)
    finally:
        (home / "table").write_text(json.dumps(table))


def routes(home: Path) -> list[tuple[str, str]]:
    found = json.loads(said(home, "network describe kubernetes -o json"))["routes"]
    return [(route["destination"], route["gateway"]) for route in found]


def real(home: Path, line: str) -> str:
    """What hcloud itself prints, with an API that has the same network."""
    table = json.loads((home / "table").read_text())

    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        named = query.get("name", "kubernetes") == "kubernetes"
        found = table["servers"] if path == "/v1/servers" else [table["network"]] if named else []
        page = {"page": 1, "per_page": 50, "last_page": 1, "total_entries": len(found)}
        return 200, {path.rpartition("/")[2]: found, "meta": {"pagination": page}}

    with api.served(answer) as url:
        done = subprocess.run(
            ["hcloud", *line.split()],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "HCLOUD_ENDPOINT": f"{url}/v1",
                "HCLOUD_TOKEN": "t" * 64,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    return (done.stdout or done.stderr).rstrip("\n")


@pytest.mark.system
def test_a_network_is_shown_as_hcloud_shows_it(home: Path) -> None:
    said(home, ADD.format("10.200.1.0/24", "10.240.0.7"))
    for line in ("network list", "network describe nope -o json"):
        assert said(home, line) == real(home, line)
    describe = "network describe kubernetes -o json"
    assert json.loads(said(home, describe)) == json.loads(real(home, describe))


@pytest.mark.system
@pytest.mark.parametrize("line", ["network list -o json", "server list -o json"])
def test_what_hcloud_lists_it_lists_too(home: Path, line: str) -> None:
    """hcloud's lists have more fields, and times in another form."""

    def part(mine: Any, its: Any) -> bool:
        if isinstance(mine, dict):
            same = (key == "created" or part(mine[key], its[key]) for key in mine if key in its)
            return all(same)
        if isinstance(mine, list):
            return not mine or (len(mine) == len(its) and all(map(part, mine, its)))
        return mine in (its, None)

    assert part(json.loads(said(home, line)), json.loads(real(home, line)))


@pytest.mark.system
@pytest.mark.parametrize(
    "line",
    [
        ADD.format("10.200.9.0", "10.240.0.7"),
        ADD.format("10.200.9.0/24", "x"),
        "network add-route kubernetes --gateway 10.240.0.7",
        "network add-route kubernetes",
        "network remove-route nope --destination 10.200.9.0/24 --gateway 10.240.0.7",
    ],
)
def test_mistakes_are_told_in_the_words_of_hcloud(home: Path, line: str) -> None:
    assert said(home, line) == real(home, line)


def test_routes_come_and_go(home: Path) -> None:
    assert said(home, ADD.format("10.200.1.9/24", "10.240.0.7")) == "Route added to network 4711"
    assert said(home, ADD.format("10.200.2.0/24", "10.240.0.8")) == "Route added to network 4711"
    assert routes(home) == [("10.200.1.0/24", "10.240.0.7"), ("10.200.2.0/24", "10.240.0.8")]
    gone = said(home, REMOVE.format("10.200.1.0/24", "10.240.0.7"))
    assert gone == "Route removed from network 4711"
    assert routes(home) == [("10.200.2.0/24", "10.240.0.8")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (ADD.format("10.200.1.0/24", "10.240.0.8"), hcloud.OVERLAPS),
        (ADD.format("10.200.1.128/25", "10.240.0.7"), hcloud.OVERLAPS),
        (ADD.format("10.240.0.0/28", "10.240.0.7"), hcloud.OVERLAPS),
        (ADD.format("172.31.0.0/16", "10.240.0.7"), hcloud.OVERLAPS),
        (ADD.format("10.200.2.0/24", "10.240.0.1"), "invalid gateway (invalid_input)"),
        (ADD.format("10.200.2.0/24", "10.240.0.99"), "invalid gateway (invalid_input)"),
        (ADD.format("192.0.2.0/24", "10.240.0.7"), "invalid destination (invalid_input)"),
        (ADD.format("fd00::/64", "10.240.0.7"), "invalid destination (invalid_input)"),
        (REMOVE.format("10.200.1.0/24", "10.240.0.8"), "network route not found (not_found)"),
        ("server delete worker-0", "the stand-in for rehearsals cannot: server delete worker-0"),
        ("network describe kubernetes -o", "flag needs an argument: -o"),
    ],
)
def test_what_the_api_refuses_changes_nothing(home: Path, line: str, words: str) -> None:
    said(home, ADD.format("10.200.1.0/24", "10.240.0.7"))
    assert said(home, line) == f"hcloud: {words}"
    assert routes(home) == [("10.200.1.0/24", "10.240.0.7")]


def test_a_network_has_a_hundred_routes_and_everywhere_overlaps_none(home: Path) -> None:
    for number in range(hcloud.LIMIT - 1):
        said(home, ADD.format(f"10.200.{number}.0/24", "10.240.0.7"))
    assert "added" in said(home, ADD.format("0.0.0.0/0", "10.240.0.7"))
    assert said(home, ADD.format("0.0.0.0/0", "10.240.0.7")) == f"hcloud: {hcloud.OVERLAPS}"
    assert "limit" in said(home, ADD.format("10.200.200.0/24", "10.240.0.7"))
    assert len(routes(home)) == hcloud.LIMIT
