"""Helpers that every package uses: values, text, files, signals, errors, shell scripts."""
