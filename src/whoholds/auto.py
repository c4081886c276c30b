"""Importing this module starts the watch with the environment's settings, whether or not `WHOHOLDS` is set."""

from whoholds.startup import from_environment

from_environment()
