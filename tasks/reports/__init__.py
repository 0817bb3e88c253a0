"""What is printed or written, for people and for programs."""
