"""Causes: why pairs do not answer, each named once however many pairs it silences."""

from dataclasses import dataclass

from .pairs import Pair


@dataclass(frozen=True)
class Cause:
    """What stops packets, where, and what mends it for good."""

    machine: str  # where it is to be mended; empty where that is between the machines
    words: str  # one line, e.g. "worker-2 does not forward IPv4: net.ipv4.ip_forward is 0"
    remedy: str  # one line
    pairs: tuple[Pair, ...]  # the pairs it explains
