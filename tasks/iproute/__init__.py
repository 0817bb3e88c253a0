"""The text of ip(8): routes, policy rules, tables, batches."""
