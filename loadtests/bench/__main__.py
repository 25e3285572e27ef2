"""``make bench``: messages a second, waits, CPU and memory of the real daemon, beside a bare echo of the same PDUs.

Every measurement is described in docs/discussion/performance.md, which also says what bounds them. Figures go to
``var/bench.json`` as ``{"figures": {name: number}, "curves": {measurement: [row, …]}, …}``; a table and what the load
tools themselves cost are printed. ``python -m loadtests.plots`` draws the curves.

A quick look while developing: ``python -m loadtests.bench --quick``. Where the time goes: ``--profile`` (py-spy).
"""

from __future__ import annotations

import sys
import time

from loadtests.bench.options import parse
from loadtests.bench.report import show, show_curves
from loadtests.bench.whole import measure


def main() -> None:
    options = parse()
    begun = time.monotonic()
    report = measure(options, sys.argv[1:])
    show(report.figures)
    show_curves(report.curves)
    print(f"\nThis took {time.monotonic() - begun:.0f} s.")
    report.keep(options.json)
    if report.failure:
        raise SystemExit(f"The benchmark did not come to its end: {report.failure}")


if __name__ == "__main__":
    main()
