"""``python -m loadtests.plots``: the pictures of docs/discussion/performance.md, drawn from the benchmark's figures.

Each picture is made of one curve of ``var/bench.json``, that of the soak of ``var/soak.jsonl``, that of nodes of
``var/nodes.json``; a curve that was not measured leaves its picture as it is. The files are small and have no time in
them: the same figures make the same octets with the same matplotlib.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: nothing is shown, files are written

from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter

from loadtests.bench.report import Report, read_report
from loadtests.processes import ROOT

FOLDER = ROOT / "docs" / "discussion" / "performance"
INCHES = (7.2, 3.0)
DOTS_PER_INCH = 90
COLOURS = ("#1f5a8a", "#c8553d", "#4c8c4a", "#8a6d1f")  # told apart by the colour-blind too

Rows = Sequence[dict[str, float]]


def draw_latency(axes: Any, rows: Rows) -> None:
    """Waits for the acknowledgement at shares of the peak."""
    (left, right) = axes
    loads = [row["size"] * 100 for row in rows]
    for key, name, colour in zip(
        ("ack_p50_ms", "ack_p99_ms", "ack_p999_ms"), ("half of them", "99 %", "99.9 %"), COLOURS, strict=False
    ):
        left.plot(loads, [row[key] for row in rows], "o-", color=colour, label=name)
    left.set(xlabel="load, % of the peak", ylabel="ms to the acknowledgement", xticks=loads)
    _from_zero(left)
    left.legend()
    right.plot(loads, [row["cpu_s_per_1000"] for row in rows], "o-", color=COLOURS[0])
    right.set(xlabel="load, % of the peak", ylabel="CPU s for 1,000 texts", xticks=loads)
    _from_zero(right)


def draw_outage(axes: Any, rows: Rows) -> None:
    """A backlog that is drained beside live texts."""
    (left, right) = axes
    seconds = [row["at_s"] for row in rows]
    left.plot([0.0, *(row["until_s"] for row in rows)], [0.0, *(row["drained"] for row in rows)], color=COLOURS[0])
    left.set(xlabel="s since the carrier is back", ylabel="texts of the backlog arrived")
    left.yaxis.set_major_formatter(FuncFormatter(_short))
    right.plot(seconds, [row["live_p50_ms"] for row in rows], "-", color=COLOURS[0], label="half of them")
    right.plot(seconds, [row["live_p99_ms"] for row in rows], "-", color=COLOURS[1], label="99 %")
    right.set(xlabel="s since the carrier is back", ylabel="live texts: ms to the ack.")
    right.legend()
    for each in axes:
        _from_zero(each)


def draw_links(axes: Any, rows: Rows) -> None:
    """Links."""
    _growth(axes, rows, "links", {"cpu_s_per_1000": "account to links"})


def draw_numbers(axes: Any, rows: Rows) -> None:
    """Provisioned numbers."""
    _growth(axes, rows, "numbers provisioned", {"cpu_s_per_1000": "link to desk"})


def draw_threads(axes: Any, rows: Rows) -> None:
    """Open threads."""
    names = {"cpu_s_per_1000": "a new thread", "known_cpu_s_per_1000": "a thread that is open"}
    _growth(axes, rows, "open threads in the store", names)


def draw_soak(axes: Any, rows: Rows) -> None:
    """Hours of load under weather: what must stay flat."""
    (left, right) = axes
    minutes = [row["at_s"] / 60 for row in rows]
    left.plot(minutes, [row["rss_mb"] for row in rows], color=COLOURS[0], linewidth=1)
    left.set(xlabel="minutes", ylabel="MB resident")
    files = left.twinx()
    files.plot(minutes, [row["descriptors"] for row in rows], color=COLOURS[1], linewidth=1)
    files.set_ylabel("open files", color=COLOURS[1])
    right.plot(minutes, [row["ack_p50_ms"] for row in rows], color=COLOURS[0], linewidth=1, label="ack, half of them")
    right.set(xlabel="minutes", ylabel="ms to the acknowledgement")
    store = right.twinx()
    texts = [max(row["sent"], 1) for row in rows]
    octets = [row["store_mb"] * 1e6 / count for row, count in zip(rows, texts, strict=True)]
    store.plot(minutes[1:], octets[1:], color=COLOURS[2], linewidth=1)
    store.set_ylabel("octets of store for a text", color=COLOURS[2])
    for each in (left, files, right, store):
        each.spines["top"].set_visible(False)
        _from_zero(each)


def draw_nodes(axes: Any, rows: Rows) -> None:
    """Nodes on one database."""
    (left, right) = axes
    for way, name, colour in (("own", "out by the own link", COLOURS[0]), ("across", "by another node's", COLOURS[1])):
        same = [row for row in rows if row["way"] == way]  # type: ignore[comparison-overlap]
        counts = [row["nodes"] for row in same]
        left.plot(counts, [row["msgs_per_s"] for row in same], "o-", color=colour, label=name)
        cost = [row["cpu_s_per_1000_hubs"] + row["cpu_s_per_1000_postgresql"] for row in same]
        right.plot(counts, cost, "o-", color=colour, label=name)
    left.set(xlabel="nodes", ylabel="texts a second, all together")
    right.set(xlabel="nodes", ylabel="CPU s for 1,000, with PostgreSQL's")
    for each in axes:
        each.set_xticks(sorted({row["nodes"] for row in rows}))
        each.legend()
        _from_zero(each)


def _growth(axes: Any, rows: Rows, what: str, cpu: dict[str, str]) -> None:
    """What size costs: CPU on the left; memory and the start on the right."""
    (left, right) = axes
    for (key, name), colour in zip(cpu.items(), COLOURS, strict=False):
        known = [row for row in rows if key in row]
        left.plot([row["size"] for row in known], [row[key] for row in known], "o-", color=colour, label=name)
    left.set(ylabel="CPU s for 1,000 texts")
    left.legend()
    sizes = [row["size"] for row in rows]
    right.plot(sizes, [row["rss_mb"] for row in rows], "o-", color=COLOURS[0])
    right.set_ylabel("MiB resident", color=COLOURS[0])
    start = right.twinx()
    start.plot(sizes, [row["ready_s"] for row in rows], "s--", color=COLOURS[1])
    start.set_ylabel("s to ready", color=COLOURS[1])
    start.spines["top"].set_visible(False)
    _from_zero(start)
    for each in axes:
        each.set_xscale("log")
        each.set_xlabel(what)
        each.xaxis.set_major_formatter(FuncFormatter(_short))
        _from_zero(each)


def _from_zero(axes: Any) -> None:
    """Let no small difference look like a large one."""
    axes.set_ylim(0, axes.dataLim.ymax * 1.1)


def _short(value: float, _: int = 0) -> str:
    for unit, word in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{word}"
    return f"{value:g}"


PICTURES: dict[str, Callable[[Any, Rows], None]] = {
    "latency": draw_latency,
    "outage": draw_outage,
    "links": draw_links,
    "numbers": draw_numbers,
    "threads": draw_threads,
    "soak": draw_soak,
    "nodes": draw_nodes,
}


def draw(report: Report, folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Draw the pictures of the curves that there are.

    Args:
        report: what was measured.
        folder: where the files go; made when it is not there.
        only: names of pictures; all when empty.

    Returns: the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, picture in PICTURES.items():
        rows = report.curves.get(name)
        if not rows or (only and name not in only):
            continue
        figure, axes = pyplot.subplots(1, 2, figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
        for each in axes:
            each.grid(visible=True, color="#dddddd", linewidth=0.6)
            each.spines[["top", "right"]].set_visible(False)
        picture(axes, rows)
        path = folder / f"{name}.png"
        figure.savefig(path, metadata={"Software": None})
        pyplot.close(figure)
        made.append(path)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.plots", description="Draw the benchmark's curves.")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "bench.json", help="what make bench has found")
    parser.add_argument("--soak", type=Path, default=ROOT / "var" / "soak.jsonl", help="what make soak has found")
    parser.add_argument(
        "--nodes", type=Path, default=ROOT / "var" / "nodes.json", help="what loadtests.nodes has found"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go")
    parser.add_argument("--only", choices=tuple(PICTURES), action="append", default=[], help="only this picture")
    options = parser.parse_args()
    try:
        report = read_report(options.json)
    except FileNotFoundError:
        raise SystemExit(f"{options.json} is not there: `make bench` makes it") from None
    if options.soak.exists():
        report.curves["soak"] = [json.loads(line) for line in options.soak.read_text().splitlines()]
    if options.nodes.exists():
        report.curves["nodes"] = json.loads(options.nodes.read_text())["rows"]
    for path in draw(report, options.folder, options.only):
        print(f"{path.name}: {path.stat().st_size:,} octets")
    missing = sorted(name for name in options.only or PICTURES if name not in report.curves)
    if missing:
        print(f"not measured in {options.json.name}, left as they are: {', '.join(missing)}")


if __name__ == "__main__":
    main()
