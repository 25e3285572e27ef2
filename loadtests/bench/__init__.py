"""The benchmark of the daemon: what ``python -m loadtests.bench`` measures. See ``loadtests.bench.__main__``."""

from loadtests.bench.options import BINDS, MEASUREMENTS, WARM_UP, WINDOW, parse
from loadtests.bench.report import GOALS, Report
from loadtests.bench.run import Run, bind, check, check_arrived
from loadtests.bench.whole import measure

__all__ = [
    "BINDS",
    "GOALS",
    "MEASUREMENTS",
    "WARM_UP",
    "WINDOW",
    "Report",
    "Run",
    "bind",
    "check",
    "check_arrived",
    "measure",
    "parse",
]
