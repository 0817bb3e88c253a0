"""Connections to the machines, one or all of them, and what runs over them."""
