"""Reads hosts.toml into a Cluster, or refuses it with a list of all its mistakes.

The format is this project's own; docs/usage.md shows it in full. Pydantic checks each table by
itself, and checks.py compares the values of several tables.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tasks.common.errors import Stop
from tasks.common.files import MAX_KEY, check, content

from .checks import Mistake, mistakes_between
from .model import (
    Bgp,
    Cluster,
    Machine,
    ProviderNetwork,
    Router,
    Ssh,
)
from .tables import (
    MAX_CHARS,
    NAME,
    BgpTable,
    ClusterTable,
    ControllerTable,
    FileTable,
    NetworkTable,
    PeerTable,
    SshTable,
    Table,
    WorkerTable,
    quoted_value,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLES = (FileTable, ClusterTable, NetworkTable, SshTable, BgpTable, PeerTable, WorkerTable)

_T = TypeVar("_T", bound=Table)


def _nearest(model: type[Table], key: str) -> str | None:
    return next(iter(get_close_matches(key, model.model_fields, n=1)), None)


def _wrong(model: type[Table], error: ErrorDetails) -> str:
    """A message for one of pydantic's errors, in terms of hosts.toml."""
    if not error["loc"]:
        return f"must be a table, not {quoted_value(error['input'])}"
    key = str(error["loc"][0])
    if error["type"] == "extra_forbidden":  # the message omits the value, which may be a secret
        if model is ControllerTable and key == "pod_cidr":
            return f"{key}: a machine that owns a pod CIDR is a worker here: move it to [[workers]]"
        near = _nearest(model, key)
        hint = f'did you mean "{near}"?' if near else f"known are {', '.join(model.model_fields)}"
        return f"unknown key {quoted_value(key)}; {hint}"
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']}"
    description = model.model_fields[key].description
    if error["type"] == "missing":
        return f"{key}: missing; must be {description}"
    return f"{key}: must be {description}, not {quoted_value(error['input'])}"


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
        key[1] in t.model_fields
        for t in (FileTable, ClusterTable, NetworkTable, SshTable, BgpTable, PeerTable, WorkerTable)
    )
    hidden = not known or "{" in line or "PRIVATE KEY" in line
    if hidden or not line.isprintable() or len(line) > MAX_CHARS:
        return ""
    return f": {line}"


def _name(raw: object) -> str | None:
    name = raw.get("name") if isinstance(raw, dict) else None
    return name if isinstance(name, str) and re.fullmatch(NAME, name) else None


def _machines(file: FileTable, mistakes: list[Mistake]) -> tuple[Machine, ...]:
    """Workers, then controllers, each with a unique name for messages.

    Where the file gives none, that is the machine's place, such as "workers[2]".
    """
    tables: list[tuple[str, type[ControllerTable], object]]
    tables = [(f"workers[{i}]", WorkerTable, raw) for i, raw in enumerate(file.workers or [])]
    tables += [
        (f"controllers[{i}]", ControllerTable, raw) for i, raw in enumerate(file.controllers)
    ]
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
                role="worker" if isinstance(table, WorkerTable) else "controller",
                public_ip=table.public_ip or "",
                internal_ips=tuple(table.internal_ip),
                pod_cidrs=tuple(table.pod_cidr) if isinstance(table, WorkerTable) else (),
            )
        )
    return tuple(machines)


def _bgp(raw: object, folder: Path, mistakes: list[Mistake]) -> Bgp:
    """The table [bgp]: how the machines speak BGP."""
    table = _read_table(BgpTable, raw if raw is not None else {}, "bgp", mistakes)
    peers = [
        _read_table(PeerTable, peer, f"bgp.peers[{i}]", mistakes)
        for i, peer in enumerate(table.peers)
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
    table = _read_table(NetworkTable, raw, "network", mistakes)
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
    file = _read_table(FileTable, _toml(path, raw), "", mistakes)
    networks = _read_table(ClusterTable, file.cluster, "cluster", mistakes)
    login = _read_table(SshTable, file.ssh, "ssh", mistakes)
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
