"""What the publisher counts, and tells of when somebody asks. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import msgspec

CALLS = "Calls of directories, by what became of them."
SECONDS = "Time that calls of directories took."
BY_STATE = {
    "smshub_publications": "Numbers in directories, by state.",
    "smshub_publication_oldest_seconds": "How long the one that is in this state the longest has been in it.",
    "smshub_publications_overdue": "Publications that wait for a decision for longer than confirm_s.",
    "smshub_publications_uncovered": "Publications that no valid letter of authorization covers any more.",
}
"""Gauges with the labels directory and state."""


class Sample(msgspec.Struct, frozen=True):
    """One value for metrics.

    Attributes:
        name: the metric's.
        kind: ``"gauge"``, ``"counter"`` or ``"summary"``.
        help: what it says.
        labels: names and values.
        value: the value.
    """

    name: str
    kind: str
    help: str
    labels: dict[str, str]
    value: float


class Counted(msgspec.Struct, frozen=True):
    """Publications of one directory and state.

    Attributes:
        directory, state: which; the state's word.
        count: how many.
        oldest_since_us: since when the oldest is in this state.
        uncovered: how many of them no valid letter covers.
        overdue: how many are in it for longer than their directory's ``confirm_s``.
    """

    directory: str
    state: str
    count: int
    oldest_since_us: int
    uncovered: int
    overdue: int


class Tally:
    """What was counted.

    Attributes:
        calls: of directories, by directory, call (a step's word) and result.
        call_seconds: spent in them, by directory and call.
        counted: publications, when they were counted last.
        is_dirty: whether publications have changed since.
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.call_seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.counted: Sequence[Counted] = ()
        self.is_dirty = True

    def samples(self, now_us: int) -> Iterator[Sample]:
        """What metrics tell."""
        for row in self.counted:
            labels = {"directory": row.directory, "state": row.state}
            age_s = max(0.0, (now_us - row.oldest_since_us) / 1e6)
            values = (row.count, age_s, row.overdue, row.uncovered)
            for (name, text), value in zip(BY_STATE.items(), values, strict=True):
                yield Sample(name, "gauge", text, labels, value)
        made: Counter[tuple[str, str]] = Counter()
        for (directory, call, result), count in self.calls.items():
            made[directory, call] += count
            labels = {"directory": directory, "call": call, "result": result}
            yield Sample("smshub_directory_calls_total", "counter", CALLS, labels, count)
        for (directory, call), seconds in self.call_seconds.items():
            labels = {"directory": directory, "call": call}
            yield Sample("smshub_directory_call_seconds_sum", "summary", SECONDS, labels, seconds)
            yield Sample("smshub_directory_call_seconds_count", "summary", SECONDS, labels, made[directory, call])
