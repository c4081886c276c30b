"""Importing this is enough: it watches from then on, as the environment's settings say, `WHOHOLDS` itself or not."""

from whoholds.startup import from_environment

from_environment()
