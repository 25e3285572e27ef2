"""The guard's words and exit status, on reports that are there already; and the plots of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests import guard
from loadtests.bench.report import Report
from loadtests.plots import PICTURES, draw

LARGEST_PICTURE = 60_000


# What rows have that other tools than the benchmark have found.
MORE = {
    "soak": {"sent": 1000, "store_mb": 4.0, "descriptors": 26},
    "nodes": {
        "way": "own",
        "nodes": 1,
        "msgs_per_s": 9.0,
        "cpu_s_per_1000_hubs": 0.1,
        "cpu_s_per_1000_postgresql": 0.1,
    },
}


def a_report(cpu: float = 0.05, failure: str = "") -> Report:
    figures = {"cpu_s_per_1000_msgs": cpu, "echo_cpu_s_per_1000_msgs": 0.002}
    rows = [
        {
            "size": float(size),
            "cpu_s_per_1000": 0.05,
            "known_cpu_s_per_1000": 0.06,
            "rss_mb": 120.0,
            "rss_mb_at_start": 90.0,
            "ready_s": 1.0,
            "ack_p50_ms": 3.0,
            "ack_p99_ms": 8.0,
            "ack_p999_ms": 12.0,
            "at_s": size / 1000,
            "until_s": size / 1000 + 2,
            "drained": 1000.0 * size,
            "live_p50_ms": 3.0,
            "live_p99_ms": 9.0,
        }
        for size in (1, 100, 100_000)
    ]
    return Report(
        figures,
        dict.fromkeys(("links", "numbers", "threads", "latency", "outage"), rows),
        about={"form": "quick"},
        failure=failure,
    )


def a_drawing() -> Report:
    """A report with every curve that there is a picture of."""
    report = a_report()
    rows = report.curves["links"]
    return Report(report.figures, {name: [row | MORE.get(name, {}) for row in rows] for name in PICTURES})


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    a_report().keep(tmp_path / "bench.json")
    words = ["--from", str(tmp_path / "bench.json"), "--baseline", str(tmp_path / "baseline.json")]
    assert guard.main([*words, "--update"]) == 0
    return words


def test_the_same_figures_are_as_good(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.main(words) == 0
    assert "0 of 7 ratios are worse" in capsys.readouterr().out


def test_a_dearer_road_is_worse_and_named(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_report(cpu=0.08).keep(tmp_path / "bench.json")
    assert guard.main(words) == 1
    assert "WORSE    hub_cpu_over_echo 40, was 25" in capsys.readouterr().out


def test_what_was_not_measured_is_worse_unless_only_some_were_meant(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Report({"nine_links_beside_a_slow_one": 1.0}, about={"form": "quick"}).keep(tmp_path / "bench.json")
    assert guard.main(words) == 1
    assert "MISSING  hub_cpu_over_echo" in capsys.readouterr().out
    assert guard.main([*words, "--only", "slow"]) == 0


@pytest.mark.parametrize("what", ["failed", "no report", "no file", "no baseline", "no such form"])
def test_what_cannot_be_judged_is_said(
    what: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, baseline = tmp_path / "bench.json", tmp_path / "baseline.json"
    match what:
        case "failed":
            a_report(failure="the hub ended").keep(report)
        case "no report":
            report.write_text("[]")
        case "no file":
            report.unlink()
        case "no baseline":
            baseline.write_text("{")
        case _:
            baseline.write_text("{}")
    assert guard.main(words) == 2
    assert capsys.readouterr().err


def test_an_update_keeps_what_was_not_measured(words: list[str], tmp_path: Path) -> None:
    Report({"nine_links_beside_a_slow_one": 0.9}, about={"form": "quick"}).keep(tmp_path / "bench.json")
    assert guard.main([*words, "--update"]) == 0
    ratios = guard.read_baseline(tmp_path / "baseline.json")["quick"]["ratios"]
    assert ratios["nine_links_beside_a_slow_one"] == 0.9
    assert ratios["hub_cpu_over_echo"] == 25.0


def test_the_committed_baseline_is_one() -> None:
    for form, found in guard.read_baseline(guard.BASELINE).items():
        assert form.partition("-")[0] in {"quick", "whole"}
        assert all(value > 0 for value in found["ratios"].values())


def test_each_curve_has_a_picture_that_is_small_and_always_the_same(tmp_path: Path) -> None:
    made = draw(a_drawing(), tmp_path / "one")
    assert [path.stem for path in made] == list(PICTURES)
    assert all(1000 < path.stat().st_size < LARGEST_PICTURE for path in made)
    (again,) = draw(a_drawing(), tmp_path / "two", ["links"])
    assert again.read_bytes() == (tmp_path / "one" / "links.png").read_bytes()
    assert draw(Report({}), tmp_path / "three") == []
