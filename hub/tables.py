"""The journal's tables.

``message`` is at once the record of a message, its place in the queue, and its state: there is no second queue to keep
in step. ``arrived_part`` holds parts of texts that are not complete yet (and, afterwards, which upstream ids a text
has). ``carrier_part`` maps a carrier's ids to parts whose receipts are awaited. ``parked_receipt`` holds receipts that
overtook the answer they belong to. ``feed`` is the outbox that services follow. ``operator_request`` is how the command
line asks a running daemon for something. ``opt_out`` is the ledger of customers who want no texts from a number,
``opt_out_audit`` who changed it. ``account_day`` counts what an account has sent in a day.

Several nodes on one PostgreSQL (hub/cluster.py) share five more: ``node`` and ``lease`` say who is there and whose an
endpoint's lanes are; a ``bell`` tells the holder of an endpoint what another node has journalled for it; ``outbox``
holds what is to be numbered into the feed; an ``errand`` is what one node asks of another.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, SmallInteger, String, Table, Text, text

from store import metadata

# The conditions of the indexes over ``message``. None names ``state``: PostgreSQL enters a new version of a row in all
# indexes when a column has changed that any of them names, be it in its condition, and a claim changes the state alone.
_PENDING: Final = "done_us = 0"
_UNTRIED: Final = "done_us = 0 AND attempts = 0 AND next_us > 0"
_DEAD: Final = "next_us < 0"

# What a query says to be served by these indexes, to the letter: with parameters, SQLite would not see that they serve.
# The state is asked too, should somebody have changed it by hand, and as an expression: PostgreSQL would multiply how
# rare either condition is, hold what is pending for next to nothing, and read any small index that has all of it.
IS_PENDING: Final = f"message.{_PENDING} AND message.state + 0 < 2"
IS_UNTRIED: Final = "message.done_us = 0 AND message.state = 0 AND message.attempts = 0 AND message.next_us > 0"
IS_DEAD: Final = f"message.{_DEAD} AND message.state = 5"

NEVER_US: Final = -1  # ``next_us`` of a dead letter

# PostgreSQL: how full a page of messages is made. In the rest, a claim finds room beside what it replaces, and then no
# index hears of it. And the share of rows that may be remains of old versions before they are swept out: each that
# is left in an index costs the first scan after a start 2 µs. Measured: docs/discussion/store-batching.md.
_ROOM: Final = {"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0.03}

message = Table(
    "message",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("origin", String(80), nullable=False),
    Column("endpoint", String(80), nullable=False),
    Column("source", String(64), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("call_centre", String(64), nullable=False),
    Column("thread_id", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("next_us", BigInteger, nullable=False),  # not before this time; NEVER_US in dead letters, and in no others
    Column("done_us", BigInteger, nullable=False),  # 0 as long as it is pending, and no longer
    Column("next_part", SmallInteger, nullable=False),  # parts that the next system has answered for
    Column("attempts", SmallInteger, nullable=False),
    Column("in_doubt", SmallInteger, nullable=False),  # times that a part was submitted and its answer lost
    Column("receipt_wanted", SmallInteger, nullable=False),
    Column("receipts_settled", SmallInteger, nullable=False),  # parts whose final receipt has come
    Column("receipts_failed", SmallInteger, nullable=False),  # how many of these say that it will not arrive
    Column("reason", String(80), nullable=False),
    Column("body", Text, nullable=False),  # versioned JSON: see hub/journal.py
    Index(
        "ix_message_pending",
        "endpoint",
        "kind",
        "id",
        sqlite_where=text(_PENDING),
        postgresql_where=text(_PENDING),
    ),
    Index(
        "ix_message_due",
        "endpoint",
        "next_us",
        "id",
        sqlite_where=text(_UNTRIED),
        postgresql_where=text(_UNTRIED),
    ),
    Index(
        "ix_message_expiry",
        "expires_us",
        "id",
        sqlite_where=text(_PENDING),
        postgresql_where=text(_PENDING),
    ),
    Index("ix_message_lane", "destination", "id", sqlite_where=text(_PENDING), postgresql_where=text(_PENDING)),
    Index(
        "ix_message_thread",
        "thread_id",
        "id",
        sqlite_where=text("thread_id > 0"),
        postgresql_where=text("thread_id > 0"),
    ),
    Index("ix_message_dead", "id", sqlite_where=text(_DEAD), postgresql_where=text(_DEAD)),
    postgresql_with=_ROOM,
)

arrived_part = Table(
    "arrived_part",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, nullable=False),  # 0 while its text is incomplete
    Column("origin", String(80), nullable=False),
    Column("source", String(64), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("reference", Integer, nullable=False),
    Column("total", SmallInteger, nullable=False),
    Column("number", SmallInteger, nullable=False),
    Column("deadline_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),  # the arrival, versioned JSON
    Index(
        "ix_arrived_part_waiting",
        "source",
        "destination",
        "reference",
        sqlite_where=text("message_id = 0"),
        postgresql_where=text("message_id = 0"),
    ),
    Index(
        "ix_arrived_part_message",
        "message_id",
        sqlite_where=text("message_id > 0"),
        postgresql_where=text("message_id > 0"),
    ),
)

carrier_part = Table(
    "carrier_part",
    metadata,
    Column("endpoint", String(80), primary_key=True),
    Column("carrier_id", String(80), primary_key=True),
    Column("message_id", BigInteger, primary_key=True),
    Column("part", SmallInteger, primary_key=True),
    Column("state", String(8), nullable=False),  # "" while the receipt is awaited, then the receipt's word
    Index("ix_carrier_part_message", "message_id"),  # rises with time, so a row more costs little
    sqlite_with_rowid=False,
)

parked_receipt = Table(
    "parked_receipt",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("endpoint", String(80), nullable=False),
    Column("carrier_id", String(80), nullable=False),
    Column("parked_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),  # the receipt, versioned JSON
    Index("ix_parked_receipt_carrier_id", "endpoint", "carrier_id"),
)

feed = Table(
    "feed",
    metadata,
    # Numbered by the database, as rows are written; never again after a row was removed.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_us", BigInteger, nullable=False),
    Column("events", Text, nullable=False),  # versioned JSON: see hub/feed.py
    sqlite_autoincrement=True,
)

feed_follower = Table(
    "feed_follower",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False),
)

operator_request = Table(
    "operator_request",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("verb", String(16), nullable=False),
    Column("message_id", BigInteger, nullable=False),
    Column("who", String(80), nullable=False),
    Column("at_us", BigInteger, nullable=False),
)

opt_out = Table(
    "opt_out",
    metadata,
    # The sender's: what the customer texted STOP to; "*" and a call centre's name for all of its numbers.
    Column("number", String(64), primary_key=True),
    Column("customer", String(64), primary_key=True),
    Column("is_out", SmallInteger, nullable=False),  # 0 once the customer is in again
    Column("since_us", BigInteger, nullable=False),
    Column("how", String(16), nullable=False),  # keyword, desk, operator, import
    Column("who", String(80), nullable=False),
    Column("word", String(32), nullable=False),  # the key word, never the text
    Index("ix_opt_out_customer", "customer"),
    Index("ix_opt_out_number", "number", sqlite_where=text("is_out = 1"), postgresql_where=text("is_out = 1")),
    sqlite_with_rowid=False,
)

opt_out_audit = Table(
    "opt_out_audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_us", BigInteger, nullable=False),
    Column("number", String(64), nullable=False),
    Column("customer", String(64), nullable=False),
    Column("action", String(16), nullable=False),  # out, in, override
    Column("how", String(16), nullable=False),
    Column("who", String(80), nullable=False),
    Column("word", String(32), nullable=False),
    Column("reason", String(200), nullable=False),  # what an operator wrote
    Column("message_id", BigInteger, nullable=False),  # the text that did it, 0 when none did
    Index("ix_opt_out_audit_customer", "customer", "number", "id"),
    sqlite_autoincrement=True,
)

node = Table(
    "node",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),  # the fencing number: who has an older one writes nothing any more
    Column("beat", BigInteger, nullable=False),  # rises for as long as the node lives
    Column("state", String(8), nullable=False),  # up, left, dead; gone when it was forgotten
    Column("instance", String(40), nullable=False),  # of the process: two with one id are told apart by it
    Column("host", String(80), nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),  # by its own clock, for people
    Column("newest_id", BigInteger, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("endpoint", String(80), primary_key=True),
    Column("node", SmallInteger, nullable=False),
    Column("wanted_by", SmallInteger, nullable=False),  # another node, whose the sessions are; -1 for none
    Column("since_us", BigInteger, nullable=False),
)

bell = Table(
    "bell",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("endpoint", String(80), nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("first_id", BigInteger, nullable=False),  # of messages that were journalled in one transaction
    Column("last_id", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_us", BigInteger, nullable=False),
    Column("events", Text, nullable=False),  # as in the feed
    sqlite_autoincrement=True,
)

errand = Table(
    "errand",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("node", SmallInteger, nullable=False),  # who asks
    Column("endpoint", String(80), nullable=False),  # whose holder is asked
    Column("verb", String(16), nullable=False),
    Column("body", Text, nullable=False),  # versioned JSON: see hub/errands.py
    Column("answer", Text, nullable=False),  # empty until there is one
)

account_day = Table(
    "account_day",
    metadata,
    Column("account", String(80), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # days since 1970-01-01, UTC
    Column("taken", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
