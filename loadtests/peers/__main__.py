"""``python -m loadtests.peers``: Kannel, Jasmin and smshub in turns, and a table.

In each round every gateway is started in a directory of its own on free ports, warmed up, measured, and ended before
the next is started, so that none runs beside another. The hub is measured right before each other, on the same path.
Figures go to ``var/peers.json``, with every single run. What is missing on this machine is named, the rest measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from loadtests.peers.gateway import Gateway, NotInstalled, Run
from loadtests.peers.hub import HubApplication, HubTransit
from loadtests.peers.jasmin import Jasmin, JasminAsInstalled
from loadtests.peers.kannel import KannelHttp, KannelHttpSpool, KannelTransit, KannelTransitNoStore
from loadtests.peers.table import Row, comparison, figures, report
from loadtests.processes import ROOT, Tool, ToolFailed

HUBS: dict[str, type[Gateway]] = {"application": HubApplication, "transit": HubTransit}
PEERS: dict[str, tuple[type[Gateway], ...]] = {
    "kannel": (KannelHttp, KannelHttpSpool, KannelTransit, KannelTransitNoStore),
    "jasmin": (JasminAsInstalled, Jasmin),
}
WARM_UP = 10  # the first part in so many, beside what is measured


class Comparison:
    """One run of everything.

    Args:
        kinds: what is measured, in the order of the table.
        with_hub: measure the hub as well, before each of them.
        count: texts of one measurement; over a gateway's share.
        directory: thrown away afterwards.
    """

    def __init__(self, kinds: list[type[Gateway]], with_hub: bool, count: int, directory: Path) -> None:
        self._kinds = kinds
        self._with_hub = with_hub
        self._count = count
        self._directory = directory
        self._customer = self._places = 0
        self.runs: dict[type[Gateway], list[Run]] = {kind: [] for kind in kinds}
        self.hubs: dict[type[Gateway], list[Run]] = {kind: [] for kind in kinds}
        self.versions: dict[str, str] = {}
        self.failures: list[str] = []

    def round(self) -> None:
        """Measure each gateway once. What fails is noted; what is not installed is not tried again."""
        for kind in list(self._kinds):
            hub = self._measured(HUBS[kind.path]) if self._with_hub else None
            own = self._measured(kind) if hub is not None or not self._with_hub else None
            if own is not None:
                self.runs[kind].append(own)
                if hub is not None:
                    self.hubs[kind].append(hub)

    def hub_alone(self, path: str) -> None:
        """Measure the hub with nothing beside it, where no other is asked for."""
        kind = HUBS[path]
        found = self._measured(kind)
        if found is not None:
            self.runs.setdefault(kind, []).append(found)

    def _measured(self, kind: type[Gateway]) -> Run | None:
        try:
            found = self._measure(kind)
        except (ToolFailed, NotInstalled, OSError) as failure:
            if isinstance(failure, NotInstalled) and kind in self._kinds:
                self._kinds.remove(kind)
            self.failures.append(f"{kind.path}, {kind.name}: {failure}")
            print(f"  {kind.path:12} {kind.name:26} left out: {failure}", flush=True)
            return None
        print(
            f"  {kind.path:12} {kind.name:26} {found.delivered_per_s:10,.0f}/s"
            f"  CPU {found.cpu_s_per_1000:.3f} s per 1,000  p99 {found.ack_p99_ms:.1f} ms",
            flush=True,
        )
        return found

    def _measure(self, kind: type[Gateway]) -> Run:
        self._places += 1
        directory = self._directory / f"{kind.__name__}{self._places}"
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
        """The table so far: on each path the hub, with all its runs, then the others."""
        found = []
        for path, hub in HUBS.items():
            of_path = {kind: runs for kind, runs in self.runs.items() if kind.path == path and runs}
            beside = [run for kind in of_path for run in self.hubs.get(kind, [])]
            if beside:
                found.append(self._row(hub, beside))
            found += [self._row(kind, runs, self.hubs.get(kind, [])) for kind, runs in of_path.items()]
        return found

    @staticmethod
    def _row(kind: type[Gateway], runs: list[Run], hubs: Sequence[Run] = ()) -> Row:
        return Row(kind.name, kind.path, kind.legs, kind.durability, kind.load, runs, hubs)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("smshub", *PEERS), action="append", help="only these; more than once")
    parser.add_argument("--path", choices=tuple(HUBS), help="only this path")
    parser.add_argument(
        "--count", type=int, default=40_000, help="texts of one measurement; Jasmin gets a tenth, a spool a quarter"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; medians count")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "peers.json", help="where the figures go")
    options = parser.parse_args()
    if options.count < 1 or options.rounds < 1:
        parser.error("--count and --rounds are at least 1")
    return options


def main() -> None:
    """Measure, print, write."""
    options = parse()
    only = set(options.only or ("smshub", *PEERS))
    paths = (options.path,) if options.path else tuple(HUBS)
    kinds = [
        kind
        for path in paths
        for name, several in PEERS.items()
        if name in only
        for kind in several
        if kind.path == path
    ]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that whoever stops us early leaves no broker behind
    directory = Path(tempfile.mkdtemp(prefix="smshub-peers-"))
    measured = Comparison(kinds, "smshub" in only, options.count, directory)
    try:
        for at in range(options.rounds):
            print(f"round {at + 1} of {options.rounds}, load average {os.getloadavg()[0]:.1f}", flush=True)
            measured.round()
            for path in paths if not kinds else ():
                measured.hub_alone(path)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    rows = measured.rows()
    versions = sorted({*measured.versions.values(), f"CPython {platform.python_version()}"})
    loads = [round(run.load_average, 1) for row in rows for run in row.runs]
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(("python -m loadtests.peers", *sys.argv[1:])),
        "versions": versions,
        "cores": os.cpu_count(),
        "load_average": loads,
    }
    print("\n".join(("", *comparison(rows), "", *figures(rows), "")))
    print(f"{about['command']}, {about['at']}: {', '.join(versions)}; {about['cores']} cores")
    if loads:
        print(f"load average {min(loads):.1f} to {max(loads):.1f}")
    whole = {
        "about": about,
        "rows": [report(row) for row in rows],
        "failures": measured.failures,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    if measured.failures:
        raise SystemExit("Left out:\n" + "\n".join(measured.failures))


if __name__ == "__main__":
    main()
