"""What machines say about themselves, and the cluster completed with it."""
