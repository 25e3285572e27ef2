"""How much waits, and for how long: what watches ask of the store now and then.

All of it is read from partial indices, so what has ended costs nothing however much of it is kept. What waits does cost
(a million texts a tenth of a second, in a thread of the store): whoever asks rests in proportion.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import func, select, text

from hub.model import Kind
from hub.tables import IS_DEAD, IS_PENDING, IS_UNTRIED, feed, feed_follower, message
from store import Transaction, id_time_us
from threading_tokens.tables import OPEN, thread_table

_OLDEST: Final = 50  # of an endpoint's that are looked at for when they became due

# In the words of the indices ix_message_pending, ix_message_due, ix_message_dead and ix_thread_open_seen.
_PENDING, _UNTRIED, _DEAD = text(IS_PENDING), text(IS_UNTRIED), text(IS_DEAD)
_OPEN = text(f"thread.{OPEN}")


class Waiting(msgspec.Struct, frozen=True):
    """What waits at one endpoint, of one kind.

    Attributes:
        messages: how many are due, being given, or wait for their next try.
        since_us: when the oldest of these came, or became due; 0 without any.
    """

    messages: int
    since_us: int


class Backlog(msgspec.Struct, frozen=True):
    """A snapshot.

    Attributes:
        waiting: by endpoint and kind.
        scheduled: by endpoint, texts that are to go later by their sender's wish.
        dead: dead letters.
        open_threads: by call centre.
        followers: of the feed; when the oldest row happened that each has not passed, 0 when it has passed all.
    """

    waiting: dict[tuple[str, Kind], Waiting]
    scheduled: dict[str, int]
    dead: int
    open_threads: dict[str, int]
    followers: dict[str, int]


def backlog(tx: Transaction, now_us: int) -> Backlog:
    """Look.

    Args:
        tx: a snapshot for reading.
        now_us: now.
    """
    later = select(message.c.endpoint, func.count()).where(_UNTRIED, message.c.next_us > now_us)
    scheduled = _counts(tx, later.group_by(message.c.endpoint))
    waiting: dict[tuple[str, Kind], Waiting] = {}
    pending = select(message.c.endpoint, message.c.kind, func.count()).where(_PENDING)
    for endpoint, kind, count in tx.sql.execute(pending.group_by(message.c.endpoint, message.c.kind)).all():
        kept = scheduled.get(endpoint, 0) if Kind(kind) is Kind.TEXT else 0
        since_us = _since_us(tx, endpoint, kind, now_us) if kept < count else 0
        waiting[endpoint, Kind(kind)] = Waiting(count - kept, since_us)
    dead = tx.sql.execute(select(func.count()).select_from(message).where(_DEAD)).scalar() or 0
    by_centre = select(thread_table.c.call_centre, func.count()).where(_OPEN).group_by(thread_table.c.call_centre)
    return Backlog(waiting, scheduled, dead, _counts(tx, by_centre), _followers(tx))


def _counts(tx: Transaction, query: Any) -> dict[str, int]:
    return {row[0]: row[1] for row in tx.sql.execute(query).all()}


def _since_us(tx: Transaction, endpoint: str, kind: int, now_us: int) -> int:
    """When the oldest came or became due, by the first few in the order in which they came."""
    is_due = (message.c.attempts > 0) | (message.c.state > 0) | (message.c.next_us <= now_us)
    rows = tx.sql.execute(
        select(message.c.id, message.c.attempts, message.c.next_us)
        .where(_PENDING, message.c.endpoint == endpoint, message.c.kind == kind, is_due)
        .order_by(message.c.id)
        .limit(_OLDEST)
    )
    return min((_waits_since_us(*row) for row in rows), default=0)


def _waits_since_us(message_id: int, attempts: int, next_us: int) -> int:
    came_us = id_time_us(message_id)
    return came_us if attempts else max(came_us, next_us)


def _followers(tx: Transaction) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, position in tx.sql.execute(select(feed_follower.c.name, feed_follower.c.position)).all():
        after = select(feed.c.at_us).where(feed.c.id > position).order_by(feed.c.id).limit(1)
        found[name] = tx.sql.execute(after).scalar() or 0
    return found
