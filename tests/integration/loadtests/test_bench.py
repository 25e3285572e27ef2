"""The benchmark's measurements in a small form, on the real daemon: each comes to its end and finds what it promises.

No figure is judged here: how fast a machine is that runs tests says nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import psycopg
import pytest

from loadtests.bench import growth, measure, outage, parse, standing
from loadtests.bench.conversations import SHARES, conversations
from loadtests.bench.report import GOALS, Report, is_met, read_report
from loadtests.bench.run import Run
from loadtests.processes import ToolFailed
from loadtests.ratios import ratios_of
from loadtests.stores import open_stores

SMALL = ["--quick", "--count", "400", "--half-s", "0.2", "--idle-s", "0.2", "--queued", "300", "--backlog", "400"]
SIZES = ["--links", "1,3", "--numbers", "5,20", "--threads", "10,10000"]


def small(*only: str) -> argparse.Namespace:
    options = parse([*SMALL, *SIZES, *(word for name in only for word in ("--only", name))])
    options.links, options.numbers, options.threads = (1, 3), (5, 20), (10, 10_000)
    options.live_rate = 300.0
    return options


def a_run(directory: Path, *only: str) -> Run:
    with open_stores("sqlite") as stores:
        return Run(small(*only), directory, stores)


def test_waits_are_measured_at_shares_of_the_peak(tmp_path: Path) -> None:
    run = a_run(tmp_path, "latency")
    conversations(run)
    peak = run.figures["account_to_link_msgs_per_s"]
    assert [row["size"] for row in run.curves["latency"]] == list(SHARES.values())
    for name, share in SHARES.items():
        assert run.figures[f"rate_{name}"] == pytest.approx(share * peak)
        waits = [run.figures[f"ack_{each}_ms_{name}"] for each in ("p50", "p99", "p999")]
        assert 0 < waits[0] <= waits[1] <= waits[2]
    assert "half_load_p99_over_p50" in ratios_of(run.figures, run.curves)


def test_a_backlog_is_drained_in_order_beside_live_texts(tmp_path: Path) -> None:
    run = a_run(tmp_path, "outage")
    outage.outage(run)
    assert (run.figures["outage_backlog"], run.figures["outage_lanes"]) == (400, 40)
    assert run.curves["outage"][-1]["drained"] == 400
    assert {"live_p99_while_draining_times", "live_rate_while_draining_ratio"} <= run.figures.keys()


@pytest.mark.parametrize(
    "seen",
    [
        {"texts": 399},
        {"texts": 399, "late": 1},
        {"repeated": 1},
        {"lanes": 39},
        {"unread": 1},
    ],
)
def test_a_backlog_that_did_not_arrive_as_it_was_sent_ends_the_benchmark(seen: dict[str, float]) -> None:
    whole = {"texts": 400, "lanes": 40, "late": 0, "repeated": 0, "unread": 0, "cpu_s": 0.1}
    outage.check_order(whole, 400, 40)
    with pytest.raises(ToolFailed, match="backlog of 400"):
        outage.check_order(whole | seen, 400, 40)


def test_links(tmp_path: Path) -> None:
    run = a_run(tmp_path, "links")
    growth.links(run)
    assert [row["size"] for row in run.curves["links"]] == [1, 3]
    assert "links_cpu_s_per_1000_3_over_1" in ratios_of(run.figures, run.curves)


def test_numbers_are_imported_and_reach_the_desk(tmp_path: Path) -> None:
    run = a_run(tmp_path, "numbers")
    growth.numbers(run)
    assert [row["size"] for row in run.curves["numbers"]] == [5, 20]
    assert all(row["ready_s"] > 0 and row["rss_mb_at_start"] > 20 for row in run.curves["numbers"])


def test_threads_are_found_and_opened(tmp_path: Path) -> None:
    run = a_run(tmp_path, "threads")
    growth.threads(run)
    few, many = run.curves["threads"]
    assert (few["size"], many["size"]) == (10, 10_000)
    assert "known_cpu_s_per_1000" in many
    assert "known_cpu_s_per_1000" not in few  # ten customers would wait in line
    assert many["store_mb"] > few["store_mb"]


def test_a_queue_that_a_start_finds(tmp_path: Path) -> None:
    run = a_run(tmp_path, "million")
    standing.million(run)
    assert run.figures["queued_messages"] == 300
    assert run.figures["restart_first_dispatch_s"] > 0
    assert "rss_mb_million_queued" not in run.figures  # three hundred are none


def test_on_postgresql_the_server_is_counted_too() -> None:
    options = small("account")
    options.store = "postgresql"
    report = measure(options)
    assert report.failure == ""
    assert report.about["store"].startswith("PostgreSQL 1")
    assert report.about["form"] == "quick-postgresql"
    assert report.figures["store_cpu_s_per_1000_msgs"] > 0


def test_what_a_server_takes_is_of_all_its_processes() -> None:
    with open_stores("postgresql") as stores:
        url = stores.new_url()
        with psycopg.connect(url) as database:
            database.execute("SELECT sum(length(md5(i::text))) FROM generate_series(1, 200000) AS i")
            during = stores.cpu_s()
        assert during > 0
        assert stores.cpu_s() >= during - 0.02  # the connection's process ended: its time is its parent's now


def test_a_report_is_read_as_it_was_kept(tmp_path: Path) -> None:
    report = Report({"a": 1.0}, {"links": [{"size": 1, "b": 2.0}]}, {"c": [{"d": 3.0}]}, {"at": "now"}, "broken")
    report.keep(tmp_path / "deep" / "bench.json")
    assert read_report(tmp_path / "deep" / "bench.json") == report
    assert json.loads((tmp_path / "deep" / "bench.json").read_text())["figures"] == {"a": 1.0}


def test_a_goal_is_met_at_its_edge_where_it_says_so() -> None:
    assert is_met("account_to_link_msgs_per_s", 20_000.0)
    assert not is_met("account_to_link_msgs_per_s", 19_999.0)
    assert is_met("cpu_s_per_1000_msgs", 0.08)
    assert not is_met("ack_p99_ms_half_load", 20.0)
    assert {relation for relation, _ in GOALS.values()} == {">=", "<=", "<"}


@pytest.mark.parametrize("words", ["", "10,1", "0,1", "1,1", "one"])
def test_sizes_that_do_not_rise_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--links", words])
    assert "like 1,10,100" in capsys.readouterr().err


def test_a_quick_look_has_the_smallest_size_and_one_that_is_not_too_large() -> None:
    assert parse(["--quick"]).links == (1, 100)
    assert parse(["--quick", "--threads", "5,7000000"]).threads == (5,)
    assert parse(["--quick", "--threads", "5000000"]).threads == (5_000_000,)
    assert parse([]).threads[-1] == 10_000_000


def test_nine_links_beside_a_slow_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "SLOW_S", 0.5)
    run = a_run(tmp_path, "slow")
    standing.slow(run)
    assert {len(run.runs[f"nine links, a {speed} tenth"]) for speed in ("quick", "slow")} == {1}
    assert run.figures["nine_links_beside_a_slow_one"] > 0
    assert run.figures["nine_links_cpu_beside_a_slow_one"] > 0


def test_what_is_measured_in_turns_is_compared_turn_by_turn(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.options.runs = 3
    ones, others = iter([1.0, 10.0, 2.0]), iter([2.0, 30.0, 8.0])
    compared = run.in_turns(("one", lambda: {"x": next(ones)}), ("other", lambda: {"x": next(others)}))
    assert (compared.one["x"], compared.other["x"], compared.ratio["x"]) == (2.0, 8.0, 3.0)
    assert [row["x"] for row in run.runs["other"]] == [2.0, 30.0, 8.0]


def test_threads_that_the_disk_has_no_room_for_are_refused_before_they_are_written(tmp_path: Path) -> None:
    run = a_run(tmp_path, "threads")
    run.options.threads = (10, 10**15)
    with pytest.raises(ToolFailed, match="smaller --threads"):
        growth.threads(run)


@pytest.mark.parametrize(
    "words", ["--runs 0", "--count 1", "--count x", "--half-s nan", "--backlog -1", "--idle-s inf"]
)
def test_a_load_that_measures_nothing_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words.split())
    assert "or more" in capsys.readouterr().err
