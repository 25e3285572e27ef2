"""Two million receipts wait for an account that is not bound: what does the traffic of another account lose by them?

One run measures the same load, account to link, on an empty store and on one that holds the receipts, side by side and
in turns (two daemons with a store each, of which one at a time works), so that a machine that is slow for a while is so
for both. Then the absent account binds: how fast it gets what is its own, and what the other one notices of it.

``python -m loadtests.receipts_waiting``; figures go to ``var/receipts_waiting.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from hub import Kind, Message, Receipt, ReceiptState, State
from hub.journal import MESSAGE_COLUMNS, row_of
from loadtests.bench import WARM_UP, WINDOW, bind, check, check_arrived
from loadtests.processes import PASSWORD, ROOT, HubProcess, Place, Tool

RECEIPTS = 2_000_000
PAGE = 20_000
ABSENT = "absent"
ID_STEP = 1 << 22  # a millisecond and some, as ids go
VALIDITY_US = 30 * 86_400_000_000

ACCOUNT = f"""
[[account]]
system_id = "{ABSENT}"
password = "{PASSWORD}"
window = 1000
validity_s = 2592000
gap_ms = 0
"""


def make_place(directory: Path, name: str) -> Place:
    """A hub with one more account, its store made and empty."""
    folder = directory / name
    folder.mkdir()
    place = Place(folder)
    with place.config.open("a") as config:
        config.write(ACCOUNT)
    with HubProcess(place):
        pass
    return place


def fill(path: Path, count: int, validity_us: int = VALIDITY_US) -> float:
    """Write receipts for the absent account into a store. Returns: seconds it took."""
    begun = time.monotonic()
    now_us = time.time_ns() // 1000
    columns = ", ".join(MESSAGE_COLUMNS)
    marks = ", ".join("?" * len(MESSAGE_COLUMNS))
    statement = f"INSERT INTO message ({columns}) VALUES ({marks})"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA synchronous = OFF")
        for first in range(1, count + 1, PAGE):
            rows = [
                row_of(
                    Message(
                        id=number * ID_STEP,
                        kind=Kind.RECEIPT,
                        origin="link:carrier",
                        endpoint=f"account:{ABSENT}",
                        source=f"+44770{number:07d}",
                        destination="+12125550100",
                        receipt=Receipt(str(number), ReceiptState.DELIVERED, "000", now_us, now_us, "x" * 20),
                        received_us=now_us,
                        expires_us=now_us + validity_us,
                    ),
                    State.QUEUED,
                )
                for number in range(first, min(first + PAGE, count + 1))
            ]
            database.executemany(statement, rows)
            database.commit()
    database.close()
    return time.monotonic() - begun


class Side:
    """One of the two: a hub, its carrier and the account that sends.

    Args:
        place: where.
        stack: what ends it.
    """

    def __init__(self, place: Place, stack: ExitStack) -> None:
        self.place = place
        self.runs: list[dict[str, float]] = []
        self._customers = 0
        self.carrier = stack.enter_context(Tool("loadtests.smsc_sink"))
        self.carrier.ask("listen", port=place.carrier_port)
        self.hub = stack.enter_context(HubProcess(place))
        self.esme = stack.enter_context(Tool("loadtests.esme"))
        self.carrier.ask("bound")
        bind(self.esme, place.smpp_port)
        self.rss_mb_at_start = self.hub.memory_mb()

    def measure(self, count: int) -> dict[str, float]:
        """Send so many, from the account to the link."""
        self.carrier.ask("reset")
        cpu_s = self.hub.cpu_s()
        self.carrier.tell("expect", count=count, within_s=240)
        sent = self.esme.ask("load", 240, count=count, window=WINDOW, customer=self._customers)
        self._customers += count
        check(sent, count)
        arrived = self.carrier.answer(300)
        check_arrived(arrived, count)
        return {
            "msgs_per_s": count / (arrived["last"] - sent["first"]),
            "ack_p50_ms": sent["p50_ms"],
            "ack_p99_ms": sent["p99_ms"],
            "cpu_s_per_1000": (self.hub.cpu_s() - cpu_s) / count * 1000,
            "rss_mb": self.hub.memory_mb(),
        }


def compare(sides: dict[str, Side], count: int, runs: int) -> dict[str, float]:
    """Measure both in turns. Returns: the median of each figure of each side."""
    for side in sides.values():
        side.measure(WARM_UP)
    for _ in range(runs):
        for name, side in sides.items():
            side.runs.append(side.measure(count))
            words = "  ".join(f"{key} {value:,.4g}" for key, value in side.runs[-1].items())
            print(f"  {name:10} {words}", flush=True)
    return {
        f"{name}_{key}": statistics.median(run[key] for run in side.runs)
        for name, side in sides.items()
        for key in side.runs[0]
    }


def drain(side: Side, receipts: int, count: int) -> dict[str, float]:
    """The absent account binds while the other one goes on."""
    with Tool("loadtests.esme") as absent:
        absent.ask("bind", port=side.place.smpp_port, binds=2, system_id=ABSENT, password=PASSWORD)
        busy = side.measure(count)
        print(f"  while draining: {busy}", flush=True)
        came = absent.ask("receipts", 600, count=receipts)
        if came["count"] != receipts:
            raise SystemExit(f"{came['count']} of {receipts} receipts came")
        return {
            "draining_receipts_per_s": receipts / (came["last"] - came["first"]),
            "while_draining_msgs_per_s": busy["msgs_per_s"],
            "while_draining_ack_p99_ms": busy["ack_p99_ms"],
            "rss_mb_after_draining": side.hub.memory_mb(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--receipts", type=int, default=RECEIPTS)
    parser.add_argument("--count", type=int, default=100_000, help="messages of one measurement")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--expired", action="store_true", help="their time is over: they are given up meanwhile")
    parser.add_argument("--no-drain", action="store_true", help="leave the absent account absent")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "receipts_waiting.json")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="smshub-receipts-"))
    try:
        with ExitStack() as stack:
            empty, full = make_place(directory, "without"), make_place(directory, "with")
            took_s = fill(full.directory / "hub.db", options.receipts, -1 if options.expired else VALIDITY_US)
            print(f"{options.receipts:,} receipts written in {took_s:.0f} s", flush=True)
            sides = {"without": Side(empty, stack), "with": Side(full, stack)}
            figures = {f"{name}_ready_s": side.hub.ready_s for name, side in sides.items()}
            figures |= {f"{name}_rss_mb_at_start": side.rss_mb_at_start for name, side in sides.items()}
            figures |= compare(sides, options.count, options.runs)
            figures["throughput_ratio"] = figures["with_msgs_per_s"] / figures["without_msgs_per_s"]
            figures["more_rss_mb"] = figures["with_rss_mb"] - figures["without_rss_mb"]
            if not (options.no_drain or options.expired):
                figures |= drain(sides["with"], options.receipts, options.count)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    for name, value in figures.items():
        print(f"{name:36} {value:14,.4g}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    about = {"cores": os.cpu_count(), "load_average": os.getloadavg()[0], "receipts": options.receipts}
    options.json.write_text(json.dumps({"figures": figures, "about": about}, indent=1) + "\n")


if __name__ == "__main__":
    main()
