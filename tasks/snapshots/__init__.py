"""Snapshots: what the machines' kernels hold, asked of them, as values and as one file."""
