"""A view as words: the cells of the tables, and the whole of it as lines for ``--once``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ops.top.view import DeadRow, Row, View, lasting, per_s, sparkline

SPARK: Final = 12  # bars in a column
COLUMNS: Final = (
    "endpoint",
    "state",
    "bound",
    "in/s",
    "out/s",
    "lately",
    "waiting",
    "oldest",
    "held",
    "room",
    "limit/s",
    "throttled",
    "dead",
)
DEAD_COLUMNS: Final = ("endpoint", "reason", "since start", "new")
NUMBERS: Final = frozenset(COLUMNS) - {"endpoint", "state", "bound", "lately"}
"""Columns that are set right."""


def plain(word: str) -> str:
    """A word that a terminal does not obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in word)


def cells_of(row: Row) -> list[str]:
    """An endpoint's cells, in the order of ``COLUMNS``."""
    return [
        plain(row.name),
        plain(row.state),
        row.bound,
        per_s(row.in_per_s),
        per_s(row.out_per_s),
        sparkline(row.history, SPARK),
        f"{row.waiting:,}",
        lasting(row.oldest_s) if row.oldest_s else "",
        f"{row.held:,}",
        f"{row.room:,}",
        per_s(row.rate_limit) if row.rate_limit else "",
        f"{row.throttled:,}",
        f"{row.dead:,}",
    ]


def dead_cells_of(row: DeadRow) -> list[str]:
    """Cells in the order of ``DEAD_COLUMNS``."""
    return [plain(row.endpoint), plain(row.reason), f"{row.count:,}", f"+{row.fresh:,}" if row.fresh else ""]


def readiness(view: View) -> str:
    """Whether it takes messages."""
    if view.missing is None:
        return "ready: not known"
    return f"NOT READY ({', '.join(map(plain, view.missing))})" if view.missing else "ready"


def head_of(view: View, where: str) -> list[str]:
    """The lines above the table.

    Args:
        view: what is shown.
        where: whose it is.
    """
    at = datetime.fromtimestamp(view.at_us // 1_000_000, UTC).strftime("%H:%M:%S")
    return [
        f"smshub {plain(view.version)}  {where}  up {lasting(view.uptime_s)}  {readiness(view)}  {at} UTC",
        f"in {per_s(view.in_per_s)}/s  out {per_s(view.out_per_s)}/s  waiting {view.waiting:,}  "
        f"dead letters {view.dead:,}",
        f"store: {view.store}",
    ]


def lines_of(view: View, rows: Sequence[Row], where: str) -> list[str]:
    """The whole view as lines.

    Args:
        view: what is shown.
        rows: its endpoints, chosen and sorted.
        where: whose it is.
    """
    names = [name for name in COLUMNS if name != "lately"]  # two readings make no line
    kept = [COLUMNS.index(name) for name in names]
    table = [names, *([cells_of(row)[index] for index in kept] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [*head_of(view, where), ""]
    for line in table:
        cells = (
            cell.rjust(width) if name in NUMBERS else cell.ljust(width)
            for cell, width, name in zip(line, widths, names, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    if not rows:
        lines.append("no endpoint")
    return [*lines, "", *(f"! {plain(alarm)}" for alarm in view.alarms)] if view.alarms else lines
