"""What each program of the fleet is told: the server, the library, the host that it is on, and which of its kind it is."""

import json
import os
import sys
from importlib import import_module

_told = json.loads(os.environ["FLEET"])
library = import_module(_told["library"])
arguments = _told["arguments"]
ordinal = _told["ordinal"]
name = _told["name"]

if "source_address" in arguments:
    arguments["source_address"] = tuple(arguments["source_address"])  # a pair of host and port


def stay() -> None:
    """Say that all connections are open, and live until stdin ends."""
    print("open", flush=True)
    sys.stdin.read()
    os._exit(0)  # its connections are not closed: the server sees that it is gone
