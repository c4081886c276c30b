"""Outputs: callables that take a Look and tell someone, one file each. Only the thread that ticks calls them."""
