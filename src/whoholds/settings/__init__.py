"""The settings: all of them in one value, how each is written, and where it is read from."""
