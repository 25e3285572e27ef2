"""What is written, and what is not, before and after the level changes."""

from __future__ import annotations

import io
import json

import structlog

from ops import logs


def test_a_level_that_changes_counts_for_loggers_that_are_in_use() -> None:
    stream = io.StringIO()
    logs.configure("warning", "json", stream)
    log = structlog.get_logger("test")
    log.info("no")
    log.warning("one")
    logs.keep_to("debug")
    log.debug("two")
    logs.keep_to("error")
    log.warning("no")
    log.error("three")
    try:
        raise RuntimeError("a fault")
    except RuntimeError:
        log.exception("four")
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(entry["event"], entry["level"]) for entry in written] == [
        ("one", "warning"),
        ("two", "debug"),
        ("three", "error"),
        ("four", "error"),
    ]


def test_a_line_is_written_at_once() -> None:
    """Another process may write to the same log in between: what it says must not come before the end of the line."""

    class Counting(io.StringIO):
        def write(self, text: str, /) -> int:
            written.append(text)
            return super().write(text)

    written: list[str] = []
    logs.configure("info", "json", Counting())
    structlog.get_logger("test").info("one", of="two")
    [line] = written
    assert line.endswith("\n")
    assert json.loads(line)["event"] == "one"
