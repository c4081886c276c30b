"""The watch, the thread that ticks it, and its handling of forks and of the end of the process.

The ticking thread runs this code, except where a module says otherwise.
"""
