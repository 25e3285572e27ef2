"""The table of the comparison: medians, and how the hub stands to each other on the same path. Pure.

A machine drifts, by half within minutes when others use it. So a ratio is not of two medians: each run of another
gateway has a run of the hub right before it, and the ratio is the median of those of the pairs.

Two are given, for they answer different questions: that of the rates says what a machine gets through with all its
cores; that of CPU what a text costs, which other programs change less. A rate is flattered where a gateway uses more
cores than another: CPU tells.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.peers.gateway import Run

# What the hub is to be, as times the rate of the other on the same path.
AIMS = {
    ("application", "Kannel, file store"): 2.0,
    ("transit", "Kannel, file store"): 2.0,
    ("application", "Jasmin, logs as installed"): 30.0,
}
COMPARED = ("path", "gateway", "in → out", "a text is acknowledged when it is", "load")
FIGURES = (
    "path",
    "gateway",
    "delivered/s",
    "CPU s per 1,000",
    "ack p50 ms",
    "ack p99 ms",
    "tools' CPU s per 1,000",
    "rate, smshub to it",
    "CPU, it to smshub",
    "aim",
)


@dataclass(frozen=True)
class Row:
    """One gateway on one path.

    Attributes:
        name, path, legs, durability, load: as of ``Gateway``.
        runs: what was measured, at least one.
        hubs: the run of the hub right before each of them; empty for the hub itself, and without it.
    """

    name: str
    path: str
    legs: str
    durability: str
    load: str
    runs: Sequence[Run]
    hubs: Sequence[Run] = ()

    @property
    def median(self) -> Run:
        """The median of each figure."""
        return median(self.runs)

    @property
    def times_rate(self) -> float | None:
        """How many times as many texts a second the hub delivered; None without it."""
        return self._paired(lambda hub, own: hub.delivered_per_s / own.delivered_per_s)

    @property
    def times_cpu(self) -> float | None:
        """How many times the hub's CPU a text takes here; None without it, and where its own is too small to count."""
        if not all(hub.cpu_s_per_1000 for hub in self.hubs):
            return None
        return self._paired(lambda hub, own: own.cpu_s_per_1000 / hub.cpu_s_per_1000)

    @property
    def aim(self) -> float | None:
        """What ``times_rate`` is to be at least."""
        return AIMS.get((self.path, self.name))

    def _paired(self, ratio: Callable[[Run, Run], float]) -> float | None:
        if not self.hubs:
            return None
        return statistics.median(ratio(hub, own) for hub, own in zip(self.hubs, self.runs, strict=True))


def median(runs: Sequence[Run]) -> Run:
    """The median of each figure. Raises: statistics.StatisticsError: no runs."""
    names = [field.name for field in dataclasses.fields(Run)]
    return Run(**{name: statistics.median(getattr(run, name) for run in runs) for name in names})


def report(row: Row) -> dict[str, Any]:
    """A row for a file in JSON, with all that it was made from."""
    derived = {"median": dataclasses.asdict(row.median), "times_rate": row.times_rate, "times_cpu": row.times_cpu}
    return dataclasses.asdict(row) | derived | {"aim": row.aim}


def comparison(rows: Sequence[Row]) -> list[str]:
    """What is compared, as a table."""
    return markdown(COMPARED, [(row.path, row.name, row.legs, row.durability, row.load) for row in rows])


def figures(rows: Sequence[Row]) -> list[str]:
    """What came out, as a table."""
    return markdown(FIGURES, [_figures(row) for row in rows])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown with its columns aligned, so that a terminal shows it as well."""
    widths = [max(len(line[at]) for line in (head, *rows)) for at in range(len(head))]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (head, ["-" * width for width in widths], *rows)
    ]


def _figures(row: Row) -> tuple[str, ...]:
    run = row.median
    aim = ""
    if row.aim is not None and row.times_rate is not None:
        aim = f"≥ {row.aim:g}: {'met' if row.times_rate >= row.aim else 'NOT MET'}"
    return (
        row.path,
        row.name,
        f"{run.delivered_per_s:,.0f}",
        f"{run.cpu_s_per_1000:.3f}",
        f"{run.ack_p50_ms:.1f}",
        f"{run.ack_p99_ms:.1f}",
        f"{run.tools_cpu_s_per_1000:.3f}",
        "" if row.times_rate is None else f"{row.times_rate:.1f}",
        "" if row.times_cpu is None else f"{row.times_cpu:.1f}",
        aim,
    )
