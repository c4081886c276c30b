"""What tries to break a promise, with a figure for how often it was tried; each has a command that runs it whole."""
