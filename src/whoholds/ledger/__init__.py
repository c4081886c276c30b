"""What is held, written down. Runs in the user's thread: no lock, no I/O, no foreign code, nothing that blocks."""
