"""Probes and pings between pod CIDRs, and what they say of each pair."""
