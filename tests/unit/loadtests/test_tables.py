"""The page's tables: what was measured is written into its place, and nothing else is touched."""

from __future__ import annotations

from loadtests.bench.report import Report
from loadtests.tables import CURVES, PAGE, PLACE, fill, tables_of

ABOUT = {
    "at": "2026-11-22T10:00:00+00:00",
    "command": "python -m loadtests.bench --json /somewhere/bench.json",
    "python": "3.11.7",
    "sqlite": "3.40.1",
    "store": "SQLite",
    "cores": 2,
    "load_average_before": 0.25,
    "load_average": 1.75,
}


def test_a_figure_stands_with_its_aim() -> None:
    tables = tables_of(Report({"account_to_link_msgs_per_s": 21_234.5, "echo_ratio": 0.051234, "nobody_asks": 1.0}))
    assert tables["figures"].splitlines() == [
        "| figure | value | aim |",
        "| --- | --- | --- |",
        "| `account_to_link_msgs_per_s` | 21,234 | ≥ 20,000 |",
        "| `echo_ratio` | 0.05123 |  |",
    ]


def test_the_aims_are_those_of_sqlite() -> None:
    report = Report({"account_to_link_msgs_per_s": 9000.0}, about=ABOUT | {"store": "PostgreSQL 15"})
    assert tables_of(report)["figures"].splitlines()[0] == "| figure | value |"


def test_a_curve_has_a_line_for_each_size_and_no_column_that_nobody_has() -> None:
    rows = [
        {"size": 10, "cpu_s_per_1000": 0.05},
        {"size": 10_000, "cpu_s_per_1000": 0.06, "known_cpu_s_per_1000": 0.07},
    ]
    assert tables_of(Report({}, {"threads": rows}))["threads"].splitlines() == [
        "| open threads | CPU s for 1,000, new threads | in open threads |",
        "| --- | --- | --- |",
        "| 10 | 0.05 |  |",
        "| 10,000 | 0.06 | 0.07 |",
    ]


def test_what_was_measured_when_and_how_busy_the_machine_was() -> None:
    about = tables_of(Report({"echo_ratio": 0.05}, about=ABOUT))["about"]
    assert about == (
        "`python -m loadtests.bench`, 2026-11-22: CPython 3.11.7, SQLite 3.40.1, 2 cores, "
        "load average 0.2 before and 1.8 after."
    )
    assert "PostgreSQL 15" in tables_of(Report({"echo_ratio": 1.0}, about=ABOUT | {"store": "PostgreSQL 15"}))["about"]


def test_of_nothing_there_is_no_table() -> None:
    assert tables_of(Report({}, about=ABOUT)) == {}


def test_only_places_whose_table_is_there_are_filled() -> None:
    page = "a\n<!-- table one -->\nold\nold\n<!-- end of table -->\nb\n<!-- table two -->\n<!-- end of table -->\nc\n"
    filled, put = fill(page, {"one": "new", "three": "never"})
    assert (
        filled == "a\n<!-- table one -->\nnew\n<!-- end of table -->\nb\n<!-- table two -->\n<!-- end of table -->\nc\n"
    )
    assert put == ["one"]
    assert fill(filled, {"one": "new"}) == (filled, ["one"])
    assert fill(page, {"two": "it"})[0].endswith("b\n<!-- table two -->\nit\n<!-- end of table -->\nc\n")


def test_the_page_has_a_place_for_every_table() -> None:
    places = {place[2] for place in PLACE.finditer(PAGE.read_text())}
    assert places >= {"about", "figures", "outage", *CURVES}
