"""The tables of what is kept how long.

``retention_cursor`` says how far each pass over the messages has come. ``retention_later`` names messages that a pass
met before they had ended. ``archive_object`` is the index of the archive: a row is there before its object is, so that
whoever dies in between makes the same object again.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, SmallInteger, String, Table, Text

from store import metadata

_ID = BigInteger().with_variant(Integer, "sqlite")

retention_cursor = Table(
    "retention_cursor",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("word", Text, nullable=False),
)

retention_later = Table(
    "retention_later",
    metadata,
    Column("message_id", _ID, primary_key=True, autoincrement=False),
    Column("look_us", BigInteger, nullable=False),
    Index("ix_retention_later_look_us", "look_us"),
)

archive_object = Table(
    "archive_object",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("call_centre", String(64), nullable=False),
    Column("day", String(10), nullable=False),  # on which the messages were received, UTC
    Column("is_stored", SmallInteger, nullable=False),  # 0: planned, the object may be there or not
    Column("ids", Text, nullable=False),  # JSON of the planned messages' ids; empty once it is stored
    Column("messages", Integer, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("generation", Integer, nullable=False),  # how often it was written anew, without a person
    Column("superseded", Text, nullable=False),  # the object that this one replaces and that must still be removed
    Index("ix_archive_object_day", "call_centre", "day"),
)
