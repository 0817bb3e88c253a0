"""What the fuzzer starts from: real answers, short, in files beside this one.

`python -m tests.fuzz.answers` records them anew on a twin.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from tests.hostile.replay import Step
from tests.hostile.stories import A, record
from tests.hostile.wiretap import Conversation
from tests.lab.conftest import Directories, labs

HERE = Path(__file__).parent / "answers"
SIGNS = {  # what stands in an answer of a kind, and how many of the same shape are enough
    "trials": "== before-firewall",
    "evidence": "== sysctl",
    "pings": "== large",
    "pods": "== here",
    "facts": "== answering",
    "outcome": "== route",
}
ALIKE = 1  # lines of one shape that are kept
_ADDRESS = re.compile("[0-9a-f]*:[0-9a-f:]+|[0-9a-f.]*[0-9][0-9a-f.]*")


@lru_cache
def answers(kind: str) -> tuple[str, ...]:
    """The answers of a kind, those of the machine that lies."""
    return tuple(file.read_text() for file in sorted(HERE.glob(f"{kind}.*.txt")))


@lru_cache
def of_others() -> dict[str, str]:
    """What the other machines say of themselves, by name."""
    return {file.suffixes[0][1:]: file.read_text() for file in sorted(HERE.glob("other.*.txt"))}


def inventory() -> str:
    """The hosts.toml that leaves all to the machines."""
    return (HERE / "hosts.toml").read_text()


def short(said: str) -> str:
    """An answer with a few lines of each shape."""
    counts: Counter[str] = Counter()
    kept, section = [], ""
    for line in said.split("\n"):
        if line.startswith("== "):
            section = line
        shape = f"{section} {_shape(line)}"
        counts[shape] += 1
        if counts[shape] <= ALIKE or line.startswith("=="):
            kept.append(line)
    return "\n".join(kept)


def _shape(line: str) -> str:
    return _ADDRESS.sub(lambda found: "::" if "::" in found[0] else "0", line)


def kept(steps: Sequence[Step]) -> dict[str, str]:
    """The files' contents by name."""
    files: dict[str, str] = {"hosts.toml": steps[0].inventory}
    hosts = dict(re.findall(r'name = "([^"]+)"\npublic_ip = "([^"]+)"', steps[0].inventory))
    for name, host in hosts.items():
        if name != A:
            files[f"other.{name}.txt"] = short(_said(steps[1], host, "facts"))
    for number, step in enumerate(steps):
        for kind in SIGNS:
            if said := _said(step, hosts[A], kind):
                files[f"{kind}.{number}.txt"] = short(said)
        if step.name == "history":
            files["history.0.txt"] = _of(step, hosts[A])[0].said[0]
    return _distinct(files)


def _said(step: Step, host: str, kind: str) -> str:
    """What a host answered that is of a kind; of the kinds that fit, the first."""
    for conversation in _of(step, host):
        said = "".join(conversation.said)
        if next((k for k, sign in SIGNS.items() if sign in said), "") == kind:
            return said
    return ""


def _of(step: Step, host: str) -> list[Conversation]:
    return [c for c in step.said if c.host == host]


def _distinct(files: dict[str, str]) -> dict[str, str]:
    """Without those whose lines all stand in others of the kind, but for their values."""
    seen: dict[str, set[str]] = {}
    chosen = {}
    for name, text in files.items():
        kind = name.partition(".")[0]
        shapes = {_shape(line) for line in text.split("\n")}
        if kind in SIGNS and len(shapes - seen.setdefault(kind, set())) < 3:
            continue
        seen.setdefault(kind, set()).update(shapes)
        chosen[name] = text
    return chosen


def main() -> None:
    """Record them, and write them beside this file."""
    with tempfile.TemporaryDirectory() as root, labs(Directories(Path(root))) as make:
        steps = record(make, Path(root, "key"))
    HERE.mkdir(exist_ok=True)
    for old in HERE.glob("*.*"):
        old.unlink()
    for name, text in kept(steps).items():
        (HERE / name).write_text(text)


if __name__ == "__main__":
    main()
