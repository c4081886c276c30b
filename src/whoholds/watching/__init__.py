"""The running watch and the thread that ticks it."""
