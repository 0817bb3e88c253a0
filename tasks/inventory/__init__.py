"""Reads, checks and edits hosts.toml."""
