"""What a run has found: printed as a table, kept as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

GOALS = {
    "account_to_link_msgs_per_s": (">=", 20_000.0),
    "link_to_xmpp_msgs_per_s": (">=", 8000.0),
    "ack_p99_ms_half_load": ("<", 20.0),
    "cpu_s_per_1000_msgs": ("<=", 0.08),
    "rss_mb_million_queued": ("<", 250.0),
    "restart_first_dispatch_s": ("<", 5.0),
    "rss_mb_more_for_idle_binds": ("<", 150.0),
    "cpu_share_of_idle_binds": ("<", 0.03),
    "nine_links_beside_a_slow_one": (">=", 0.9),
}


class Report(msgspec.Struct, frozen=True):
    """What a run has found.

    Attributes:
        figures: name → figure.
        curves: measurement → a row for each size.
        runs: measurement → its repetitions.
        about: when, where, and with what.
        failure: why it did not come to its end; empty when it did.
    """

    figures: dict[str, float]
    curves: dict[str, list[dict[str, float]]] = {}
    runs: dict[str, list[dict[str, float]]] = {}
    about: dict[str, Any] = {}
    failure: str = ""

    def keep(self, path: Path) -> None:
        """Write it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(msgspec.to_builtins(self), indent=1) + "\n")


def read_report(path: Path) -> Report:
    """Read what ``Report.keep`` wrote. Raises: OSError; msgspec.ValidationError, msgspec.DecodeError."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


def is_met(name: str, value: float) -> bool:
    """Whether a figure is as good as it shall be."""
    relation, goal = GOALS[name]
    return {">=": value >= goal, "<=": value <= goal, "<": value < goal}[relation]


def show(figures: Mapping[str, float]) -> None:
    """Print all figures, with what is aimed at."""
    print(f"\n{'figure':44} {'value':>14}  aim")
    for name, value in figures.items():
        aim = ""
        if name in GOALS:
            relation, goal = GOALS[name]
            aim = f"{relation} {goal:,g}: {'met' if is_met(name, value) else 'NOT MET'}"
        print(f"{name:44} {written(value):>14}  {aim}".rstrip())


def show_curves(curves: Mapping[str, list[dict[str, float]]]) -> None:
    """Print each curve as a table, a size in each line."""
    for name, rows in curves.items():
        keys = list(dict.fromkeys(key for row in rows for key in row))
        widths = [max(len(key), 9) for key in keys]
        print(f"\n{name}\n" + "  ".join(f"{key:>{width}}" for key, width in zip(keys, widths, strict=True)))
        for row in rows:
            cells = [written(row[key]) if key in row else "" for key in keys]
            print("  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


def written(value: float) -> str:
    """A figure for people."""
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
