"""Fabric's configuration: what of it is used here, and what its values must be."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tasks.common.text import listed
from tasks.common.values import quoted


def mistakes(config: Any) -> list[str]:
    """What is wrong with the values that are used here, a line each. Pure.

    `config`: Fabric's, merged from its files and from variables named FABRIC_, whose values are
    text.
    """
    found = []
    for path, (fits, wanted) in _VALUES.items():
        value = _at(config, path)
        if value is not None and not fits(value):
            found.append(f"Fabric's configuration: {path} is {quoted(str(value))}, not {wanted}")
    unknown = sorted(map(str, set(config.connect_kwargs) - _connect_arguments()))
    if unknown:
        found.append(f"Fabric's configuration: connect_kwargs has no {listed(unknown)}")
    return found


def _connect_arguments() -> set[str]:
    """What connect_kwargs may hold: the arguments of paramiko's SSHClient.connect."""
    from paramiko import SSHClient

    return set(inspect.signature(SSHClient.connect).parameters) - {"self", "hostname", "sock"}


def _at(config: Any, path: str) -> Any:
    """The value at a dotted path, or None."""
    for name in path.split("."):
        config = config.get(name)
    return config


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(map(_is_path, value)))


def _is_path(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "__fspath__")


def _is_seconds(value: Any) -> bool:
    try:
        return int(value) >= 0
    except (TypeError, ValueError):
        return False


def _is_port(value: Any) -> bool:
    return _is_seconds(value) and 1 <= int(value) <= 65535


_Rule = tuple[Callable[[Any], bool], str]
_SECONDS: _Rule = (_is_seconds, "a number of seconds")
_FILES: _Rule = (_is_texts, "a list of files")
_VALUES: Mapping[str, _Rule] = {
    "authentication.identities": (lambda v: isinstance(v, list) and _is_texts(v), _FILES[1]),
    "connect_kwargs.key_filename": _FILES,
    "connect_kwargs.timeout": _SECONDS,
    "gateway": (_is_text, "a ProxyCommand"),
    "inventory": (_is_text, "a file"),
    "port": (_is_port, "a port"),
    "timeouts.command": _SECONDS,
    "timeouts.connect": _SECONDS,
    "user": (_is_text, "a user"),
}
