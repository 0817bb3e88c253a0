"""The script that installs BIRD."""

from tasks.common.script import Script, script

INSTALLED = ("installed", "")  # the section of an answer that says so


def install_script() -> Script:
    """Installs BIRD by the machine's package manager. A rollback leaves the package."""
    return script("bgp/install.sh")
