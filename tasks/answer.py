"""A machine's answer: text in sections, each headed by a line `== name detail`."""


def sections(answer: str) -> dict[tuple[str, str], list[str]]:
    """The lines of each section by its name and detail, blank lines left out."""
    found: dict[tuple[str, str], list[str]] = {}
    lines = found.setdefault(("", ""), [])
    for line in answer.splitlines():
        if line.startswith("== "):
            name, _, detail = line[3:].partition(" ")
            lines = found.setdefault((name, detail), [])
        elif line.strip():
            lines.append(line)
    return found
