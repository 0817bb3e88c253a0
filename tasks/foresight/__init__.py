"""Foresight: what a plan would do to the pairs of pods, tried on a copy of the machines."""
