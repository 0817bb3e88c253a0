"""A machine's answer: text in sections. Each starts with a line `== name detail`."""

from tasks.common import values

MAX_SECTIONS = 1 << 14  # sections of one answer


def sections(answer: str) -> dict[tuple[str, str], list[str]]:
    """The lines of each section, by its name and detail, without blank lines.

    Raises ValueError if a line is too long, or if there are more than MAX_SECTIONS sections.
    """
    found: dict[tuple[str, str], list[str]] = {}
    lines = found.setdefault(("", ""), [])
    for line in values.lines(answer):
        if line.startswith("== "):
            name, _, detail = line[3:].partition(" ")
            lines = found.setdefault((name, detail), [])
            if len(found) > MAX_SECTIONS:
                raise ValueError(f"an answer of more than {MAX_SECTIONS} sections")
        elif line.strip():
            lines.append(line)
    return found
