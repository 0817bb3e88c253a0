"""The command line: its session, its flags, its way from a plan to a report."""
