"""What ``smshub top`` makes of readings."""

from __future__ import annotations

import pytest

from ops.top.samples import Sample
from ops.top.view import SORTS, Following, chosen, lasting, per_s, sparkline
from ops.top.words import COLUMNS, cells_of, head_of, lines_of

EPOCH_US = 1_767_225_600_000_000  # 2026-01-01
LINK, DESK = "link:acme", "desk:help"


def reading(second: int, *told: tuple[str, float, dict[str, str]], **more: object) -> Sample:
    values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for name, value, labels in (("process_start_time_seconds", EPOCH_US / 1e6 - 60, {}), *told):
        values.setdefault(name, {})[tuple(sorted(labels.items()))] = value
    return Sample(EPOCH_US + second * 1_000_000, values, **more)  # type: ignore[arg-type]


def counters(taken: float, given: float, endpoint: str = LINK) -> tuple[tuple[str, float, dict[str, str]], ...]:
    return (
        ("smshub_accepted_total", taken, {"endpoint": endpoint}),
        ("smshub_handed_over_total", given, {"endpoint": endpoint}),
        ("smshub_endpoint_up", 1, {"endpoint": endpoint}),
    )


def test_rates_are_differences_by_time() -> None:
    following = Following()
    first = following.look(reading(0, *counters(1_000, 500)))
    assert (first.in_per_s, first.rows[0].out_per_s) == (None, None)
    second = following.look(reading(2, *counters(1_300, 501)))
    assert (second.in_per_s, second.out_per_s) == (150, 0.5)
    assert (second.rows[0].in_per_s, second.rows[0].out_per_s, second.rows[0].history) == (150, 0.5, (150.5,))
    assert list(following.totals) == [150.5]


def test_an_endpoint_that_comes_later_begins_at_nothing() -> None:
    following = Following()
    following.look(reading(0, *counters(5, 5)))
    view = following.look(reading(1, *counters(5, 5), *counters(7, 0, DESK)))
    assert [(row.name, row.in_per_s) for row in view.rows] == [(DESK, 7), (LINK, 0)]
    view = following.look(reading(2, *counters(5, 5)))
    assert [row.name for row in view.rows] == [LINK]


@pytest.mark.parametrize("second", [-1, 0])
def test_a_clock_that_does_not_go_on_gives_no_rate(second: int) -> None:
    following = Following()
    following.look(reading(0, *counters(5, 5)))
    assert following.look(reading(second, *counters(9, 9))).in_per_s is None


def test_a_daemon_that_was_started_again_has_no_rate_yet() -> None:
    following = Following()
    following.look(reading(0, *counters(900, 900)))
    again = reading(1, *counters(3, 3), ("process_start_time_seconds", EPOCH_US / 1e6, {}))
    assert following.look(again).in_per_s is None
    assert following.look(reading(2, *counters(4, 3), ("process_start_time_seconds", EPOCH_US / 1e6, {}))).in_per_s == 1


def test_a_page_without_most_metrics_still_shows_what_is_there() -> None:
    view = Following().look(Sample(EPOCH_US, {"smshub_held_messages": {(("endpoint", LINK),): 3.0}}))
    assert [(row.name, row.held, row.state, row.bound) for row in view.rows] == [(LINK, 3, "", "")]
    assert (view.alarms, view.version, view.uptime_s) == ((), "", 0.0)
    assert "ready: not known" in head_of(view, "here")[0]


ALARMS = {
    "the store does not answer": ("smshub_store_up", 0, {}),
    "link:acme is down": ("smshub_endpoint_up", 0, {"endpoint": LINK}),
    "link:acme: the oldest has waited for 16m 40s": ("smshub_queue_oldest_seconds", 1_000, {"endpoint": LINK}),
    "the journal is behind: many rows are pending": ("smshub_store_pending_rows", 10_001, {}),
    "the last reload was refused or failed": ("smshub_reload_successful", 0, {}),
    "letter acme-2026 expires in 3 days": ("smshub_loa_days_left", 3, {"loa": "acme-2026", "call_centre": "acme"}),
    "letter acme-2025 has expired": ("smshub_loa_days_left", -1, {"loa": "acme-2025", "call_centre": "acme"}),
    "published numbers that no valid letter covers": ("smshub_publications_uncovered", 1, {"directory": "d"}),
    "dead nodes: 2; `smshub node list` says which": ("smshub_nodes", 2, {"state": "dead"}),
    "no node does what is done once for all: `smshub node list`": ("smshub_outbox_oldest_seconds", 61, {}),
    "it is stopping": ("smshub_draining", 1, {}),
    "the catalog in force is not the one in the store (yet)": ("smshub_catalog_stored_revision", 7, {}),
}


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarms(alarm: str) -> None:
    assert Following().look(reading(0, ALARMS[alarm])).alarms == (alarm,)


def test_a_late_sign_of_life_is_an_alarm_by_the_lease() -> None:
    lease = ("smshub_node_lease_seconds", 10, {})
    assert Following().look(reading(0, lease, ("smshub_node_sign_age_seconds", 5, {}))).alarms == ()
    assert Following().look(reading(0, lease, ("smshub_node_sign_age_seconds", 6, {}))).alarms == (
        "this node gave its last sign of life 6s ago, of a lease of 10s",
    )


def test_what_is_no_alarm() -> None:
    quiet = (
        ("smshub_store_up", 1, {}),
        ("smshub_endpoint_up", 0, {"endpoint": "account:agg"}),
        ("smshub_queue_oldest_seconds", 9_000, {"endpoint": "account:agg"}),
        ("smshub_queue_oldest_seconds", 900, {"endpoint": LINK}),
        ("smshub_nodes", 2, {"state": "up"}),
        ("smshub_nodes", 1, {"state": "left"}),
        ("smshub_nodes", 0, {"state": "dead"}),
        ("smshub_outbox_oldest_seconds", 60, {}),
        ("smshub_reload_successful", 1, {}),
        ("smshub_loa_days_left", 14, {"loa": "l"}),
        ("smshub_disk_size_bytes", 100, {"what": "store"}),
        ("smshub_disk_free_bytes", 10, {"what": "store"}),
    )
    assert Following().look(reading(0, *quiet, missing=())).alarms == ()


def test_alarms_have_an_order_and_dead_letters_are_news_once() -> None:
    dead = ("smshub_dead_letters_total", 5, {"endpoint": LINK, "reason": "expired"})
    following = Following()
    assert following.look(reading(0, dead)).alarms == ()
    more = ("smshub_dead_letters_total", 7, {"endpoint": LINK, "reason": "expired"})
    down = ("smshub_endpoint_up", 0, {"endpoint": DESK})
    disk = (("smshub_disk_size_bytes", 100, {"what": "store"}), ("smshub_disk_free_bytes", 9, {"what": "store"}))
    view = following.look(reading(1, more, down, *disk, missing=("accepting",)))
    assert view.alarms == (
        "not ready: accepting",
        "desk:help is down",
        "2 new dead letters",
        "disk of store: 9% free",
    )
    assert [(row.reason, row.count, row.fresh) for row in view.dead_letters] == [("expired", 7, 2)]
    assert following.look(reading(2, more)).alarms == ()


def test_rows_are_chosen_and_sorted() -> None:
    told = [
        (name, value, {"endpoint": endpoint})
        for endpoint, age in (("link:a", 5), ("link:b", 50), ("desk:b", 7))
        for name, value in (("smshub_endpoint_up", 1.0), ("smshub_queue_oldest_seconds", age))
    ]
    rows = Following().look(reading(0, *told)).rows
    assert [row.name for row in chosen(rows, "", "name")] == ["desk:b", "link:a", "link:b"]
    assert [row.name for row in chosen(rows, "", "oldest")] == ["link:b", "desk:b", "link:a"]
    assert [row.name for row in chosen(rows, "LINK", "waiting")] == ["link:a", "link:b"]
    assert [len(chosen(rows, "", sort)) for sort in SORTS] == [3] * len(SORTS)


def test_words() -> None:
    assert [lasting(s) for s in (0, 0.9, 59, 60, 3_725, 90_000, -5)] == [
        "0s",
        "0s",
        "59s",
        "1m",
        "1h 2m",
        "1d 1h",
        "0s",
    ]
    assert [per_s(v) for v in (None, 0.0, 0.25, 9.99, 10.0, 24_000.4)] == ["-", "0", "0.2", "10.0", "10", "24,000"]
    assert sparkline([0, 0], 5) == ""
    assert sparkline([9, 1, 4, 8, 0], 4) == "▁▄█ "
    assert sparkline([1], 3) == "  █"


def test_what_a_peer_named_does_not_reach_the_terminal() -> None:
    bad = ("smshub_endpoint_up", 0, {"endpoint": "link:\x1b[2J"})
    view = Following().look(reading(0, bad, missing=("\x07",)))
    everything = "\n".join([*lines_of(view, view.rows, "here"), *cells_of(view.rows[0])])
    assert "\x1b" not in everything
    assert "\x07" not in everything


def test_lines_for_scripts() -> None:
    following = Following()
    facts = (
        ("smshub_build_info", 1, {"version": "1.2.3"}),
        ("smshub_queue_messages", 1_200, {"endpoint": LINK, "kind": "text"}),
        ("smshub_queue_messages", 34, {"endpoint": LINK, "kind": "receipt"}),
        ("smshub_queue_oldest_seconds", 100, {"endpoint": LINK, "kind": "text"}),
        ("smshub_sessions", 1, {"endpoint": LINK, "bind": "transceiver"}),
        ("smshub_sessions_wanted", 2, {"endpoint": LINK}),
        ("smshub_rate_limit_parts_per_second", 50, {"endpoint": LINK}),
        ("smshub_dead_letters_total", 3, {"endpoint": LINK, "reason": "expired"}),
        ("smshub_dead_letter_messages", 3, {}),
        ("smshub_desk_reach", 0, {"endpoint": DESK, "state": "there"}),
        ("smshub_desk_reach", 1, {"endpoint": DESK, "state": "gone"}),
        ("smshub_endpoint_up", 1, {"endpoint": DESK}),
        ("smshub_store_answer_seconds", 0.0021, {}),
    )
    following.look(reading(0, *facts, *counters(0, 0)))
    view = following.look(reading(1, *facts, *counters(20, 5), missing=()))
    assert lines_of(view, view.rows, "node 7") == [
        "smshub 1.2.3  node 7  up 1m 1s  ready  00:00:01 UTC",
        "in 20/s  out 5.0/s  waiting 1,234  dead letters 3",
        "store: answers in 2.1 ms, 0 rows/s, busy 0%, 0 rows pending, longest commit 0 ms",
        "",
        "endpoint   state  bound  in/s  out/s  waiting  oldest  held  room  limit/s  throttled  dead",
        "desk:help  gone             0      0        0             0     0                   0     0",
        "link:acme  up     1/2      20    5.0    1,234  1m 40s     0     0       50          0     3",
    ]
    assert len(cells_of(view.rows[0])) == len(COLUMNS)
