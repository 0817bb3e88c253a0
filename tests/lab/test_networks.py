"""A network that routes: its table and the machines change together, or not at all."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tasks.inventory.model import ProviderNetwork

from .conftest import MakeDirectory, MakeLab, labs, tutorial
from .kit import ok, on
from .network_kills import Stage, complaints, hcloud, stage
from .test_watch import watch


@pytest.fixture(scope="module")
def made(tmp_path_factory: MakeDirectory) -> Iterator[Stage]:
    """Three workers behind Hetzner's router; two of them have routes that were made by hand."""
    with labs(tmp_path_factory) as make:
        yield stage(make)


def test_pods_are_silent_before_answer_after_and_all_is_as_before_in_the_end(made: Stage) -> None:
    lab = made.lab
    found = ok(lab.fab("discover", "--from", "hcloud"))
    assert (
        found.splitlines()[2].split() == "[network] name kubernetes (hetzner) hcloud same".split()
    )
    before = ok(lab.fab("verify"), 5)
    assert "SILENT" in before
    ok(lab.fab("apply-routes"))
    assert "routes proven both ways: 6 of 6 pairs" in ok(lab.fab("verify"))
    again = ok(lab.fab("apply-routes"))
    assert "nothing to do" in again
    hcloud(lab, "network remove-route kubernetes --destination 10.200.2.0/24 --gateway 10.240.0.8")
    with watch(lab) as watching:
        watching.until("kubernetes (hetzner)", "put back: 10.200.2.0/24 via 10.240.0.8")
    assert "routes proven both ways: 6 of 6 pairs" in ok(lab.fab("verify"))
    ok(lab.fab("rollback"))
    assert made.provided() == made.routes  # the routes made by hand stay
    assert lab.tables() == made.tables


def test_the_last_run_and_one_machine_are_taken_back_with_their_part_of_the_table(
    made: Stage,
) -> None:
    lab = made.lab
    ok(lab.fab("apply-routes", "--limit", "worker-2"))
    added = [route for route in made.provided() if route not in made.routes]
    assert [route["destination"] for route in added] == ["10.200.2.0/24"]
    assert lab.tables()["worker-0"] == made.tables["worker-0"]
    ok(lab.fab("apply-routes"))
    assert len(made.provided()) == 3
    ok(lab.fab("rollback", "--last"))  # which added no route of the network
    assert len(made.provided()) == 3
    ok(lab.fab("rollback", "--last", "--limit", "worker-2"))
    assert made.provided() == made.routes
    assert lab.tables() == made.tables
    assert not lab.cluster.path.with_suffix(".network.json").exists()
    ok(lab.fab("apply-routes"))
    ok(lab.fab("rollback", "--limit", "worker-2"))
    assert made.provided() == made.routes
    ok(lab.fab("rollback"))
    assert lab.tables() == made.tables


# On worker-2 no batch of routes gets through.
BREAK = """mv /bin/ip /bin/ip.real
cat >/bin/ip <<'END'
#!/bin/sh
case $* in *-batch*) exit 1 ;; esac
exec /bin/ip.real "$@"
END
chmod +x /bin/ip"""


def test_machines_that_fail_take_the_tables_additions_along(made: Stage) -> None:
    on(made.lab, "worker-2", BREAK)
    done = made.lab.fab("apply-routes")
    on(made.lab, "worker-2", "mv /bin/ip.real /bin/ip")
    assert done.returncode in (1, 3), done.stdout + done.stderr
    assert made.provided() == made.routes


@pytest.mark.parametrize("kill", ["3-after", "5-before"])
def test_what_an_operator_leaves_who_is_killed_is_named_and_taken_back(
    made: Stage, kill: str
) -> None:
    assert complaints(made, kill, "rollback") == []


def test_a_route_to_another_server_is_exchanged_if_it_is_allowed(made: Stage) -> None:
    wrong = "--destination 10.200.2.0/24 --gateway 10.240.0.6"
    hcloud(made.lab, f"network add-route kubernetes {wrong}")
    refused = made.lab.fab("apply-routes")
    assert refused.returncode == 1
    assert "--replace exchanges it: there is no route for a moment" in refused.stdout
    ok(made.lab.fab("apply-routes", "--replace", "--yes"))
    ok(made.lab.fab("verify"))
    ok(made.lab.fab("rollback"))
    hcloud(made.lab, f"network remove-route kubernetes {wrong}")
    assert made.provided() == made.routes


def test_a_route_table_of_aws_needs_nothing_on_the_machines(make_lab: MakeLab) -> None:
    lab = make_lab(replace(tutorial(2), network=ProviderNetwork("aws", "rtb-0123")))
    for worker in lab.cluster.workers:  # pods keep their addresses: no masquerading hides them
        on(lab, worker.name, "iptables -t nat -F")
    found = ok(lab.fab("discover", "--from", "aws"))
    assert "all machines are in one subnet" not in found  # [network] is there, and right
    before = lab.tables()
    done = ok(lab.fab("apply-routes"))
    assert "done: 2 added, 2 source checks switched off in network rtb-0123 (aws)" in done
    ok(lab.fab("verify"))
    assert lab.tables() == before
    assert "2 deleted, 2 source checks switched on" in ok(lab.fab("rollback", "--last"))
    ok(lab.fab("verify"), 5)
    ok(lab.fab("apply-routes"))
    assert "2 deleted, 2 source checks switched on" in ok(lab.fab("rollback"))
    ok(lab.fab("verify"), 5)
