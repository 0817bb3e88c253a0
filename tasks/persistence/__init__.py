"""The boot files that restore routes when a machine starts, for each network manager."""
