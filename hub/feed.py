"""The feed: what happened, for the services that follow.

An event is written in the transaction of the change it tells of, so there is never one without the other. One row holds
the events of one batch. The database numbers the rows as they are written: a number that was drawn before the write
could be committed after a higher one, and a follower in between would have passed it by. A follower keeps the number of
the last row it has worked off in ``feed_follower``, moved in the transaction of its own effects: it sees each event
once in effect, whatever dies when.

Where several nodes write, the same holds between their transactions: what one of them drew first another may commit
first. There they write into the outbox, and one of them, which holds the lease of the services, numbers what is there
into the feed (``number``): an event that was on disk before another began stands before it.

An event is a list: its word, then ids. Who needs more joins ``message`` or ``thread`` by id.

========================  ==================================================
``["message", id]``       a message was accepted
``["handed-over", id]``   the next system has answered for all its parts
``["delivered", id]``     a receipt says that it arrived
``["undeliverable", id]`` a receipt says that it will not arrive
``["dead", id, reason]``  the hub gave it up: a dead letter, or cancelled by its sender
``["replaced", id]``      its sender gave it another text, before anything of it was sent
``["thread", id, news]``  a thread changed: opened, designated, transferred, released, expired, channel, call
``["opted-out", id]``     a customer wants no texts from a number: a line of ``opt_out_audit``
``["opted-in", id]``      they want them again: likewise
========================  ==================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import delete, func, select, update

from hub.tables import feed, feed_follower
from hub.tables import outbox as outbox_table
from store import Insert, Op, Store, Transaction

Event = Sequence[str | int]
NUMBERED = 500  # rows numbered in one transaction

_insert = Insert(feed, ("at_us", "events"))
_insert_outbox = Insert(outbox_table, ("at_us", "events"))


class _Row(msgspec.Struct, frozen=True):
    """The JSON of one row.

    Attributes:
        v: version of the form.
        e: the events.
    """

    v: int
    e: list[list[str | int]]


def outbox(store: Store, at_us: int, events: Sequence[Event]) -> Op:
    """The write that publishes events; goes into the transaction of the change itself.

    Args:
        store: which it is for.
        at_us: when they happened.
        events: what happened.
    """
    statement = _insert_outbox if store.is_shared else _insert
    return Op(statement, [(at_us, msgspec.json.encode({"v": 1, "e": events}).decode())])


def has_unnumbered(tx: Transaction) -> bool:
    """Whether something waits to be numbered."""
    return tx.sql.execute(select(outbox_table.c.id).limit(1)).first() is not None


def number(tx: Transaction, limit: int = NUMBERED) -> int:
    """Number what nodes have written, the oldest first. One process at a time may. Returns: how many rows."""
    c = outbox_table.c
    rows = tx.sql.execute(select(c.id, c.at_us, c.events).order_by(c.id).limit(limit)).all()
    if rows:
        tx.write(Op(_insert, [(row[1], row[2]) for row in rows]))
        tx.sql.execute(delete(outbox_table).where(c.id.in_([row[0] for row in rows])))
    return len(rows)


def follow(tx: Transaction, name: str, limit: int = 100) -> tuple[int, list[list[str | int]]]:
    """The next events of a follower.

    Args:
        tx: a transaction.
        name: the follower.
        limit: how many rows (batches of events) at most.

    Returns: the position to give to ``advance`` once they are worked off, and the events; both as they were, and empty,
        when there is nothing new.
    """
    position = tx.sql.execute(select(feed_follower.c.position).where(feed_follower.c.name == name)).scalar() or 0
    rows = tx.sql.execute(
        select(feed.c.id, feed.c.events).where(feed.c.id > position).order_by(feed.c.id).limit(limit)
    ).all()
    events: list[list[str | int]] = []
    for row_id, body in rows:
        events.extend(msgspec.json.decode(body, type=_Row).e)
        position = row_id
    return position, events


class FeedRow(msgspec.Struct, frozen=True, gc=False):
    """The events of one batch.

    Attributes:
        id: its number in the feed.
        at_us: when they happened.
        events: the events.
    """

    id: int
    at_us: int
    events: list[list[str | int]]


def rows_after(tx: Transaction, position: int, limit: int, until: int | None = None) -> list[FeedRow]:
    """The rows behind a position, in order, for a follower that works off a range of them.

    Args:
        tx: a transaction.
        position: the row before the first.
        limit: at most so many.
        until: none behind this one.
    """
    wanted = select(feed.c.id, feed.c.at_us, feed.c.events).where(feed.c.id > position).order_by(feed.c.id).limit(limit)
    if until is not None:
        wanted = wanted.where(feed.c.id <= until)
    rows = tx.sql.execute(wanted).all()
    return [FeedRow(row_id, at_us, msgspec.json.decode(body, type=_Row).e) for row_id, at_us, body in rows]


def position_of(tx: Transaction, name: str) -> int | None:
    """Where a follower is, None when it is none."""
    return tx.sql.execute(select(feed_follower.c.position).where(feed_follower.c.name == name)).scalar()


def last(tx: Transaction) -> int:
    """The last row that there is, 0 when there is none."""
    return tx.sql.execute(select(func.max(feed.c.id))).scalar() or 0


def begin(tx: Transaction, name: str) -> int:
    """Where a follower is; one that is new begins behind all that there is."""
    position = position_of(tx, name)
    if position is None:
        position = last(tx)
        tx.sql.execute(feed_follower.insert().values(name=name, position=position))
    return position


def forget(tx: Transaction, name: str) -> bool:
    """Let a follower be none any more: rows are kept for it no longer. Returns: whether it was one."""
    return tx.sql.execute(feed_follower.delete().where(feed_follower.c.name == name)).rowcount > 0


def advance(tx: Transaction, name: str, position: int) -> None:
    """Remember how far a follower is. Call it in the transaction of what the events led to."""
    moved = tx.sql.execute(update(feed_follower).where(feed_follower.c.name == name).values(position=position))
    if moved.rowcount == 0:
        tx.sql.execute(feed_follower.insert().values(name=name, position=position))
