"""hosts.toml: read, checked, edited."""
