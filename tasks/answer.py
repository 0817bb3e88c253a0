"""A machine's answer: text in sections, each headed by a line `== name detail`."""

from . import values


def sections(answer: str) -> dict[tuple[str, str], list[str]]:
    """The lines of each section by its name and detail, blank lines left out.

    They are printable but for tabs. Raises ValueError where one is too long.
    """
    found: dict[tuple[str, str], list[str]] = {}
    lines = found.setdefault(("", ""), [])
    for line in values.lines(answer):
        if line.startswith("== "):
            name, _, detail = line[3:].partition(" ")
            lines = found.setdefault((name, detail), [])
        elif line.strip():
            lines.append(line)
    return found
