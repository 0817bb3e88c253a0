"""Pages of docs/ that several programs write, a section each."""

import re
from pathlib import Path

from tasks.common.atomic import replacing


def write_section(path: Path, title: str, text: str) -> None:
    """Write a section of a page; the page is whole whenever the program is interrupted."""
    with replacing(path, with_section(path.read_text(), title, text)):
        pass


def with_section(page: str, title: str, text: str) -> str:
    """The page with the section of that title in place of the one it had, or at its end."""
    section = f"## {title}\n\n{text.strip()}\n"
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    if found is None:
        return f"{page.rstrip()}\n\n{section}"
    rest = page[found.end() :]
    return f"{page[: found.start()]}{section}{chr(10) if rest else ''}{rest}"


def with_head(page: str, head: str) -> str:
    """The page with another text in front of its sections."""
    found = re.search(r"^## ", page, re.MULTILINE)
    return f"{head.rstrip()}\n\n{page[found.start() :]}" if found else head
