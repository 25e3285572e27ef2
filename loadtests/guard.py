"""``python -m loadtests.guard``: whether this version costs more than the baseline, by ratios (``loadtests.ratios``).

It measures the quick form of the benchmark and compares with ``loadtests/baseline.json``, which is committed. Exit
status 0: nothing is worse than its tolerance allows; 1: something is, and it is said what; 2: it could not be measured.
``--from var/bench.json`` judges what ``make bench`` has found instead of measuring. ``--update`` makes what was found
the baseline of its form: after a change that is meant to cost something, or on another kind of machine.

On a machine with other work a single verdict is a hint, and one that comes again is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from loadtests.bench.options import MEASUREMENTS
from loadtests.bench.options import parse as bench_options
from loadtests.bench.report import Report, read_report
from loadtests.bench.whole import measure
from loadtests.processes import ROOT
from loadtests.ratios import judge, ratios_of, words_of

BASELINE = ROOT / "loadtests" / "baseline.json"
LEFT_OUT = {"codec", "idle"}  # no ratio is made of these
MEASURED = tuple(name for name in MEASUREMENTS if name not in LEFT_OUT)
LINKS, NUMBERS, THREADS = "1,100", "100,100000", "10,10000,1000000"  # of the quick form
RUNS = 3
ABOUT = ("at", "command", "python", "sqlite", "store", "cores", "load_average_before", "load_average")


class Bad(Exception):
    """A baseline or report that says nothing. Its text is for people."""


def read_baseline(path: Path) -> dict[str, dict[str, Any]]:
    """Form → ``about`` and ``ratios``. Raises: Bad."""
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except msgspec.DecodeError as error:
        raise Bad(f"{path} is no baseline: {error}") from None


def found_by(options: argparse.Namespace) -> Report:
    """Measure, or read what was measured. Raises: Bad."""
    if options.source is not None:
        try:
            report = read_report(options.source)
        except (OSError, msgspec.DecodeError) as error:
            raise Bad(f"{options.source} is no report of the benchmark: {error}") from None
    else:
        words = ["--quick", "--links", LINKS, "--numbers", NUMBERS, "--threads", THREADS]
        for name in options.only or MEASURED:
            words += ["--only", name]
        chosen = bench_options(words)
        # What --quick makes small for a look is too small to be compared: sizes and repetitions as they are here.
        chosen.runs = options.runs
        chosen.links, chosen.numbers, chosen.threads = (
            tuple(map(int, sizes.split(","))) for sizes in (LINKS, NUMBERS, THREADS)
        )
        report = measure(chosen, words)
    if report.failure:
        raise Bad(f"the benchmark did not come to its end: {report.failure}")
    return report


def compare(report: Report, baseline: dict[str, dict[str, Any]], *, partly: bool = False) -> bool:
    """Print how each ratio stands.

    Args:
        partly: what was not measured was not meant to be.

    Returns: whether none is worse than it may be.
    Raises: Bad: there is no baseline for this form.
    """
    form = str(report.about.get("form", "whole"))
    was = baseline.get(form, {}).get("ratios")
    if not was:
        raise Bad(f"the baseline has nothing for the {form} form: `--update` writes it")
    found = ratios_of(report.figures, report.curves)
    if partly:
        was = {name: value for name, value in was.items() if name in found}
    verdicts = judge(found, was)
    for verdict in sorted(verdicts, key=lambda verdict: not verdict.is_worse):
        print(words_of(verdict))
    worse = [verdict.name for verdict in verdicts if verdict.is_worse]
    print(
        f"\n{len(worse)} of {len(verdicts)} ratios are worse than they may be"
        + (f": {', '.join(worse)}" if worse else "")
    )
    return not worse


def update(report: Report, baseline: dict[str, dict[str, Any]], path: Path) -> None:
    """Make what was found the baseline of its form; ratios that were not measured stay."""
    form = str(report.about.get("form", "whole"))
    kept = baseline.get(form, {}).get("ratios", {})
    found = {name: float(f"{value:.4g}") for name, value in ratios_of(report.figures, report.curves).items()}
    about = {key: report.about.get(key) for key in ABOUT}
    path.write_text(json.dumps(baseline | {form: {"about": about, "ratios": kept | found}}, indent=1) + "\n")
    print(f"{path.name}: {len(found)} ratios of the {form} form")


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.guard", description="Whether this version costs more than the baseline, by ratios."
    )
    parser.add_argument("--from", dest="source", type=Path, help="judge this report instead of measuring")
    parser.add_argument("--only", choices=MEASURED, action="append", help="measure and judge only these")
    parser.add_argument("--runs", type=int, default=RUNS, help="repetitions, whose median counts")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="what to compare with")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "guard.json", help="where what was measured goes")
    parser.add_argument("--update", action="store_true", help="write the baseline instead of judging")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    options = parse(words)
    try:
        baseline = read_baseline(options.baseline)
        report = found_by(options)
        if options.source is None:
            report.keep(options.json)
        if options.update:
            update(report, baseline, options.baseline)
            return 0
        print(f"load average {os.getloadavg()[0]:.1f}; the baseline's and this run's are in their `about`")
        return 0 if compare(report, baseline, partly=bool(options.only)) else 1
    except Bad as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
