"""The tests of each watched library's driver, run with the oldest and the newest version of the library.

`python -m tests.versions LIBRARY…` runs them; `--help` tells the rest. `whoholds.drivers.versions` says which versions
these are, `matrix` how each is installed and which tests concern it.
"""
