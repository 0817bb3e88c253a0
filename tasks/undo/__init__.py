"""What a machine keeps of a change: the lock, the records, the undo and its watchdog."""
