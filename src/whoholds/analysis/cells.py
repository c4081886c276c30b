"""Cells of notebooks: which one a file stands for, in IPython's own words.

IPython compiles each cell under a name of its own (a temporary file for ipykernel) and remembers the cell's number.
Asked by whoever makes a line readable, never in the user's thread. Seen with IPython 8 and 9.
"""

from __future__ import annotations

import sys


def cell_of(file: str) -> str:
    """`Cell In[3]` for the name that IPython compiled that cell under; "" for any other file, or without IPython."""
    module = sys.modules.get("IPython.core.interactiveshell")
    shell = getattr(getattr(module, "InteractiveShell", None), "_instance", None)
    numbers = getattr(getattr(shell, "compile", None), "_filename_map", None)
    number = numbers.get(file) if isinstance(numbers, dict) else None
    return f"Cell In[{number}]" if isinstance(number, int) else ""
