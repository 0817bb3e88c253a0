"""Sources of machines, and what they say merged with hosts.toml."""
