"""Objects as Parquet, for whoever analyses an archive by columns. Needs pyarrow: the extra ``smshub[parquet]``.

One row for each message; the columns are the fields of ``hub.keeping_record.Record``, the thread's with ``thread_``
before them. Times are timestamps in UTC, ``attributes`` and ``receipt`` JSON. The octets depend on the messages and on
pyarrow's version.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from hub.keeping import ArchiveError
from hub.keeping_record import VERSION, Conversation, Record
from hub.model import NO_ATTRIBUTES, Receipt
from ops.archive.lines import BadObject

SUFFIX = ".parquet"
_THREAD = "thread_"
_TIMES = ("received", "done", "thread_opened_us", "thread_closed_us")
_NUMBERS = ("v", "id", "thread_id")
_JSON = ("receipt", "attributes")
_COLUMNS = (
    *(name for name in Record.__struct_fields__ if name != "thread"),
    *(_THREAD + name for name in Conversation.__struct_fields__),
)
_encode = msgspec.json.Encoder().encode


class ParquetForm:
    """See ``ops.archive.archive.Form``.

    Raises: ArchiveError: pyarrow is not installed.
    """

    suffix = SUFFIX

    def __init__(self) -> None:
        try:
            self._arrow: Any = importlib.import_module("pyarrow")
            self._parquet: Any = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise ArchiveError("an archive in Parquet needs pyarrow: install smshub[parquet]") from None
        arrow = self._arrow
        self._schema = arrow.schema([(name, self._type_of(name)) for name in _COLUMNS])

    def _type_of(self, name: str) -> Any:
        arrow = self._arrow
        if name in _TIMES:
            return arrow.timestamp("us", tz="UTC")
        if name in _NUMBERS:
            return arrow.int64()
        return arrow.binary() if name == "data" else arrow.string()

    def pack(self, records: Sequence[Record]) -> bytes:
        """See ``Form``."""
        rows = [_row(record) for record in records]
        table = self._arrow.Table.from_pydict(
            {name: [row[at] for row in rows] for at, name in enumerate(_COLUMNS)}, schema=self._schema
        )
        sink = io.BytesIO()
        self._parquet.write_table(table, sink, compression="zstd")
        return sink.getvalue()

    def unpack(self, octets: bytes) -> list[Record]:
        """See ``Form``."""
        try:
            table = self._parquet.read_table(io.BytesIO(octets))
            columns = [table.column(name) for name in _COLUMNS]
            values = [
                column.cast(self._arrow.int64()).to_pylist() if name in _TIMES else column.to_pylist()
                for name, column in zip(_COLUMNS, columns, strict=True)
            ]
            records = [_record(dict(zip(_COLUMNS, row, strict=True))) for row in zip(*values, strict=True)]
        except (self._arrow.ArrowException, OSError, KeyError, ValueError, TypeError, msgspec.DecodeError):
            raise BadObject("it is not whole Parquet") from None
        newer = next((record.v for record in records if record.v > VERSION), 0)
        if newer:
            raise BadObject(f"it has version {newer}, this program knows {VERSION}")
        return records


def _row(record: Record) -> list[Any]:
    own: list[Any] = []
    for name in _COLUMNS:
        if name.startswith(_THREAD):
            thread = record.thread
            own.append(getattr(thread, name.removeprefix(_THREAD)) if thread is not None else None)
        elif name in _JSON:
            value = getattr(record, name)
            own.append(_encode(value).decode() if value else None)
        else:
            own.append(getattr(record, name))
    return own


def _record(row: dict[str, Any]) -> Record:
    told = {name: value for name, value in row.items() if not name.startswith(_THREAD)}
    told["receipt"] = msgspec.json.decode(told["receipt"], type=Receipt) if told["receipt"] else None
    attributes = told["attributes"]
    told["attributes"] = msgspec.json.decode(attributes, type=dict[str, str]) if attributes else NO_ATTRIBUTES
    if row["thread_id"] is not None:
        told["thread"] = Conversation(**{name: row[_THREAD + name] for name in Conversation.__struct_fields__})
    return msgspec.convert(told, Record)
