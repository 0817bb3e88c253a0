"""Reads a machines.txt, the format of the hard-way tutorial since 2023.

Each line describes one machine: IPV4_ADDRESS FQDN HOSTNAME POD_SUBNET. A machine without pods has
no subnet (https://github.com/kelseyhightower/kubernetes-the-hard-way,
docs/03-compute-resources.md). Where no line has one, the file does not tell who has pods. The
address serves both for ssh and as next hop.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from tasks.common.errors import Stop
from tasks.common.files import content
from tasks.common.values import lines
from tasks.discovery.model import Found, Request, internal_ips, pod_cidrs, public_ips


def machines(request: Request) -> Iterator[Found]:
    """One machine per line. One without a subnet is a controller if another line has a subnet.

    Raises Stop if the file cannot be read, or for an invalid line.
    """
    try:
        text = content(request.file).decode("utf-8-sig")
    except OSError as error:
        hint = "name another with --file"
        raise Stop(f"{request.file}: cannot be read: {error.strerror}; {hint}") from None
    except UnicodeDecodeError:
        raise Stop(f"{request.file}: not UTF-8; save it as UTF-8") from None
    found = list(_machines(request.file.name, re.sub("\r\n?", "\n", text)))
    told = any(one.role for one in found)
    yield from (replace(one, role=one.role or "controller") if told else one for one in found)


def _machines(file: str, text: str) -> Iterator[Found]:
    """The machine of each line; a worker if it has a subnet. Raises Stop for an invalid line."""
    for number, line in enumerate(lines(text), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        place = f"{file}:{number}"
        if len(words) not in (3, 4):
            raise Stop(f"{place}: must be IPV4_ADDRESS FQDN HOSTNAME [POD_SUBNET]")
        address, _fqdn, name, *subnet = words
        try:
            values = (
                *public_ips(place, address),
                *internal_ips(place, address),
                *pod_cidrs(place, *subnet),
            )
        except ValueError as error:
            raise Stop(f"{place}: {error}") from None
        yield Found(name, "machines", values, role="worker" if subnet else None)
