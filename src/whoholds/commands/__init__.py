"""The command line: `run`, `report`, `server`, `doctor` and `completion`."""
