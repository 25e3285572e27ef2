"""The table of the comparison: medians, and how the hub stands to each other on the same path. Pure.

Ratios are of medians of the rounds of one run. Both are given, for they answer different questions: that of the rates
says what a machine gets through with all its cores, whatever else runs on it; that of CPU what a text costs, which
other programs hardly change. A rate is flattered where a gateway uses more cores than another: CPU tells.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.peers.gateway import Run

HUB = "smshub"
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
        median: of each figure over the rounds.
        rounds: how many there were.
        times_rate: the hub's delivered/s over this one's; None for the hub, and where it was not measured.
        times_cpu: this one's CPU over the hub's.
        aim: what ``times_rate`` is to be at least.
    """

    name: str
    path: str
    legs: str
    durability: str
    load: str
    median: Run
    rounds: int
    times_rate: float | None = None
    times_cpu: float | None = None
    aim: float | None = None


def median(runs: Sequence[Run]) -> Run:
    """The median of each figure. Raises: statistics.StatisticsError: no runs."""
    names = [field.name for field in dataclasses.fields(Run)]
    return Run(**{name: statistics.median(getattr(run, name) for run in runs) for name in names})


def compared(rows: Sequence[Row]) -> list[Row]:
    """The rows with their ratios to the hub of the same path."""
    hubs: Mapping[str, Row] = {row.path: row for row in rows if row.name == HUB}
    found = []
    for row in rows:
        hub = hubs.get(row.path)
        if row.name != HUB and hub is not None:
            row = dataclasses.replace(
                row,
                times_rate=hub.median.delivered_per_s / row.median.delivered_per_s,
                times_cpu=_over(row.median.cpu_s_per_1000, hub.median.cpu_s_per_1000),
                aim=AIMS.get((row.path, row.name)),
            )
        found.append(row)
    return found


def _over(cost: float, unit: float) -> float | None:
    """How many times; None where the unit is below what /proc counts."""
    return cost / unit if unit else None


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
