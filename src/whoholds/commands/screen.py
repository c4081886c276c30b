"""The screen of `whoholds top`: three tables, a filter, and the stacks of a line's holders. Needs textual."""

from __future__ import annotations

import json
import os
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, Static

from whoholds.remote.overview import DATABASES, LINES, PROCESSES, Overview, matches, shown, stacks_text

if TYPE_CHECKING:
    from textual.app import ComposeResult

_TABLES = {"databases": DATABASES, "lines": LINES, "processes": PROCESSES}
_KEYS = {"databases": ("name", "server"), "lines": ("place", "database"), "processes": ("pid",)}  # of a row, together


def show(pipe: int, wanted: str) -> int:
    """Show what comes through the pipe, one overview as JSON a line, until the user ends it. Returns 0."""
    Top(pipe, wanted).run()
    return 0


class Stacks(Screen[None]):
    """Who holds what one line has opened, each with its stack."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,t", "dismiss", "back")]

    def __init__(self, said: str) -> None:
        super().__init__()
        self._said = said

    def compose(self) -> ComposeResult:
        """One long text that can be scrolled."""
        with VerticalScroll():
            yield Static(self._said, markup=False)
        yield Footer()


class Top(App[None]):
    """The tables, brought up to date as overviews come."""

    TITLE = "whoholds top"
    CSS = """
    #summary, #remarks { height: auto; padding: 0 1; }
    #summary { text-style: bold; }
    DataTable { height: 1fr; }
    #databases { height: auto; max-height: 25%; }
    #wanted { display: none; height: 3; }
    #wanted.open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("s", "sort", "sort"),
        Binding("r", "reverse", "reverse"),
        Binding("slash", "filter", "filter"),
        Binding("escape", "drop_filter", show=False),
        Binding("t", "stacks", "stacks of the holders"),
        Binding("tab", "focus_next", "next table"),
    ]

    def __init__(self, pipe: int, wanted: str) -> None:
        super().__init__()
        self._pipe = pipe
        self._wanted = wanted
        self._overview = Overview()
        self._sorted: dict[str, tuple[str, bool]] = {}  # by table: the key, and whether descending
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _TABLES}
        # kept: a query looks at the uppermost screen only, which may be that of the stacks
        self._summary = Static("asking the watched processes …", id="summary", markup=False)
        self._remarks = Static("", id="remarks", markup=False)
        self._filter = Input(placeholder="show only rows that contain", id="wanted")
        self._tables: dict[str, DataTable[Text]] = {
            name: DataTable(id=name, cursor_type="row", zebra_stripes=True) for name in _TABLES
        }

    def compose(self) -> ComposeResult:
        """The summary, what else is to be said, the filter and the tables."""
        yield self._summary
        yield self._remarks
        yield self._filter
        yield from self._tables.values()
        yield Footer()

    def on_mount(self) -> None:
        """Name the columns, and begin to read."""
        for name, table in self._tables.items():
            for key, head, number in _TABLES[name]:
                table.add_column(Text(head, justify="right" if number else "left"), key=key)
        self._filter.value = self._wanted
        self._tables["lines"].focus()
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with os.fdopen(self._pipe, encoding="utf-8") as lines:
            for line in lines:
                if not self.is_running:
                    return
                self.call_from_thread(self._show, Overview(**json.loads(line)))

    def _show(self, overview: Overview) -> None:
        self._overview = overview
        self._summary.update(overview.summary)
        self._remarks.update("\n".join(overview.remarks))
        for name in _TABLES:
            self._fill(name)

    def _fill(self, name: str) -> None:
        """The rows of a table anew; the cursor stays on its row."""
        table = self._tables[name]
        rows = [row for row in getattr(self._overview, name) if matches(row, self._wanted)]
        key, descending = self._sorted.get(name, ("", False))
        if key:
            rows.sort(key=lambda row: _order(row[key]), reverse=descending)
        before = self._rows[name]
        at = _identity(name, before[table.cursor_row]) if table.cursor_row < len(before) else None
        self._rows[name] = rows
        table.clear()
        for row in rows:
            table.add_row(
                *(Text(shown(key, row[key]), justify="right" if number else "left") for key, _, number in _TABLES[name])
            )
        same = [number for number, row in enumerate(rows) if _identity(name, row) == at]
        if same:
            table.move_cursor(row=same[0])

    def _focused(self) -> str:
        name = self.focused.id if self.focused is not None else None
        return name if name in _TABLES else "lines"

    def action_sort(self) -> None:
        """Sort the table in use by its next column, numbers with the largest first."""
        name = self._focused()
        columns = [key for key, _, _ in _TABLES[name]]
        key = self._sorted.get(name, ("", False))[0]
        number = (columns.index(key) + 1) % len(columns) if key else 0
        key, head, descending = _TABLES[name][number]
        self._sorted[name] = (key, descending)
        self.notify(f"sorted by {head or key}", timeout=1)
        self._fill(name)

    def action_reverse(self) -> None:
        """Turn the order round."""
        name = self._focused()
        key, descending = self._sorted.get(name, (_TABLES[name][1][0], True))
        self._sorted[name] = (key, not descending)
        self._fill(name)

    def action_filter(self) -> None:
        """Open the line for the filter."""
        self._filter.add_class("open")
        self._filter.focus()

    def action_drop_filter(self) -> None:
        """Show all rows again, and close the line."""
        self._filter.value = ""
        self.on_input_submitted()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while the user types."""
        self._wanted = event.value.strip()
        self._show(self._overview)

    def on_input_submitted(self) -> None:
        """Close the line; the filter stays."""
        self._filter.remove_class("open")
        self._tables["lines"].focus()

    def on_data_table_row_selected(self) -> None:
        """Enter on a row does the same as `t`."""
        self.action_stacks()

    def action_stacks(self) -> None:
        """Show who holds what the chosen line has opened, and where they are."""
        table = self._tables["lines"]
        if table.cursor_row < len(self._rows["lines"]):
            self.push_screen(Stacks(stacks_text(self._rows["lines"][table.cursor_row])))


def _identity(table: str, row: dict[str, Any]) -> tuple[Any, ...]:
    """What tells a row from the others of its table, also when the table is filled anew."""
    return tuple(row[key] for key in _KEYS[table])


def _order(value: Any) -> tuple[bool, Any]:
    """A key for sorting in which a missing value is the smallest."""
    return (value is not None, value if value is not None else 0)
