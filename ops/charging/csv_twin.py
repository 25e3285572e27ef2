"""The CSV twin of a file of charging records: the same records, one a line, for people and spreadsheets. Pure.

RFC 4180: a header, CRLF, quotes where they are needed. Times are ISO 8601 in UTC; what a record has not is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from ops.charging.records import Record

COLUMNS: Final = (
    "sequence",
    "record",
    "message_type",
    "node",
    "message_id",
    "submitted",
    "event",
    "originator",
    "originator_interface",
    "recipient",
    "recipient_interface",
    "size_octets",
    "parts",
    "report_requested",
    "data_coding",
    "status",
    "discharged",
    "result",
    "reason",
    "call_centre",
    "element",
    "remote_element",
    "thread_id",
)
"""In the order of ``Record``'s attributes."""


@lru_cache(maxsize=4096)
def shown_time(at_s: int) -> str:
    """A time as it is written, ``2026-11-22T06:40:00Z``; empty for 0."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at_s else ""


def head() -> bytes:
    """The first line."""
    return (",".join(COLUMNS) + "\r\n").encode()


def lines(records: Sequence[Record]) -> bytes:
    """The lines of these records."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([row_of(record) for record in records])
    return out.getvalue().encode()


def row_of(record: Record) -> tuple[str | int, ...]:
    """What one line says, in the order of ``COLUMNS``."""
    return (
        record.sequence,
        record.record.value,
        record.message_type.value,
        record.node,
        record.message_id,
        shown_time(record.submitted_s),
        shown_time(record.event_s),
        record.originator,
        record.originator_interface,
        record.recipient,
        record.recipient_interface,
        record.size_octets,
        record.parts or "",
        int(record.report_requested),
        record.data_coding,
        record.status if record.status >= 0 else "",
        shown_time(record.discharged_s),
        record.result or "",
        record.reason,
        record.call_centre,
        record.element,
        record.remote_element,
        record.thread_id or "",
    )
