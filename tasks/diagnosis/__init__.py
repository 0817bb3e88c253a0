"""Why pings fail."""
