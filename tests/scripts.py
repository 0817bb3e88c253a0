"""Scripts for machines, run here and without ssh, in a network and among processes of their own."""

import os
import shutil
import subprocess
from pathlib import Path

# The real unshare, since a test may put another in its place. Processes and mounts are apart too:
# a script finds no others' networks by their processes, and nothing outlives it.
ALONE = (
    shutil.which("unshare") or "unshare",
    *("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *(() if os.geteuid() == 0 else ("--map-root-user",)),
    "--",
)

# Directories of a script's own, and a link of a machine.
APART = """for place in /run /etc /var/lib; do mount -t tmpfs none $place; done
ip link set lo up
ip link add enp6s0 type bridge
ip addr add 10.240.0.6/24 dev enp6s0
ip link set enp6s0 up"""

SHELLS = ("dash", "bash", "busybox sh")


def answer(
    script: str, directory: Path, *, before: str = ":", after: str = ":", shell: str = "sh"
) -> str:
    """What a script prints that is told to go on whenever it asks.

    Commands come before and after it, in the same network. Programs in `directory` are found
    first, and it is the working directory.
    """
    (directory / "said").write_text("go\n" * 20)
    whole = f"{before}\n(\n{script}\nmain 3<said </dev/null\n)\n{after}"
    (directory / "script").write_text(whole)
    done = subprocess.run(
        [*ALONE, *shell.split(), "script"],
        cwd=directory,
        env={"PATH": f"{directory}:{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stub(directory: Path, name: str, text: str) -> None:
    """A program of that name in the directory, found before the real one."""
    (directory / name).write_text(f"#!/bin/sh\n{text}")
    (directory / name).chmod(0o755)
