"""Where a plan cannot be tried on a copy, one line says what to do instead."""

import os
import sys
from dataclasses import replace

import pytest

from tasks.cli.copies import check_foresight
from tasks.common.errors import Stop
from tasks.inventory.model import Bgp, ProviderNetwork
from tests.builders import cluster


def test_what_is_not_copied_is_refused() -> None:
    networked = replace(cluster(), network=ProviderNetwork("hetzner", "nodes"))
    with pytest.raises(Stop, match="copies no table of a provider's network: `fab rehearse"):
        check_foresight(networked)
    with pytest.raises(Stop, match="copies no BIRD, and so no BGP: `fab rehearse"):
        check_foresight(replace(cluster(), bgp=Bgp()))


def test_without_linux_or_root_a_file_of_a_snapshot_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    instead = "where you are root, for `fab rehearse --snapshot FILE apply-routes verify`"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Stop, match=instead):
        check_foresight(cluster())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Stop, match=instead):
        check_foresight(cluster())
