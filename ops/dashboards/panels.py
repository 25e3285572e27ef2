"""What dashboards are tables of: what each panel asks Prometheus, in which unit, and from where on it is bad.

In queries, ``$job``, ``$instance`` and ``$endpoint`` are the dashboard's variables, ``$__rate_interval`` is Grafana's.
The files are made of ``boards`` by ``tests/meta/dashboards.py``; a test asks a Prometheus that scrapes a running hub
each of these queries.
"""

from __future__ import annotations

from typing import Final

import msgspec

FULL: Final = 24  # columns of Grafana's grid
HALF: Final = 12
THIRD: Final = 8
QUARTER: Final = 6


class Query(msgspec.Struct, frozen=True):
    """What a panel asks.

    Attributes:
        expr: PromQL.
        legend: how each series is called, by its labels; empty for a single one.
    """

    expr: str
    legend: str = ""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One panel.

    Attributes:
        title: a few words.
        says: what to see in it.
        queries: at least one.
        unit: Grafana's word for the unit.
        form: ``"graph"``, ``"number"`` or ``"states"`` (words over time).
        width: of 24 columns.
        warn, bad: from where on it is yellow, red; None for never. With ``bad`` below ``warn``, less is worse.
        words: value → word, for states.
        may_be_negative: whether values may be below 0.
        is_live: whether a hub that has had one conversation has something to show here.
    """

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: str = "short"
    form: str = "graph"
    width: int = HALF
    warn: float | None = None
    bad: float | None = None
    words: dict[str, str] = {}
    may_be_negative: bool = False
    is_live: bool = True


class Row(msgspec.Struct, frozen=True):
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


class Board(msgspec.Struct, frozen=True):
    """One dashboard.

    Attributes:
        name: of its file.
        title: in Grafana.
        says: what it is for.
        rows: from above.
        endpoints: a pattern of the endpoints that one may choose from; empty for no choice.
    """

    name: str
    title: str
    says: str
    rows: tuple[Row, ...]
    endpoints: str = ""


HUB: Final = 'job="$job", instance=~"$instance"'
AT: Final = HUB + ', endpoint=~"$endpoint"'
UP: Final = {"0": "down", "1": "up"}


def rate(name: str, by: str, matching: str = HUB, also: str = "") -> str:
    """A query for events a second, summed by labels.

    Args:
        name: a counter.
        by: labels, comma-separated.
        matching, also: of which series.
    """
    return f"sum by ({by}) (rate({name}{{{matching}{also}}}[$__rate_interval]))"
