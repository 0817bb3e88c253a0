"""BIRD's configuration, as BIRD itself reads it."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.bgp import bird_conf as written
from tasks.bgp.bird_conf import bird_conf
from tasks.common.values import address, network
from tasks.inventory.model import Bgp, Router
from tests.builders import cluster

ROUTER = Router(address("10.240.0.1"), 65001, (network("192.0.2.0/24"),))


def parsed(text: str, directory: Path) -> str:
    """What BIRD finds wrong in a configuration."""
    password = directory / "password.conf"
    password.write_text('password "secret";\n')
    file = directory / "bird.conf"
    file.write_text(text.replace(written.PASSWORD, str(password)))
    done = subprocess.run(
        ["bird", "-p", "-c", file], capture_output=True, text=True, check=False, timeout=20
    )
    return done.stdout + done.stderr


@pytest.mark.system
@pytest.mark.parametrize("families", [(4,), (6,), (4, 6)])
@pytest.mark.parametrize(
    "bgp",
    [
        Bgp(),
        Bgp(reflectors=("worker-0", "controller-3")),
        Bgp(4200000000, bfd=True, password_file=Path("x"), port=1179, routers=(ROUTER,)),
    ],
)
def test_bird_takes_it(bgp: Bgp, families: tuple[int, ...], tmp_path: Path) -> None:
    whole = cluster(3, 1, families)
    for machine in whole.machines:
        assert parsed(bird_conf(whole, bgp, machine), tmp_path) == ""


def test_names_that_bird_might_read_as_its_own_are_none(tmp_path: Path) -> None:
    whole = cluster(4)
    names = ("protocol", "1.2", "a-b_c.d", "x" * 253)
    machines = tuple(replace(m, name=n) for m, n in zip(whole.machines, names, strict=True))
    whole = replace(whole, machines=machines)
    assert parsed(bird_conf(whole, Bgp(), machines[0]), tmp_path) == ""


def test_a_client_does_not_know_how_many_workers_there_are() -> None:
    """Else each new one would touch every machine."""
    small, large = cluster(40, 3), cluster(60, 3)
    assert bird_conf(small, Bgp(), small.machine("worker-7")) == bird_conf(
        replace(large, machines=(*large.workers, *small.machines[40:])),
        Bgp(),
        large.machine("worker-7"),
    )
