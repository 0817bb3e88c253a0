"""The sources of machines: one module per source. `--from` takes the name of the module."""

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules

from tasks.common.errors import Stop
from tasks.common.values import shown
from tasks.discovery.model import Found, Request

MOST_MACHINES = 5000  # in one source
MOST_VALUES = 1000  # of one machine
MOST_TAGS = 1000  # of one machine
MOST_WORDS = 500  # characters in a name, a tag or a note


def names() -> list[str]:
    """The names of all sources."""
    return [module.name for module in iter_modules(__path__)]


def chosen(text: str) -> list[str]:
    """The names in a comma-separated list of sources, without duplicates.

    Raises Stop for an unknown name or an empty list.
    """
    wanted = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in wanted:
        if name not in names():
            near = get_close_matches(name, names(), 1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names())}"
            raise Stop(f"--from {name}: no such source; {hint}")
    if not wanted:
        raise Stop(f"--from: choose from {', '.join(names())}, joined by commas")
    return wanted


def ask(name: str, request: Request) -> Iterator[Found]:
    """The machines that a source finds, in printable text. Raises Stop if the source fails.

    Providers allow any machine name, and machines allow any file name, so the text is cleaned here.
    """
    source = import_module(f".{name}", __name__)
    try:
        for number, found in enumerate(source.machines(request), 1):
            if number > MOST_MACHINES:
                raise Stop(f"{name}: has more than {MOST_MACHINES} machines")
            yield _printable(found)
    except ValueError as error:  # an invalid address
        raise Stop(f"{name}: its answer cannot be read: {error}") from None


def _printable(found: Found) -> Found:
    return replace(
        found,
        name=shown(found.name, MOST_WORDS),
        values=tuple(
            replace(value, place=shown(value.place)) for value in found.values[:MOST_VALUES]
        ),
        tags=tuple(shown(tag, MOST_WORDS) for tag in found.tags[:MOST_TAGS]),
        notes=tuple(shown(note, MOST_WORDS) for note in found.notes),
    )
