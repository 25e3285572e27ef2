"""The tables of threads and of what happened to them.

``thread`` holds every thread, open and closed. That a pair has one open thread at most is the database's to keep: two
nodes that open one at the same moment meet in the partial unique index ``uq_thread_open_pair``. The call centre is part
of it, so that a number that moved from one to another starts clean and neither can touch the other's rows (H13). The
customer comes first, because the hot path looks up by customer alone: a key of one column costs a third to bind, and
SQLite 3.40 scans the table for keys of several columns.

``seen_us`` is a lower bound of ``last_us``, moved only by the sweep for idle threads: the sweep needs an index by age,
and one on ``last_us`` would be rewritten by every message of every thread (and forbid PostgreSQL's heap-only updates).

``thread_event`` is written once and never changed. Its rows lie in the order of their threads, which is how they are
read.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from store import metadata


def _word(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _time(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


# PostgreSQL: how full a page of threads is made. In the rest, the version that notes a text finds room beside the one
# it replaces, and then no index hears of it: 15,000 notes in 400,000 threads dirtied 22,700 pages, and none now beside
# those of the rows.
_ROOM = {"fillfactor": 80}

thread_table = Table(
    "thread",
    metadata,
    # The order of the columns is the order of the fields of `Thread`.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("call_centre", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("token", Text, nullable=False),
    _word("network_endpoint"),
    _time("opened_us"),
    _time("last_us"),
    _time("closed_us"),
    _word("close_reason"),
    _word("opened_because"),
    _word("product"),
    _word("channel"),
    _word("designation_kind"),
    _word("designation_value"),
    _word("desk_label"),
    _time("seen_us"),
    postgresql_with=_ROOM,
)

OPEN = "closed_us = 0"

Index(
    "uq_thread_open_pair",
    thread_table.c.customer,
    thread_table.c.number,
    thread_table.c.call_centre,
    unique=True,
    sqlite_where=text(OPEN),
    postgresql_where=text(OPEN),
)
Index("uq_thread_token", thread_table.c.token, unique=True)
Index(
    "ix_thread_open_seen",
    thread_table.c.call_centre,
    thread_table.c.seen_us,
    sqlite_where=text(OPEN),
    postgresql_where=text(OPEN),
)
# By age. The index below it holds the closed ones too, which retention keeps: the sweep would go through all of them.
Index(
    "ix_thread_open_id",
    thread_table.c.call_centre,
    thread_table.c.id,
    sqlite_where=text(OPEN),
    postgresql_where=text(OPEN),
)
Index("ix_thread_call_centre_id", thread_table.c.call_centre, thread_table.c.id)
Index("ix_thread_customer", thread_table.c.call_centre, thread_table.c.customer, thread_table.c.id)
Index(
    "ix_thread_closed",
    thread_table.c.call_centre,
    thread_table.c.closed_us,
    sqlite_where=text("closed_us > 0"),
    postgresql_where=text("closed_us > 0"),
)

event_table = Table(
    "thread_event",
    metadata,
    # The order of the columns is the order of the fields of `ThreadEvent`; the key's order is the one of its reading.
    Column("id", BigInteger, nullable=False),
    Column("thread_id", BigInteger, nullable=False),
    Column("call_centre", Text, nullable=False),
    _time("at_us"),
    Column("kind", Text, nullable=False),
    _word("by"),
    _word("designation_kind"),
    _word("designation_value"),
    _word("desk_label"),
    _word("product"),
    _word("channel"),
    _word("place"),
    _word("detail"),
    _word("direction"),
    _time("started_us"),
    Column("duration_s", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("thread_id", "id"),
    sqlite_with_rowid=False,
)
