"""Reads hosts.toml into a Cluster, or refuses it with a list of all its mistakes.

The format is this project's own; docs/usage.md shows it in full. Pydantic checks each table by
itself, and checks.py compares the values of several tables.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from tasks.common import values
from tasks.common.errors import Stop
from tasks.common.files import MAX_KEY, check, content
from tasks.common.values import Address, Network

from .checks import Mistake, mistakes_between
from .model import (
    Bgp,
    Cluster,
    HostKeys,
    Machine,
    Persist,
    Provider,
    ProviderNetwork,
    Router,
    Routing,
    Ssh,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = f"^{values.NAME}$"
HOST = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_-]{1,63})*\.?$"
NETWORK_NAME = r"^[A-Za-z0-9_][A-Za-z0-9 ._:/-]{0,127}$"  # begins like no option of a program
MAX_CHARS = 120  # of a line or a value that a message quotes
LOGIN = r"^[A-Za-z0-9_][A-Za-z0-9_.@\\$+-]*$"  # also DOMAIN\user and user@domain


# Functions that turn one TOML value into a value of a Cluster.


def _shown(value: object) -> str:
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
        raise ValueError(f"must be a string, not {_shown(value)}")
    return value


def _address(value: object, *unwanted: str) -> Address:
    text = _text(value)
    if "%" in text:  # a scope ID, which may hold any character
        raise ValueError(f"{_shown(text)} names an interface; give an address without one")
    try:
        address = values.address(text)
    except ValueError:
        why = values.why_no_address(text)
        raise ValueError(f"{_shown(text)} is not an address: {why}") from None
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
            f"{_shown(text)} is neither an address nor a host name; user and port go into [ssh]"
        )
    return text


def _network(value: object) -> Network:
    text = _text(value)
    if "/" not in text or "%" in text:
        raise ValueError(f'{_shown(text)} is not a CIDR such as "10.200.0.0/24"')
    try:
        interface = values.interface(text)
    except ValueError:
        why = values.why_no_network(text)
        raise ValueError(f"{_shown(text)} is not a CIDR: {why}") from None
    if interface.ip != interface.network.network_address:
        raise ValueError(f"{text} has host bits set; the network is {interface.network}")
    return interface.network


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~ of an unknown user
        raise ValueError(f"{_shown(text)} names an unknown user; write the whole path") from None


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


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _File(_Table):
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


class _Cluster(_Table):
    pod_networks: _Networks | None = Field(description='a list of CIDRs such as ["10.200.0.0/16"]')
    node_networks: _Networks = Field(
        default=[], description='a list of CIDRs such as ["10.240.0.0/24"]'
    )
    persist: Persist = Field(default="none", description='"none" or "auto"')
    routing: Routing = Field(default="static", description='"static" or "bgp"')


class _Network(_Table):
    provider: Provider | None = Field(
        description=" or ".join(f'"{name}"' for name in get_args(Provider))
    )
    name: Annotated[str, Field(pattern=NETWORK_NAME)] | None = Field(
        description="the network's name in the provider's API, such as \"kubernetes\"; at AWS the"
        ' ID of its route table, such as "rtb-0123456789abcdef0"'
    )


class _Ssh(_Table):
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


class _Bgp(_Table):
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


class _Peer(_Table):
    address: Annotated[Address, PlainValidator(_internal_ip)] | None = Field(
        description="the address of a router"
    )
    as_number: _AsNumber | None = Field(description=_AS_NUMBER)
    accept: _Networks = Field(default=[], description='a list of CIDRs such as ["192.0.2.0/24"]')


class _Controller(_Table):
    name: Annotated[str, Field(pattern=NAME)] | None = Field(
        description='up to 253 letters, digits, ".", "-" and "_", beginning with a letter or digit'
    )
    public_ip: Annotated[str, PlainValidator(_public_ip)] | None = Field(
        description="an address or a host name"
    )
    internal_ip: Annotated[_Addresses, BeforeValidator(_listed)] = Field(
        default=[], description="an address, or a list of one per address family"
    )


class _Worker(_Controller):
    pod_cidr: Annotated[_Networks, BeforeValidator(_listed)] = Field(
        default=[], description="a CIDR, or a list of one per address family"
    )


_T = TypeVar("_T", bound=_Table)


def _nearest(model: type[_Table], key: str) -> str | None:
    return next(iter(get_close_matches(key, model.model_fields, n=1)), None)


def _wrong(model: type[_Table], error: ErrorDetails) -> str:
    """A message for one of pydantic's errors, in terms of hosts.toml."""
    if not error["loc"]:
        return f"must be a table, not {_shown(error['input'])}"
    key = str(error["loc"][0])
    if error["type"] == "extra_forbidden":  # the message omits the value, which may be a secret
        if model is _Controller and key == "pod_cidr":
            return f"{key}: a machine that owns a pod CIDR is a worker here: move it to [[workers]]"
        near = _nearest(model, key)
        hint = f'did you mean "{near}"?' if near else f"known are {', '.join(model.model_fields)}"
        return f"unknown key {_shown(key)}; {hint}"
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']}"
    description = model.model_fields[key].description
    if error["type"] == "missing":
        return f"{key}: missing; must be {description}"
    return f"{key}: must be {description}, not {_shown(error['input'])}"


def _read_table(model: type[_T], raw: Any, place: str, mistakes: list[Mistake]) -> _T:
    """The table without the values that did not parse. Each of those is added to `mistakes`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        errors = (
            error.errors(include_url=False) if raw is not None else []
        )  # None: already in mistakes
    unknown = [str(e["loc"][0]) for e in errors if e["type"] == "extra_forbidden"]
    meant = {_nearest(model, key) for key in unknown}
    for e in errors:
        if e["type"] != "missing" or e["loc"][0] not in meant:  # a misspelt key counts once
            mistakes.append((place, _wrong(model, e)))
    wrong = {e["loc"][0] for e in errors if e["loc"]}
    required = [key for key, field in model.model_fields.items() if field.is_required()]
    parsed = {key: raw[key] for key in raw if key not in wrong} if isinstance(raw, dict) else {}
    return model.model_validate(dict.fromkeys(required) | parsed)


# The whole file.


def _toml(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        # Some editors begin with a byte order mark.
        document: dict[str, Any] = tomllib.loads(raw.decode("utf-8-sig"))
        return document
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Stop(f"{path}: not UTF-8 (at line {line}); save it as UTF-8") from None
    except RecursionError:
        raise Stop(f"{path}: not TOML: lists or tables nested too deep") from None
    except ValueError as error:  # not only TOML's own errors: a number may have too many digits
        raise Stop(f"{path}: not TOML: {error}{_quoted_line(raw, str(error))}") from None


def _quoted_line(raw: bytes, error: str) -> str:
    """The line that an error names; empty where it names none, or where the line may be secret."""
    named = re.search(r"\(at line (\d+), ", error)
    lines = raw.decode("utf-8-sig", "replace").splitlines()
    if named is None or not 0 < int(named[1]) <= len(lines):
        return ""
    line = lines[int(named[1]) - 1].strip()
    # The value of an unknown key, or of key_file, may be a secret.
    key = re.match(r"\[*([a-z_]*)", line)
    known = key and any(
        key[1] in t.model_fields for t in (_File, _Cluster, _Network, _Ssh, _Bgp, _Peer, _Worker)
    )
    hidden = not known or "{" in line or "PRIVATE KEY" in line
    if hidden or not line.isprintable() or len(line) > MAX_CHARS:
        return ""
    return f": {line}"


def _name(raw: object) -> str | None:
    name = raw.get("name") if isinstance(raw, dict) else None
    return name if isinstance(name, str) and re.fullmatch(NAME, name) else None


def _machines(file: _File, mistakes: list[Mistake]) -> tuple[Machine, ...]:
    """Workers, then controllers, each with a unique name for messages.

    Where the file gives none, that is the machine's place, such as "workers[2]".
    """
    tables: list[tuple[str, type[_Controller], object]]
    tables = [(f"workers[{i}]", _Worker, raw) for i, raw in enumerate(file.workers or [])]
    tables += [(f"controllers[{i}]", _Controller, raw) for i, raw in enumerate(file.controllers)]
    names = [_name(raw) for _, _, raw in tables]
    times = Counter(names)
    first: dict[str, str] = {}
    machines = []
    for (place, model, raw), name in zip(tables, names, strict=True):
        if name and first.setdefault(name, place) != place:
            mistakes.append((place, f"name: {name} is the name of {first[name]} too"))
        label = name if name and times[name] == 1 else place
        table = _read_table(model, raw, label, mistakes)
        machines.append(
            Machine(
                name=label,
                role="worker" if isinstance(table, _Worker) else "controller",
                public_ip=table.public_ip or "",
                internal_ips=tuple(table.internal_ip),
                pod_cidrs=tuple(table.pod_cidr) if isinstance(table, _Worker) else (),
            )
        )
    return tuple(machines)


def _bgp(raw: object, folder: Path, mistakes: list[Mistake]) -> Bgp:
    """The table [bgp]: how the machines speak BGP."""
    table = _read_table(_Bgp, raw if raw is not None else {}, "bgp", mistakes)
    peers = [
        _read_table(_Peer, peer, f"bgp.peers[{i}]", mistakes) for i, peer in enumerate(table.peers)
    ]
    return Bgp(
        as_number=table.as_number,
        reflectors=tuple(table.reflectors),
        password_file=folder / table.password_file if table.password_file else None,
        bfd=table.bfd,
        port=table.port,
        routers=tuple(
            Router(peer.address, peer.as_number, tuple(peer.accept))
            for peer in peers
            if peer.address and peer.as_number
        ),
    )


def _readable_by_others(password_file: Path) -> Iterator[Mistake]:
    with suppress(OSError):  # a file that is missing is made when it is needed
        if password_file.stat().st_mode & 0o077:
            yield (
                "bgp",
                f"password_file: others can read {password_file}: chmod 600 {password_file}",
            )


def _network_of(path: Path, raw: object, mistakes: list[Mistake]) -> ProviderNetwork | None:
    """The provider's network; None if the file has none, or a wrong one."""
    if raw is None:
        return None
    table = _read_table(_Network, raw, "network", mistakes)
    if table.provider is None or table.name is None:
        return None
    return ProviderNetwork(table.provider, table.name, path.with_suffix(".network.json"))


def _unusable(key_file: Path) -> Iterator[Mistake]:
    try:
        check(key_file, MAX_KEY)
    except OSError as error:
        yield (
            "ssh",
            f"key_file: {key_file} cannot be used ({error.strerror}); name a private key, make one"
            f" with ssh-keygen -f {key_file}, or leave key_file out to use your own keys",
        )


def read(path: Path, *, with_key: bool = True) -> Cluster:
    """The cluster that a hosts.toml describes.

    `with_key`: whether [ssh].key_file must exist. A rehearsal does not need it, because a twin has
    keys of its own. Raises Stop where the file cannot be read, and where it has mistakes, with a
    line for each.
    """
    try:
        raw = content(path)
    except OSError as error:
        raise Stop(
            f"{path}: cannot be read: {error.strerror}; name another file with --inventory PATH "
            "or FABRIC_INVENTORY=PATH, or begin with a copy of the example hosts.toml"
        ) from None
    return parsed(path, raw, with_key=with_key)


def parsed(path: Path, raw: bytes, *, with_key: bool = True) -> Cluster:
    """The cluster that the bytes of a hosts.toml describe; otherwise as `read`."""
    mistakes: list[Mistake] = []
    file = _read_table(_File, _toml(path, raw), "", mistakes)
    networks = _read_table(_Cluster, file.cluster, "cluster", mistakes)
    login = _read_table(_Ssh, file.ssh, "ssh", mistakes)
    network = _network_of(path, file.network, mistakes)
    key_file = path.parent / login.key_file if login.key_file else None
    bgp = _bgp(file.bgp, path.parent, mistakes)
    cluster = Cluster(
        path=path,
        pod_networks=tuple(networks.pod_networks or ()),
        node_networks=tuple(networks.node_networks),
        persist=networks.persist,
        bgp=bgp if networks.routing == "bgp" else None,
        network=network,
        machines=_machines(file, mistakes),
        ssh=Ssh(
            user=login.user,
            port=login.port,
            key_file=key_file,
            host_keys=login.host_keys,
            known_hosts=path.parent / "known_hosts",
        ),
    )
    if key_file and with_key:
        mistakes += _unusable(key_file)
    if bgp.password_file:
        mistakes += _readable_by_others(bgp.password_file)
    if file.bgp is not None and not cluster.bgp:
        mistakes.append(("bgp", 'is only used with routing = "bgp" in [cluster]; add that line'))
    mistakes += mistakes_between(cluster)
    if mistakes:
        raise Stop(_message(cluster, mistakes))
    return cluster


def _message(cluster: Cluster, mistakes: list[Mistake]) -> str:
    """All mistakes as one text, in the order of their tables in a hosts.toml."""
    tables = ["", "cluster", "network", "ssh", "bgp"]
    places = [*tables, *(machine.name for machine in cluster.machines)]
    order = {place: position for position, place in enumerate(places)}
    lines = [
        f"  {place}: {text}" if place else f"  {text}"
        for place, text in sorted(
            mistakes, key=lambda mistake: order[mistake[0].partition(".peers")[0]]
        )
    ]
    count = f"{len(lines)} mistake{'s' if len(lines) > 1 else ''}"
    return "\n".join([f"{cluster.path}: {count}", *lines])
