"""``python -m loadtests.keeping``: whether storage stays flat under steady load, and what keeping it flat costs.

A hub between an account and a carrier, twice: once with a rule of retention of a minute, once without any. Every few
seconds: the size of the store, the messages in it, and how long the account waited for its answers. With ``--archive``
the rule archives into a directory before it erases.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from loadtests.processes import PASSWORD, ROOT, HubProcess, Place, Tool
from tests.fixtures_postgres import PostgresServer, find_programs

BINDS = 4
RULE = """
[archive]
target = "directory:archive"
keep_feed_days = {days}
[[retention]]
name = "short"
period_days = {days}
action = "{action}"
"""


class Sizes:
    """What a store takes up, and how many messages are in it."""

    def __init__(self, place: Place, url: str) -> None:
        self._file = place.directory / "hub.db"
        self._url = url

    def octets(self) -> int:
        if not self._url:
            beside = (self._file, self._file.with_name("hub.db-wal"))
            return sum(each.stat().st_size for each in beside if each.exists())
        with psycopg.connect(self._url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            return int(row[0]) if row is not None else 0

    def rows(self) -> tuple[int, ...]:
        tables = ("message", "feed", "retention_later")
        words = [f"SELECT count(*) FROM {table}" for table in tables]
        if not self._url:
            with contextlib.closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as connection:
                return tuple(connection.execute(each).fetchone()[0] for each in words)
        with psycopg.connect(self._url) as connection:
            return tuple(connection.execute(each).fetchone()[0] for each in words)  # type: ignore[index]


@contextlib.contextmanager
def postgres(wanted: bool) -> Iterator[str]:
    """The URL of a new database of a private server, or nothing."""
    programs = find_programs() if wanted else None
    if programs is None:
        yield ""
        return
    server = PostgresServer(programs)
    try:
        server.start()
        yield server.new_database()
    finally:
        server.remove()


def measure(name: str, options: argparse.Namespace, more: str, directory: Path) -> dict[str, Any]:
    """Load one hub for the whole time. Returns: its samples and their medians."""
    samples: list[dict[str, float]] = []
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(postgres(options.postgres))
        place = Place(directory, more=more)
        if url:
            words = place.config.read_text()
            place.config.write_text(words.replace(f"sqlite:///{directory / 'hub.db'}", url))
        carrier = stack.enter_context(Tool("loadtests.smsc_sink"))
        esme = stack.enter_context(Tool("loadtests.esme"))
        carrier.ask("listen", port=place.carrier_port)
        hub = stack.enter_context(HubProcess(place))
        carrier.ask("bound")
        esme.ask("bind", port=place.smpp_port, binds=BINDS, system_id="load", password=PASSWORD)
        sizes, begun, customer = Sizes(place, url), time.monotonic(), 0
        while time.monotonic() < begun + options.minutes * 60:
            count, cpu = int(options.per_s * options.slice_s), hub.cpu_s()
            run = esme.ask("load", 120, count=count, rate=options.per_s, customer=customer)
            customer += count
            rows = sizes.rows()
            samples.append(
                {
                    "at_s": round(time.monotonic() - begun),
                    "store_mb": sizes.octets() / 1e6,
                    "messages": rows[0],
                    "feed": rows[1],
                    "later": rows[2],
                    "acked": run["acked"],
                    "p50_ms": run["p50_ms"],
                    "p99_ms": run["p99_ms"],
                    "max_ms": run["max_ms"],
                    "cpu_s_per_1000": (hub.cpu_s() - cpu) / count * 1000,
                    "rss_mb": hub.memory_mb(),
                }
            )
            print(f"  {name:10} " + "  ".join(f"{key} {value:,.5g}" for key, value in samples[-1].items()), flush=True)
        archived = sum(each.stat().st_size for each in directory.glob("archive/**/*") if each.is_file()) / 1e6
    late = samples[len(samples) // 2 :]
    medians = {key: statistics.median(each[key] for each in late) for key in samples[0]}
    return {"samples": samples, "late_medians": medians, "archive_mb": archived, "sent": customer}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long, each time")
    parser.add_argument("--per-s", type=float, default=2000.0, help="texts a second")
    parser.add_argument("--slice-s", type=float, default=10.0, help="seconds between samples")
    parser.add_argument("--period-s", type=float, default=60.0, help="the rule's period")
    parser.add_argument("--archive", action="store_true", help="archive before erasing")
    parser.add_argument("--postgres", action="store_true", help="on a private PostgreSQL instead of SQLite")
    parser.add_argument("--only", choices=("kept", "removed"), action="append", help="only one of the two")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "keeping.json", help="where the figures go")
    options = parser.parse_args()
    rule = RULE.format(days=options.period_s / 86_400, action="archive" if options.archive else "erase")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="smshub-keeping-") as folder:
        for name, more in (("kept", ""), ("removed", rule)):
            if name in (options.only or (name,)):
                directory = Path(folder) / name
                directory.mkdir()
                found[name] = measure(name, options, more, directory)
    for name, run in found.items():
        print(f"{name}: " + "  ".join(f"{key} {value:,.5g}" for key, value in run["late_medians"].items()))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
