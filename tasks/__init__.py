"""Static routes between Kubernetes pod subnets, as Fabric tasks."""

from tasks.cli import startup

__version__ = "1.0.0"  # CHANGELOG.md says what is in it

startup.allow_bytecode()  # before the other modules are imported
