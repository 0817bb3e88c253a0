"""What is told of machines that cannot be asked."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from tasks.common.errors import Stop
from tasks.common.values import Address
from tasks.facts.survey import ask, with_operator
from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet
from tests.builders import cluster, facts


class Silent(Fleet):
    """No machine: each has the trouble that it is given."""

    def __init__(self, troubles: dict[str, str]) -> None:
        self.cluster = cluster(len(troubles))
        self._troubles = troubles

    def ask(
        self, scripts: object, doing: str = "", timeout: int = 0
    ) -> dict[str, str | MachineError]:
        return {name: MachineError(text) for name, text in self._troubles.items()}


def test_machines_with_the_same_trouble_share_a_line() -> None:
    troubles = {f"worker-{n}": "jump host b: is it up?" for n in range(6)}
    troubles["worker-1"] = "refuses the key"
    with pytest.raises(Stop) as stop:
        ask(Silent(troubles))
    assert str(stop.value.message).splitlines()[1:] == [
        "  worker-0, worker-2, worker-3 and 2 more: jump host b: is it up?",
        "  worker-1: refuses the key",
    ]


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (["", ""], ["", ""]),
        (["10.200.1.9", ""], ["10.200.1.9", "10.200.1.9"]),
        (["10.200.1.9", "10.200.2.9", ""], ["10.200.1.9", "10.200.2.9", ""]),
    ],
)
def test_where_sshd_does_not_know_the_operator_others_do(said: list[str], known: list[str]) -> None:
    def asked(clients: list[str]) -> list[Address | None]:
        return [ip_address(client) if client else None for client in clients]

    found = with_operator(
        {str(n): replace(facts(n), client=client) for n, client in enumerate(asked(said))}
    )
    assert [f.client for f in found.values()] == asked(known)
