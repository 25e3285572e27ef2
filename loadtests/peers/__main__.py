"""``python -m loadtests.peers``: Kannel, Jasmin and smshub in turns, and a table.

In each round every gateway is started in a directory of its own on free ports, warmed up, measured, and ended before
the next is started, so that none runs beside another and a machine that slows down slows all of them. Figures go to
``var/peers.json``, with every single run. What is missing on this machine is named, and the rest measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from loadtests.peers.gateway import Gateway, NotInstalled, Run
from loadtests.peers.hub import HubApplication, HubTransit
from loadtests.peers.jasmin import Jasmin, JasminAsInstalled
from loadtests.peers.kannel import KannelHttp, KannelHttpSpool, KannelTransit, KannelTransitNoStore
from loadtests.peers.table import Row, compared, comparison, figures, median
from loadtests.processes import ROOT, Tool, ToolFailed

GATEWAYS: dict[str, tuple[type[Gateway], ...]] = {
    "smshub": (HubApplication, HubTransit),
    "kannel": (KannelHttp, KannelHttpSpool, KannelTransit, KannelTransitNoStore),
    "jasmin": (JasminAsInstalled, Jasmin),
}
WARM_UP = 10  # the first part in so many, beside what is measured


class Comparison:
    """One run of everything.

    Args:
        kinds: what is measured, in the order of the table.
        count: texts of one measurement; over a gateway's share.
        directory: thrown away afterwards.
    """

    def __init__(self, kinds: list[type[Gateway]], count: int, directory: Path) -> None:
        self._kinds = kinds
        self._count = count
        self._directory = directory
        self._customer = 0
        self.runs: dict[type[Gateway], list[Run]] = {kind: [] for kind in kinds}
        self.versions: dict[str, str] = {}
        self.failures: list[str] = []

    def round(self, at: int) -> None:
        """Measure each gateway once. What fails is noted; what is not installed is not tried again."""
        for kind in [kind for kind in self._kinds if kind in self.runs]:
            try:
                found = self._measure(kind, self._directory / f"{kind.__name__}{at}")
            except (ToolFailed, NotInstalled, OSError) as failure:
                if isinstance(failure, NotInstalled):
                    del self.runs[kind]
                self.failures.append(f"round {at + 1}, {kind.path}, {kind.name}: {failure}")
                print(f"  {kind.path:12} {kind.name:26} left out: {failure}", flush=True)
                continue
            self.runs[kind].append(found)
            print(
                f"  {kind.path:12} {kind.name:26} {found.delivered_per_s:10,.0f}/s"
                f"  CPU {found.cpu_s_per_1000:.3f} s per 1,000  p99 {found.ack_p99_ms:.1f} ms",
                flush=True,
            )

    def _measure(self, kind: type[Gateway], directory: Path) -> Run:
        directory.mkdir()
        count = max(1, self._count // kind.share)
        with Tool("loadtests.smsc_sink") as carrier, kind(directory, carrier) as gateway:
            self.versions[kind.__name__] = gateway.versions()
            for each in (max(1, count // WARM_UP), count):
                found = gateway.measure(each, self._customer)
                self._customer += each
        shutil.rmtree(directory, ignore_errors=True)
        return found

    def rows(self) -> list[Row]:
        """The table so far."""
        return compared(
            [
                Row(kind.name, kind.path, kind.legs, kind.durability, kind.load, median(runs), len(runs))
                for kind, runs in self.runs.items()
                if runs
            ]
        )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=sorted(GATEWAYS), action="append", help="only these; more than once")
    parser.add_argument("--path", choices=("application", "transit"), help="only this path")
    parser.add_argument("--count", type=int, default=40_000, help="texts of one measurement; Jasmin gets a tenth, a spool a quarter")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; medians count")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "peers.json", help="where the figures go")
    options = parser.parse_args()
    if options.count < 1 or options.rounds < 1:
        parser.error("--count and --rounds are at least 1")
    return options


def main() -> None:
    """Measure, print, write."""
    options = parse()
    kinds = [
        kind
        for path in ("application", "transit")
        for name, several in GATEWAYS.items()
        if not options.only or name in options.only
        for kind in several
        if kind.path == path and options.path in (None, path)
    ]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that whoever stops us early leaves no broker behind
    directory = Path(tempfile.mkdtemp(prefix="smshub-peers-"))
    measured = Comparison(kinds, options.count, directory)
    try:
        for at in range(options.rounds):
            print(f"round {at + 1} of {options.rounds}, load average {os.getloadavg()[0]:.1f}", flush=True)
            measured.round(at)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    rows = measured.rows()
    versions = sorted({*measured.versions.values(), f"CPython {platform.python_version()}"})
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(("python -m loadtests.peers", *sys.argv[1:])),
        "versions": versions,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }
    print("\n".join(("", *comparison(rows), "", *figures(rows), "")))
    print(f"{about['command']}, {about['at']}: {', '.join(versions)}; {about['cores']} cores")
    report = {
        "about": about,
        "rows": [dataclasses.asdict(row) for row in rows],
        "runs": {kind.__name__: [dataclasses.asdict(run) for run in runs] for kind, runs in measured.runs.items()},
        "failures": measured.failures,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if measured.failures:
        raise SystemExit("Left out:\n" + "\n".join(measured.failures))


if __name__ == "__main__":
    main()
