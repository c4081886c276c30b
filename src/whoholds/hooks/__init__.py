"""How whoholds stands in other people's code. Runs in the user's thread: no lock, no I/O, nothing that blocks."""
