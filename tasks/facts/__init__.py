"""What the machines say of themselves, and the cluster completed with it."""
