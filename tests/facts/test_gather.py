"""What a machine says of itself, asked by the script and read from its answer."""

import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from tasks.facts.gather import question
from tasks.facts.parse import read
from tests.builders import POD_NETWORKS
from tests.scripts import APART, SHELLS, answer

QUESTION = question(POD_NETWORKS, [], False)
PODS = ip_network("10.200.1.0/24")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_cni_configuration_comes_as_it_is_written(shell: str, tmp_path: Path) -> None:
    """JSON's escapes are no shell's, whatever its echo(1) makes of them."""
    config = {
        "name": "a\n== missing\nip\n== pending\npending 5\n20260101T000000.1\n\\c",
        "type": "bridge",
        "ipam": {"type": "host-local", "subnet": "10.200.1.0/24"},
    }
    (tmp_path / "config").write_text(json.dumps(config, indent=1))
    before = f"{APART}\nmkdir -p /etc/cni/net.d\ncp config /etc/cni/net.d/10-a.conf"
    facts = read(answer(QUESTION, tmp_path, before=before, shell=shell))
    assert [claim.networks for claim in facts.claims] == [(PODS,)]
    assert (facts.missing, facts.pending) == ((), None)
