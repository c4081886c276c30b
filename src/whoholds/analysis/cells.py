"""Notebook cells: the cell that a file name stands for, written as IPython writes it.

IPython compiles each cell under a file name of its own (with ipykernel: a temporary file) and remembers the number of
the cell. The function here must not be called in the user's thread. It was tried with IPython 8 and 9.
"""

from __future__ import annotations

import sys


def cell_of(file: str) -> str:
    """`Cell In[3]` if IPython compiled its third cell under the name `file`; "" for other files or without IPython."""
    module = sys.modules.get("IPython.core.interactiveshell")
    shell = getattr(getattr(module, "InteractiveShell", None), "_instance", None)
    numbers = getattr(getattr(shell, "compile", None), "_filename_map", None)
    number = numbers.get(file) if isinstance(numbers, dict) else None
    return f"Cell In[{number}]" if isinstance(number, int) else ""
