"""What is read of BIRD's details, and of nonsense."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.bgp.details import NO_DETAILS, BirdDetails, SessionDetails, read_details
from tasks.common.values import address, network

PROTOCOLS = """BIRD 2.0.12 ready.
own4       Static     master4    up     10:10:45.456
  Channel ipv4
      Import updates:              1          0          7          0          1

10.240.0.7 BGP        ---        up     10:10:46.231  Established
  BGP state:          Established
    Neighbor AS:      64512
    Local AS:         65000
  Channel ipv4
    Import limit:   1 [HIT]
      Action:       block
    Routes:         1 imported, 1 exported, 1 preferred
      Import updates:              4          0          2          2          2
fd00:240::8 BGP        ---        start  10:10:46.255  Connect
    Neighbor AS:      64513
    Local AS:         64512
    Import limit:   256
""".splitlines()
ROUTES = """BIRD 2.0.12 ready.
Table master4:
10.200.2.0/24        blackhole [own4 10:19:30.603] * (200)
                     unicast [10.240.0.8 10:19:31.514] (100) [i]
\tvia 10.240.0.8 on enp6s0
10.200.0.0/24        unicast [10.240.0.6 10:19:35.091] * (100) [i]
\tvia 10.240.0.6 on enp6s0
""".splitlines()


def test_what_bird_says() -> None:
    found = read_details(
        {
            "status": ["BIRD 2.0.12", "Router ID is 10.240.0.7", "Daemon is up and running"],
            "protocols all": PROTOCOLS,
            "route": ROUTES,
        }
    )
    assert found.router_id == "10.240.0.7"
    assert [s.state for s in found.states] == ["Established", "Connect"]
    assert found.sessions == {
        address("10.240.0.7"): SessionDetails(65000, 64512, 1, blocked=True, filtered=2),
        address("fd00:240::8"): SessionDetails(64512, 64513, 256),
    }
    assert found.routes == {
        network("10.200.2.0/24"): ("own4", "10.240.0.8"),
        network("10.200.0.0/24"): ("10.240.0.6",),
    }


def test_why_it_does_not_run() -> None:
    refused = read_details({"refuses": ["bird: bird.conf:3:1 syntax error"], "hangs": ["x", "37"]})
    assert (refused.refuses, refused.hangs) == ("bird.conf:3:1 syntax error", "37")
    assert read_details({"hangs": ["7; reboot", "-1", "\u0663"]}) == NO_DETAILS


@given(st.dictionaries(st.sampled_from(["status", "protocols all", "route"]), st.lists(st.text())))
def test_nonsense_is_no_traceback(found: dict[str, list[str]]) -> None:
    assert isinstance(read_details(found), BirdDetails)


def test_a_prefix_that_is_said_without_end_is_read_once() -> None:
    found = read_details({"route": ["10.200.0.0/24 unicast [x 10:00] (1)"] * 100_000})
    assert len(found.routes[network("10.200.0.0/24")]) < 100
