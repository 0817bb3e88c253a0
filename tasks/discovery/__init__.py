"""Finds machines in several sources and merges the results with hosts.toml."""
