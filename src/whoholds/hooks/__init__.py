"""How whoholds hooks into other people's code. Runs in the user's thread: it must not lock, do I/O, or block."""
