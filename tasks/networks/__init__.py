"""Providers' networks: their tables of routes, read, planned and changed by API."""
