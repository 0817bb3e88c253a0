"""Carries out a plan: arm the undo, change, check, then confirm or revert."""
