"""The files that restore routes at boot, for each network manager."""
