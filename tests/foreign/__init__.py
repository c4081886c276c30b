"""Other libraries' own test suites, run with and without whoholds and compared test by test.

`python -m tests.foreign SUITE…` runs them, `--help` tells the rest. Nothing here imports whoholds:
the suites meet it as a program would, by the environment variable alone.
"""
