"""The script that installs BIRD."""

from tasks.common.script import Script, script

INSTALLED = ("installed", "")  # the section of an answer that says so
COMMAND = 200  # seconds that one command of a package manager may take
LIMIT = 3 * COMMAND + 30  # seconds that the whole may take


def install_script() -> Script:
    """Installs BIRD by the machine's package manager. A rollback leaves the package."""
    return script("bgp/install.sh", limit=COMMAND)
