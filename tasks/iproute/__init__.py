"""Reads and writes the text of ip(8): routes, policy rules, routing tables, batches."""
