"""The command line: `run`, `report` and `doctor`."""
