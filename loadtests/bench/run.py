"""One run of the benchmark: its hubs and stores, its customers, and the figures that it has found so far."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.bench.options import BINDS
from loadtests.processes import PASSWORD, HubProcess, Place, Tool, ToolFailed
from loadtests.stores import Stores

Figures = dict[str, float]


class Run:
    """What measurements share.

    Args:
        options: the command line's.
        directory: for stores, thrown away.
        stores: makes them.

    Attributes:
        figures: name → the figure.
        curves: measurement → one row for each size, each name → figure.
        runs: measurement → all its repetitions.
    """

    def __init__(self, options: argparse.Namespace, directory: Path, stores: Stores) -> None:
        self.options = options
        self.directory = directory
        self.stores = stores
        self.figures: Figures = {}
        self.curves: dict[str, list[Figures]] = {}
        self.runs: dict[str, list[Figures]] = {}
        self._customers = 0
        self._places = 0

    def place(self, more: str = "") -> Place:
        """Where another hub can live, with a store of its own."""
        self._places += 1
        directory = self.directory / f"hub{self._places}"
        directory.mkdir()
        return Place(directory, synchronous=self.options.synchronous, more=more, url=self.stores.new_url())

    def customers(self, count: int) -> int:
        """The first of so many customers that nobody used yet."""
        first = self._customers
        self._customers += count
        return first

    def several(self, name: str, measure: Callable[[], Figures]) -> Figures:
        """Measure several times. Returns: the median of each figure."""
        found = []
        for _ in range(self.options.runs):
            found.append(measure())
            show_row(name, found[-1])
        self.runs[name] = found
        return _medians(found)

    def in_turns(self, one: tuple[str, Callable[[], Figures]], other: tuple[str, Callable[[], Figures]]) -> Compared:
        """Measure two things in turns, several times: what else the machine does is done to both.

        Args:
            one, other: the name of each, and how it is measured.
        """
        pairs = []
        for _ in range(self.options.runs):
            pair = (one[1](), other[1]())
            for (name, _), figures in zip((one, other), pair, strict=True):
                show_row(name, figures)
                self.runs.setdefault(name, []).append(figures)
            pairs.append(pair)
        ratios = [{key: after[key] / before[key] for key in after if before.get(key)} for before, after in pairs]
        return Compared(_medians([pair[0] for pair in pairs]), _medians([pair[1] for pair in pairs]), _medians(ratios))

    def add_to_curve(self, name: str, row: Figures) -> None:
        """Keep what was found at one size."""
        self.curves.setdefault(name, []).append(row)

    def growth(self, curve: str, key: str) -> float:
        """How many times as much the largest size has as the smallest."""
        rows = self.curves[curve]
        return rows[-1][key] / rows[0][key]


class Compared(NamedTuple):
    """Two things that were measured in turns.

    Attributes:
        one, other: the median of each figure.
        ratio: the median of the other's over the one's, turn by turn.
    """

    one: Figures
    other: Figures
    ratio: Figures


def _medians(found: Sequence[Figures]) -> Figures:
    return {key: statistics.median(each[key] for each in found) for key in found[0]}


class Spent:
    """What a hub, and its database's server, took of the machine since a moment.

    Args:
        run: has the stores.
        hub: which hub.
    """

    def __init__(self, run: Run, hub: HubProcess) -> None:
        self._run, self._hub = run, hub
        self._hub_s, self._store_s = hub.cpu_s(), run.stores.cpu_s()

    def per_1000(self, count: int) -> Figures:
        """CPU seconds for each thousand of so many messages."""
        found = {"cpu_s_per_1000": (self._hub.cpu_s() - self._hub_s) / count * 1000}
        if self._run.stores.is_server:
            found["store_cpu_s_per_1000"] = (self._run.stores.cpu_s() - self._store_s) / count * 1000
        return found


def show_row(name: str, row: Mapping[str, float]) -> None:
    """Print what was found, as it is found."""
    print(f"  {name:34} " + "  ".join(f"{key} {value:,.4g}" for key, value in row.items()), flush=True)


def bind(esme: Tool, port: int, system_id: str = "load", binds: int = BINDS) -> None:
    """Bind an ESME as the account of that name. Raises: ToolFailed."""
    esme.ask("bind", 300, port=port, binds=binds, system_id=system_id, password=PASSWORD)


def check(run: dict[str, Any], count: int) -> None:
    """A load whose answers are not all positive measures something else. Raises: ToolFailed."""
    if run["acked"] != count or set(run["statuses"]) != {"0x0"}:
        raise ToolFailed(f"{run['acked']} of {count} answered: {run['statuses']}")


def check_arrived(run: dict[str, Any], count: int) -> None:
    """What was acknowledged must arrive, once. Raises: ToolFailed."""
    if run["count"] < count:
        raise ToolFailed(f"{run['count']} of {count} arrived")
