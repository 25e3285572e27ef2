"""``smshub top`` in a terminal, by Textual. What is shown is decided in ``view``; here it is put on the screen.

The only place of the project where asyncio runs: Textual knows nothing else, and nothing of the daemon is in its
process. Pages are read in a thread, so that keys answer while a daemon does not.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar, Protocol

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Static

from ops.top.reading import NobodyThere
from ops.top.samples import Sample
from ops.top.view import SORTS, Following, View, chosen, lasting, sparkline
from ops.top.words import COLUMNS, DEAD_COLUMNS, NUMBERS, cells_of, dead_cells_of, head_of, plain

HELP = """\
q        leave                    /        only endpoints with these letters in their name; Esc for all
s        sort by the next column  d        dead letters by reason, and back
p        stop and go on           arrows   move in the table

in/s     messages taken from it: journalled and acknowledged
out/s    parts that it has answered for
lately   both together, reading by reading
waiting  in the store, or being given; looked at every 15 s. oldest: of those that are due
held     of these in memory. room: parts that it would take now; 0 while it is away, or full
limit/s  what it may be sent now. throttled, dead: since the daemon was started
?        close this"""


class Reads(Protocol):
    """What readings come from."""

    def read(self) -> Sample:
        """See ``ops.top.reading.Reader``."""


class TopApp(App[None]):
    """The live view.

    Args:
        reader: where readings come from; used by one thread at a time.
        where: whose they are, for the head.
        interval_s: between two readings.
    """

    CSS = """
    #head, #spark { height: auto; padding: 0 1; }
    #trouble { height: auto; padding: 0 1; background: $error; color: $text; display: none; }
    #help { height: auto; padding: 0 1; border: round $primary; display: none; }
    #alarms { height: auto; max-height: 8; padding: 0 1; color: $warning; }
    #filter { display: none; }
    DataTable { height: 1fr; }
    """
    TITLE = "smshub top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Leave"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("p", "pause", "Pause"),
        Binding("d", "dead", "Dead letters"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("escape", "everything", "All", show=False),
    ]

    def __init__(self, reader: Reads, where: str, interval_s: float) -> None:
        super().__init__()
        self.view: View | None = None
        self.is_paused = False
        self.shows_dead = False
        self.order = SORTS[0]
        self.words = ""
        self._reader = reader
        self._where = where
        self._interval_s = interval_s
        self._following = Following()
        self._failed_since = 0.0

    def compose(self) -> ComposeResult:
        """The screen from top to bottom."""
        yield Static(id="head")
        yield Static(id="spark")
        yield Static(id="trouble")
        yield Static(HELP, id="help", markup=False)
        yield DataTable(id="table", cursor_type="row", zebra_stripes=True)
        yield Input(id="filter", placeholder="letters of an endpoint's name; Enter to keep, Esc for all")
        yield Static(id="alarms")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to read."""
        self._write("head", f"smshub  {self._where}  looking…")
        self._make_columns()
        self.query_one(DataTable).focus()
        self.run_worker(self._follow(), exclusive=True)

    async def _follow(self) -> None:
        while True:
            if not self.is_paused:
                await self._look()
            await asyncio.sleep(self._interval_s)

    async def _look(self) -> None:
        try:
            sample = await asyncio.to_thread(self._reader.read)
        except NobodyThere as error:
            self._failed_since = self._failed_since or time.monotonic()
            since = lasting(time.monotonic() - self._failed_since)
            self._tell_trouble(f"{plain(str(error))}. Trying again, for {since} now.")
            return
        self._failed_since = 0.0
        self._tell_trouble("")
        self.view = self._following.look(sample)
        self._show()

    # --- the screen --------------------------------------------------------------------------------------------------

    def _write(self, name: str, words: str) -> None:
        self.query_one(f"#{name}", Static).update(Text(words))

    def _tell_trouble(self, words: str) -> None:
        self._write("trouble", words)
        self.query_one("#trouble").display = bool(words)

    def _make_columns(self) -> None:
        table: DataTable[Text] = self.query_one(DataTable)
        table.clear(columns=True)
        for name in DEAD_COLUMNS if self.shows_dead else COLUMNS:
            table.add_column(f"{name} ▼" if name == self._sorted_column() else name, key=name)

    def _sorted_column(self) -> str:
        if self.shows_dead:
            return "since start"
        return "endpoint" if self.order == "name" else self.order

    def _show(self) -> None:
        view = self.view
        if view is None:
            return
        paused = "  PAUSED" if self.is_paused else ""
        only = f"  only: {self.words}" if self.words else ""
        self._write("head", "\n".join(head_of(view, self._where)) + paused + only)
        width = max(10, self.size.width - 12)
        self._write("spark", f"all/s {sparkline(self._following.totals, min(width, 60))}")
        self._write("alarms", "\n".join(f"! {plain(alarm)}" for alarm in view.alarms))
        table: DataTable[Text] = self.query_one(DataTable)
        row, column = table.cursor_row, table.scroll_x
        table.clear()
        if self.shows_dead:
            for dead in view.dead_letters:
                if self.words.lower() in dead.endpoint.lower():
                    table.add_row(*_aligned(dead_cells_of(dead), {2, 3}))
        else:
            right = {index for index, name in enumerate(COLUMNS) if name in NUMBERS}
            for each in chosen(view.rows, self.words, self.order):
                table.add_row(*_aligned(cells_of(each), right, is_bad=each.state in ("down", "gone")))
        table.move_cursor(row=row)
        table.scroll_x = column

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """``/``: ask for letters."""
        field = self.query_one("#filter", Input)
        field.value = self.words
        field.display = True
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Letters are obeyed as they are typed."""
        self.words = event.value.strip()
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter keeps them."""
        self._leave_filter()

    def action_everything(self) -> None:
        """Esc: all endpoints."""
        self.words = ""
        self._leave_filter()
        self._show()

    def _leave_filter(self) -> None:
        self.query_one("#filter", Input).display = False
        self.query_one(DataTable).focus()

    def action_sort(self) -> None:
        """``s``: the next order."""
        self.order = SORTS[(SORTS.index(self.order) + 1) % len(SORTS)]
        self._make_columns()
        self._show()

    def action_pause(self) -> None:
        """``p``: read no more, or go on."""
        self.is_paused = not self.is_paused
        self._show()

    def action_dead(self) -> None:
        """``d``: dead letters by reason, or endpoints."""
        self.shows_dead = not self.shows_dead
        self._make_columns()
        self._show()

    def action_help(self) -> None:
        """``?``: what the columns say."""
        self.query_one("#help").display = not self.query_one("#help").display


def _aligned(cells: list[str], right: set[int], *, is_bad: bool = False) -> list[Text]:
    """Cells as they are, without markup, numbers to the right."""
    style = "bold red" if is_bad else ""
    return [Text(cell, justify="right" if index in right else "left", style=style) for index, cell in enumerate(cells)]
