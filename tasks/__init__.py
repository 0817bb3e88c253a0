"""Static routes between Kubernetes pod subnets, as Fabric tasks."""

from tasks.cli import startup

startup.allow_bytecode()  # before the other modules are imported
