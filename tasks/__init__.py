"""Static routes between Kubernetes pod CIDRs, as Fabric tasks.

An older Python reads this file too, and is told what is needed instead of a traceback.
"""

import sys

LEAST = (3, 10)  # README.md and the lock files name the same

if sys.version_info < LEAST:
    sys.exit(
        f"pod routes: needs Python {LEAST[0]}.{LEAST[1]} or newer;"
        f" {sys.executable} is Python {sys.version.split()[0]}"
    )

from tasks.cli import startup  # noqa: E402  # its text is not that of an older Python

__version__ = "1.0.0"  # CHANGELOG.md says what is in it

startup.allow_bytecode()  # before the other modules are imported
