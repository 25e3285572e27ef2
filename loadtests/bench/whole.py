"""A run from its beginning to its end."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from loadtests import codec
from loadtests.bench import growth, outage, standing
from loadtests.bench.conversations import conversations, echo
from loadtests.bench.options import CONVERSATIONS
from loadtests.bench.report import Report
from loadtests.bench.run import Run
from loadtests.processes import ToolFailed
from loadtests.stores import open_stores


def measure(options: argparse.Namespace, words: Sequence[str] = ()) -> Report:
    """Measure all that is wanted; what was measured before something failed stands.

    Args:
        options: of ``options.parse``.
        words: the command line, for the report.
    """
    directory = Path(tempfile.mkdtemp(prefix="smshub-bench-"))
    failure = version = ""
    run: Run | None = None
    load_before = os.getloadavg()[0]
    try:
        with open_stores(options.store) as stores:
            version = stores.version()
            run = Run(options, directory, stores)
            run.figures["fdatasync_64k_ms"] = fdatasync_ms(directory)
            run.figures["interpreter_score_s"] = interpreter_score()
            _measure(run)
    except ToolFailed as error:
        failure = str(error)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "form": ("quick" if options.quick else "whole") + ("-postgresql" if version else ""),
        "command": " ".join(("python -m loadtests.bench", *words)),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "store": f"PostgreSQL {version}" if version else "SQLite",
        "cores": os.cpu_count(),
        "load_average_before": load_before,
        "load_average": os.getloadavg()[0],
    }
    if run is None:
        return Report({}, about=about, failure=failure)
    figures = run.figures
    if "echo_msgs_per_s" in figures and "account_to_link_msgs_per_s" in figures:
        figures["echo_ratio"] = figures["account_to_link_msgs_per_s"] / figures["echo_msgs_per_s"]
        figures["echo_cpu_ratio"] = figures["cpu_s_per_1000_msgs"] / figures["echo_cpu_s_per_1000_msgs"]
    return Report(figures, run.curves, run.runs, about, failure)


def _measure(run: Run) -> None:
    wanted = run.options.only
    if "codec" in wanted:
        compared = codec.compare(run.options.runs)
        codec.show(compared)
        run.figures |= codec.figures(compared)
    if "echo" in wanted:
        echo(run)
    if wanted & CONVERSATIONS:
        conversations(run)
    if "idle" in wanted:
        standing.idle(run)
    if "slow" in wanted:
        standing.slow(run)
    if "million" in wanted and run.options.queued:
        standing.million(run)
    if "outage" in wanted and run.options.backlog:
        outage.outage(run)
    for name, grow in (("links", growth.links), ("numbers", growth.numbers), ("threads", growth.threads)):
        if name in wanted:
            grow(run)


def fdatasync_ms(directory: Path) -> float:
    """The median time of making 64 KiB durable: what a commit costs at least."""
    took = []
    with (directory / "sync").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(65536))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e3


def interpreter_score() -> float:
    """Seconds that a fixed piece of pure Python takes here: to tell a slow machine from a slow hub."""
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        table: dict[int, str] = {}
        for at in range(200_000):
            table[at & 1023] = str(at)
        took.append(time.perf_counter() - begun)
    return min(took)
