"""A machine's answer: text in sections, each headed by a line `== name detail`."""

from tasks.common import values

MOST = 1 << 14  # sections of one answer


def sections(answer: str) -> dict[tuple[str, str], list[str]]:
    """The lines of each section by its name and detail, blank lines left out.

    Raises ValueError where a line is too long, or where there are too many sections.
    """
    found: dict[tuple[str, str], list[str]] = {}
    lines = found.setdefault(("", ""), [])
    for line in values.lines(answer):
        if line.startswith("== "):
            name, _, detail = line[3:].partition(" ")
            lines = found.setdefault((name, detail), [])
            if len(found) > MOST:
                raise ValueError(f"an answer of more than {MOST} sections")
        elif line.strip():
            lines.append(line)
    return found
