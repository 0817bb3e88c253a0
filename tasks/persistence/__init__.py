"""The files that make routes stay, for each network manager."""
