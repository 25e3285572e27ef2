"""Every metric and every command is documented, and nothing that does not exist is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops import metrics_table
from ops.cli_reference import reference
from ops.metrics_table import COUNTER, METRICS, SUMMARY, MetricRow

ROOT = Path(__file__).parents[2]
UNITS = ("_seconds", "_bytes", "_total", "_info")
LABELS = {
    *("endpoint", "reason", "filter", "fault", "link", "result", "bind", "event", "detail", "state", "kind", "what"),
    *("call_centre", "loa", "directory", "call", "outcome", "operation", "status", "follower", "version"),
}
"""Each ends: a configured name, or a word out of a list. Who adds one says here that it does."""


def test_the_reference_of_the_command_is_current() -> None:
    assert (ROOT / "docs/reference/cli.md").read_text() == reference(), "run: python -m ops.cli_reference"


def test_the_reference_of_the_metrics_is_current() -> None:
    """That the table is what a scrape has, tests/integration/test_metrics.py sees."""
    page = (ROOT / "docs/reference/metrics.md").read_text()
    assert page == metrics_table.reference(), "run: python -m ops.metrics_table"


@pytest.mark.parametrize("row", METRICS.values(), ids=lambda row: row.name)
def test_a_metric_is_named_as_is_usual_and_its_labels_are_bounded(row: MetricRow) -> None:
    assert re.fullmatch(r"smshub_[a-z]+(_[a-z]+)*", row.name)
    assert (row.kind == COUNTER) == row.name.endswith("_total")
    assert set(row.labels) <= LABELS
    assert not row.name.endswith(("_count", "_sum", "_ms", "_us")), "these mean something else, or no base unit"
    assert row.kind != SUMMARY or row.name.endswith(UNITS)
    assert "`" not in row.help
    assert "](" not in row.help
