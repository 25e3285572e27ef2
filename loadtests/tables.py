"""``python -m loadtests.tables``: the tables of docs/discussion/performance.md, written from the benchmark's figures.

The page has places for them, between ``<!-- table NAME -->`` and ``<!-- end of table -->``. What stands there is
replaced by what ``var/bench.json`` says, or ``var/bench-postgresql.json`` for the names that begin with ``postgresql``;
a table of which nothing was measured is left as it is.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtests.bench.report import GOALS, Report, read_report, written
from loadtests.processes import ROOT

PAGE = ROOT / "docs" / "discussion" / "performance.md"
PLACE = re.compile(r"(<!-- table ([\w-]+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)
Rows = Sequence[Mapping[str, float]]

# In the order of the page.
FIGURES = (
    "account_to_link_msgs_per_s",
    "cpu_s_per_1000_msgs",
    "store_cpu_s_per_1000_msgs",
    "tools_cpu_s_per_1000_msgs",
    "ack_p50_ms_half_load",
    "ack_p99_ms_half_load",
    "ack_p99_ms_4000_per_s",
    "ack_p99_ms_full_load",
    "link_to_xmpp_msgs_per_s",
    "link_to_xmpp_cpu_s_per_1000_msgs",
    "link_to_xmpp_store_cpu_s_per_1000_msgs",
    "account_to_link_with_receipts_msgs_per_s",
    "cpu_s_per_1000_msgs_with_receipts",
    "echo_msgs_per_s",
    "echo_ratio",
    "echo_cpu_ratio",
    "rss_mb_empty",
    "rss_mb_queued",
    "rss_mb_million_queued",
    "queueing_msgs_per_s",
    "store_octets_per_message",
    "restart_ready_s",
    "restart_first_dispatch_s",
    "draining_msgs_per_s",
    "rss_mb_more_for_idle_binds",
    "cpu_share_of_idle_binds",
    "cpu_share_without_binds",
    "ten_links_msgs_per_s",
    "nine_links_beside_a_slow_one",
    "fdatasync_64k_ms",
)
OUTAGE = (
    ("outage_backlog", "texts that waited"),
    ("outage_lanes", "lanes they were of; in each of them all arrived in order, once"),
    ("outage_bound_again_s", "seconds from the carrier's return to the link's bind"),
    ("outage_first_text_s", "seconds from there to the first text"),
    ("outage_drain_s", "seconds from the first to the last"),
    ("outage_drain_msgs_per_s", "a second"),
    ("live_p99_ms_before_outage", "live texts: 99 of 100 acknowledged within (ms), before"),
    ("live_p99_ms_while_draining", "while it drained, the middle one of the slices"),
    ("live_p99_ms_while_draining_worst", "the worst slice"),
    ("live_p99_while_draining_times", "so many times as long as before"),
    ("live_rate_while_draining_ratio", "live texts a second, over those before"),
    ("outage_cpu_s_per_1000_msgs", "CPU seconds for 1,000 texts of both kinds"),
    ("outage_rss_peak_mb", "memory at its highest (MiB)"),
)
# Of each curve: its columns' keys and heads.
CURVES: dict[str, tuple[tuple[str, str], ...]] = {
    "latency": (
        ("size", "of the peak"),
        ("rate", "texts a second"),
        ("ack_p50_ms", "p50 (ms)"),
        ("ack_p99_ms", "p99"),
        ("ack_p999_ms", "p99.9"),
        ("cpu_s_per_1000", "CPU s for 1,000"),
    ),
    "links": (
        ("size", "links"),
        ("msgs_per_s", "texts a second"),
        ("cpu_s_per_1000", "CPU s for 1,000"),
        ("idle_cpu_share", "of a core, idle"),
        ("rss_mb", "MiB"),
        ("ready_s", "s to ready"),
        ("bound_s", "s until all are bound"),
    ),
    "numbers": (
        ("size", "numbers"),
        ("msgs_per_s", "texts a second"),
        ("cpu_s_per_1000", "CPU s for 1,000"),
        ("rss_mb_at_start", "MiB at the start"),
        ("rss_mb", "MiB after"),
        ("ready_s", "s to ready"),
        ("import_s", "s to import those added"),
    ),
    "threads": (
        ("size", "open threads"),
        ("cpu_s_per_1000", "CPU s for 1,000, new threads"),
        ("known_cpu_s_per_1000", "in open threads"),
        ("store_cpu_s_per_1000", "PostgreSQL's, new"),
        ("known_store_cpu_s_per_1000", "PostgreSQL's, open"),
        ("msgs_per_s", "a second, new"),
        ("known_msgs_per_s", "a second, open"),
        ("rss_mb", "MiB"),
        ("ready_s", "s to ready"),
        ("store_mb", "MB of store"),
    ),
}


def tables_of(report: Report) -> dict[str, str]:
    """The tables that a report gives, as Markdown.

    Returns: name → table; of what was not measured there is none.
    """
    found: dict[str, str] = {}
    figures = report.figures
    is_aimed_at = not str(report.about.get("store", "")).startswith("PostgreSQL")  # aims are those of SQLite
    if names := [name for name in FIGURES if name in figures]:
        rows = [[f"`{name}`", written(figures[name]), *([_aim(name)] if is_aimed_at else [])] for name in names]
        found["figures"] = _table(["figure", "value", *(["aim"] if is_aimed_at else [])], rows)
    if rows := [[says, written(figures[name])] for name, says in OUTAGE if name in figures]:
        found["outage"] = _table(["", ""], rows)
    for name, columns in CURVES.items():
        if curve := report.curves.get(name):
            keys = [(key, head) for key, head in columns if any(key in row for row in curve)]
            cells = [[written(row[key]) if key in row else "" for key, _ in keys] for row in curve]
            found[name] = _table([head for _, head in keys], cells)
    if found:
        found["about"] = _about(report.about)
    return found


def _aim(name: str) -> str:
    if name not in GOALS:
        return ""
    relation, goal = GOALS[name]
    return f"{ {'>=': '≥', '<=': '≤', '<': '<'}[relation] } {goal:,g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _about(about: Mapping[str, Any]) -> str:
    before, after = about.get("load_average_before", 0.0), about.get("load_average", 0.0)
    loads = f"load average {before:.1f} before and {after:.1f} after"
    command = re.sub(r" --json \S+", "", str(about.get("command")))  # where the figures went is nobody's business
    return (
        f"`{command}`, {str(about.get('at'))[:10]}: CPython {about.get('python')}, {_store(about)}, "
        f"{about.get('cores')} cores, {loads}."
    )


def _store(about: Mapping[str, Any]) -> str:
    return f"SQLite {about.get('sqlite')}" if about.get("store") == "SQLite" else str(about.get("store"))


def fill(page: str, tables: Mapping[str, str]) -> tuple[str, list[str]]:
    """Put tables into their places.

    Returns: the page, and the names of those that were put in.
    """
    put: list[str] = []

    def replace(place: re.Match[str]) -> str:
        name = place[2]
        if name not in tables:
            return place[0]
        put.append(name)
        return f"{place[1]}{tables[name]}\n{place[4]}"

    return PLACE.sub(replace, page), put


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.tables", description="Write the page's tables anew.")
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "bench.json", help="what make bench has found")
    parser.add_argument(
        "--postgresql",
        type=Path,
        default=ROOT / "var" / "bench-postgresql.json",
        help="what it has found with --store postgresql",
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="the page with places for tables")
    options = parser.parse_args()
    tables: dict[str, str] = {}
    for path, before in ((options.json, ""), (options.postgresql, "postgresql-")):
        if path.exists():
            tables |= {before + name: table for name, table in tables_of(read_report(path)).items()}
        else:
            print(f"{path} is not there: its tables are left as they are")
    page, put = fill(options.page.read_text(), tables)
    options.page.write_text(page)
    print(f"{options.page.name}: {', '.join(put) or 'nothing'}")


if __name__ == "__main__":
    main()
