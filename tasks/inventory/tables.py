"""The tables of hosts.toml, as pydantic checks them, and how one TOML value becomes a value."""

import json
import re
from pathlib import Path
from typing import Annotated, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from tasks.common import values
from tasks.common.values import Address, Network

from .model import HostKeys, Persist, Provider, Routing

NAME = f"^{values.NAME}$"
HOST = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_-]{1,63})*\.?$"
NETWORK_NAME = r"^[A-Za-z0-9_][A-Za-z0-9 ._:/-]{0,127}$"  # begins like no option of a program
MAX_CHARS = 120  # of a line or a value that a message quotes
LOGIN = r"^[A-Za-z0-9_][A-Za-z0-9_.@\\$+-]*$"  # also DOMAIN\user and user@domain


# Functions that turn one TOML value into a value of a Cluster.


def quoted_value(value: object) -> str:
    """A value as a message quotes it: text is escaped, tables and lists are only named."""
    if isinstance(value, str):
        return json.dumps(value if len(value) <= MAX_CHARS else f"{value[:MAX_CHARS]}...")
    if (
        isinstance(value, int | float) and abs(value) < 1e18
    ):  # Python may refuse to print longer ones
        return json.dumps(value)
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "a table" if isinstance(value, dict) else "a value of another kind"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {quoted_value(value)}")
    return value


def _address(value: object, *unwanted: str) -> Address:
    text = _text(value)
    if "%" in text:  # a scope ID, which may hold any character
        raise ValueError(f"{quoted_value(text)} names an interface; give an address without one")
    try:
        address = values.address(text)
    except ValueError:
        why = values.why_no_address(text)
        raise ValueError(f"{quoted_value(text)} is not an address: {why}") from None
    if address.version == 6 and address.ipv4_mapped:
        raise ValueError(f"{text} is an IPv4-mapped address; write {address.ipv4_mapped}")
    for kind in ("unspecified", "multicast", *unwanted):
        if getattr(address, f"is_{kind}"):
            adjective = kind.replace("_", "-")
            raise ValueError(f"{text} is {adjective}; give one that other machines can reach")
    return address


def _internal_ip(value: object) -> Address:
    return _address(value, "loopback", "link_local")


def _public_ip(value: object) -> str:
    text = _text(value)
    if re.fullmatch(r"[0-9.]*|.*:.*:.*", text):
        return str(_address(text))
    if not (re.fullmatch(HOST, text) and len(text) < 254):
        raise ValueError(
            f"{quoted_value(text)} is neither an address nor a host name; user and port go into"
            " [ssh]"
        )
    return text


def _network(value: object) -> Network:
    text = _text(value)
    if "/" not in text or "%" in text:
        raise ValueError(f'{quoted_value(text)} is not a CIDR such as "10.200.0.0/24"')
    try:
        interface = values.interface(text)
    except ValueError:
        why = values.why_no_network(text)
        raise ValueError(f"{quoted_value(text)} is not a CIDR: {why}") from None
    if interface.ip != interface.network.network_address:
        raise ValueError(f"{text} has host bits set; the network is {interface.network}")
    return interface.network


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~ of an unknown user
        raise ValueError(
            f"{quoted_value(text)} names an unknown user; write the whole path"
        ) from None


def _key_file(value: object) -> Path:
    text = _text(value)
    if not text or not text.isprintable() or "PRIVATE KEY" in text:  # not quoted: may be the key
        raise ValueError("must be the name of a private key file, not the key itself")
    return _path(text)


def _password_file(value: object) -> Path:
    text = _text(value)
    if not text or not text.isprintable():  # not quoted: may be the password
        raise ValueError("must be the name of a file that holds the password, not the password")
    return _path(text)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


_Networks = Annotated[list[Annotated[Network, PlainValidator(_network)]], Field(min_length=1)]
_Addresses = Annotated[list[Annotated[Address, PlainValidator(_internal_ip)]], Field(min_length=1)]


# A class for each table. A description completes "must be ..." in messages. A required value is
# None only in a table with mistakes, where it is missing or did not parse: TOML has no null.


class Table(BaseModel):
    """A table: unknown keys are mistakes, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileTable(Table):
    """The whole file; its tables are checked one by one."""

    cluster: object = Field(description="a [cluster] table with pod_networks")
    network: object = Field(default=None)
    ssh: object = Field(default={})
    bgp: object = Field(default=None)
    workers: Annotated[list[object], Field(min_length=1)] | None = Field(
        description="one [[workers]] table, in double brackets, for each worker"
    )
    controllers: list[object] = Field(
        default=[], description="one [[controllers]] table, in double brackets, for each controller"
    )


class ClusterTable(Table):
    """[cluster]."""

    pod_networks: _Networks | None = Field(description='a list of CIDRs such as ["10.200.0.0/16"]')
    node_networks: _Networks = Field(
        default=[], description='a list of CIDRs such as ["10.240.0.0/24"]'
    )
    persist: Persist = Field(default="none", description='"none" or "auto"')
    routing: Routing = Field(default="static", description='"static" or "bgp"')


class NetworkTable(Table):
    """[network]: the provider's network."""

    provider: Provider | None = Field(
        description=" or ".join(f'"{name}"' for name in get_args(Provider))
    )
    name: Annotated[str, Field(pattern=NETWORK_NAME)] | None = Field(
        description="the network's name in the provider's API, such as \"kubernetes\"; at AWS the"
        ' ID of its route table, such as "rtb-0123456789abcdef0"'
    )


class SshTable(Table):
    """[ssh]."""

    user: Annotated[str, Field(pattern=LOGIN)] | None = Field(
        default=None, description='a login name such as "root"'
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="a number from 1 to 65535"
    )
    key_file: Annotated[Path, PlainValidator(_key_file)] | None = None
    host_keys: HostKeys = Field(default="accept-new", description='"strict", "accept-new" or "off"')


_AsNumber = Annotated[int, Field(ge=1, le=(1 << 32) - 2)]  # RFC 7300 reserves the last one
_AS_NUMBER = "a number from 1 to 4294967294; 64512 to 65534 are for private use"


class BgpTable(Table):
    """[bgp]."""

    as_number: _AsNumber = Field(default=64512, description=_AS_NUMBER)
    reflectors: list[str] = Field(default=[], description="a list of names of machines")
    password_file: Annotated[Path, PlainValidator(_password_file)] | None = None
    bfd: bool = Field(default=False, description="true or false")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=179, description="a number from 1 to 65535"
    )
    peers: list[object] = Field(
        default=[], description="one [[bgp.peers]] table, in double brackets, for each router"
    )


class PeerTable(Table):
    """[[bgp.peers]]: a router outside the cluster."""

    address: Annotated[Address, PlainValidator(_internal_ip)] | None = Field(
        description="the address of a router"
    )
    as_number: _AsNumber | None = Field(description=_AS_NUMBER)
    accept: _Networks = Field(default=[], description='a list of CIDRs such as ["192.0.2.0/24"]')


class ControllerTable(Table):
    """[[controllers]]."""

    name: Annotated[str, Field(pattern=NAME)] | None = Field(
        description='up to 253 letters, digits, ".", "-" and "_", beginning with a letter or digit'
    )
    public_ip: Annotated[str, PlainValidator(_public_ip)] | None = Field(
        description="an address or a host name"
    )
    internal_ip: Annotated[_Addresses, BeforeValidator(_listed)] = Field(
        default=[], description="an address, or a list of one per address family"
    )


class WorkerTable(ControllerTable):
    """[[workers]]."""

    pod_cidr: Annotated[_Networks, BeforeValidator(_listed)] = Field(
        default=[], description="a CIDR, or a list of one per address family"
    )
