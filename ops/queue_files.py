"""The queue as a file: JSON Lines, one message each, or comma-separated values with a head line.

The text is there only where it was asked for. In comma-separated values a text that a spreadsheet would take for a
formula begins with an apostrophe more (OWASP, "CSV injection"): customers write these texts, operators open the file.
JSON Lines has it as it is.

A file is there whole or not at all: it is written beside its place, and takes it at the end. None but its owner may
read it.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from hub.operations import Listed

FORMATS: Final = ("jsonl", "csv")
COLUMNS: Final = Listed.__struct_fields__
_MODE: Final = 0o600
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

_encode = msgspec.json.Encoder().encode


def head_of(form: str, *, with_text: bool) -> bytes:
    """What the file begins with.

    Args:
        form: one of ``FORMATS``.
        with_text: whether there is a column for it.
    """
    if form != "csv":
        return b""
    return _line([*COLUMNS, "text"] if with_text else COLUMNS)


def lines_of(form: str, messages: Sequence[tuple[Listed, str]], *, with_text: bool) -> bytes:
    """Messages as lines.

    Args:
        form: one of ``FORMATS``.
        messages: each with its text.
        with_text: whether the text is told.
    """
    if form == "csv":
        return b"".join(_csv_line(listed, text if with_text else None) for listed, text in messages)
    rows = [msgspec.structs.asdict(listed) | ({"text": text} if with_text else {}) for listed, text in messages]
    return b"".join(_encode(row) + b"\n" for row in rows)


def _csv_line(listed: Listed, text: str | None) -> bytes:
    cells = [str(getattr(listed, name)) for name in COLUMNS]
    if text is not None:
        cells.append(f"'{text}" if text.startswith(_FORMULA) else text)
    return _line(cells)


def _line(cells: Sequence[str]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue().encode(errors="replace")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its place when the body ends without an error, and leaves nothing behind otherwise.

    Args:
        path: its place; what is there is replaced.

    Raises: OSError.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
