"""Runs the cells of a notebook in a Jupyter kernel, some of them again, and prints what the kernel printed."""

import asyncio
import os
import sys

import nbformat
from nbclient import NotebookClient

CELLS = (
    "import sqlite3, os",
    "c = sqlite3.connect('shop.db')\nc.execute('CREATE TABLE IF NOT EXISTS cars (name)')",
    "print(c.execute('SELECT count(*) FROM cars').fetchone())",
)


async def main() -> None:
    """Connect, ask, connect again, wait, ask again."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    async with client.async_setup_kernel():
        for at in (0, 1, 2, 1, 2):
            await show(client, notebook, at)
        await asyncio.sleep(float(os.environ["QUIET_S"]))
        for at in (2, 1, 2):
            await show(client, notebook, at)


async def show(client: NotebookClient, notebook: nbformat.NotebookNode, at: int) -> None:
    """Run one cell, and print what it printed."""
    cell = await client.async_execute_cell(notebook.cells[at], at)
    for output in cell.outputs:
        print(f"cell {at}:", output.get("text", ""), flush=True)


asyncio.run(main())
sys.exit(0)
