"""What is read of BIRD's own words, and of nonsense."""

import pytest

from tasks.bgp.bird import Bird, Listener, SessionState, read_bird
from tasks.common.values import address

SHOWN = """BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     07:27:51.437
own4       Static     master4    up     07:27:51.437
10.240.0.7 BGP        ---        up     07:27:52.394  Established
10.240.0.8 BGP        ---        start  2026-11-28 07:27:52  Active  Socket: Connection refused
fd00:240::8 BGP       ---        start  07:27:52.293  Idle          BGP Error: Bad peer AS
10.240.0.9 BGP        ---        down   07:27:52.293
""".splitlines()


def test_sessions() -> None:
    found = read_bird({"version": ["BIRD version 2.0.12"], "sessions": SHOWN})
    assert (found.version, found.usable, found.running) == ("2.0.12", True, True)
    assert found.sessions == (
        SessionState(address("10.240.0.7"), "Established", "07:27:52.394", ""),
        SessionState(
            address("10.240.0.8"), "Active", "2026-11-28 07:27:52", "Socket: Connection refused"
        ),
        SessionState(address("fd00:240::8"), "Idle", "07:27:52.293", "BGP Error: Bad peer AS"),
        SessionState(address("10.240.0.9"), "down", "07:27:52.293", ""),
    )
    assert [s.established for s in found.sessions] == [True, False, False, False]


@pytest.mark.parametrize(
    ("lines", "usable"),
    [
        ([], False),
        (["sh: bird: not found"], False),
        (["BIRD version 1.6.8"], False),
        (["BIRD version 3.0.0"], True),
    ],
)
def test_a_version_that_takes_the_configuration(lines: list[str], usable: bool) -> None:
    assert read_bird({"version": lines}).usable is usable


def test_who_has_the_port() -> None:
    line = 'LISTEN 0 8 10.240.0.6:179 0.0.0.0:* users:(("bgpd",pid=7,fd=4),("bird",pid=9,fd=8))'
    assert read_bird({"listeners": [line]}).listeners == (
        Listener("10.240.0.6", "bgpd"),
        Listener("10.240.0.6", "bird"),
    )


def test_nothing_is_said() -> None:
    assert read_bird({}) == Bird()
