"""What a store transaction does for retention: reads what may be due, removes what is, remembers how far it came.

A message goes with all that hangs on it: its parts as they arrived, its carriers' ids, and its thread when that is
closed and has no other message. Rows that are pending are never removed, whatever the caller asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import delete, exists, select, text, update

from hub import feed as feed_of
from hub import journal
from hub.keeping_record import CONVERSATION_COLUMNS, Conversation, conversation_of, subject_of
from hub.keeping_rules import Holds, Rulebook, Subject
from hub.keeping_tables import archive_object, retention_cursor, retention_later
from hub.opt_out_follower import ENDED, SEEN
from hub.tables import account_day, arrived_part, carrier_part, feed, feed_follower, message
from provisioning import catalog
from provisioning.keeping import LegalHold, Retention
from provisioning.tables import revision_table
from store import Delete, Op, SelectByKeys, Transaction, Upsert
from threading_tokens.tables import event_table, thread_table

REMOVE_PAGE = 500  # messages in one transaction: intake waits for it
LEASE = "lease"
WANTED = "feed wanted"  # the cursor that says how far followers shall work the feed off now, however little it is
SEEN_MARGIN_US = 60_000_000  # between a change of a message and the time its event was given

_select_threads = SelectByKeys(thread_table, CONVERSATION_COLUMNS, key="id")
_select_pending = SelectByKeys(message, ("id",), key="id", where="state < 2")
_select_thread_ids = SelectByKeys(message, ("id", "thread_id"), key="id")
_delete_messages = Delete(message, "id", where="state > 1")
_delete_carrier_parts = Delete(carrier_part, "message_id")
_delete_arrived_parts = Delete(arrived_part, "message_id", where="message_id > 0")
_delete_later = Delete(retention_later, "message_id")
_put_later = Upsert(retention_later, ("message_id", "look_us"), conflict="message_id", update=("look_us",))
_put_cursor = Upsert(retention_cursor, ("name", "position", "word"), conflict="name", update=("position", "word"))
_first_cursor = Upsert(retention_cursor, ("name", "position", "word"), conflict="name", update="nothing")


class Changed(Exception):
    """The catalog has changed since the rules were read: nothing was removed by what may not be so any more."""


class Found(msgspec.Struct, frozen=True):
    """A message as rules see it, and what it was read from.

    Attributes:
        subject: what rules ask of it.
        row: in the order of ``journal.MESSAGE_COLUMNS``.
        thread: its thread, or None.
    """

    subject: Subject
    row: Sequence[Any]
    thread: Conversation | None


class Removed(msgspec.Struct, frozen=True):
    """What a removal took away.

    Attributes:
        messages, threads: how many.
    """

    messages: int
    threads: int


def rulebook(tx: Transaction) -> tuple[int, Rulebook]:
    """The rules and holds in force, and the catalog's revision that they are of."""
    return catalog.revision(tx), Rulebook(catalog.entries(tx, Retention), catalog.entries(tx, LegalHold))


def guard(tx: Transaction, revision: int) -> None:
    """Let nobody change the catalog until this transaction ends: a hold that is added is obeyed from then on.

    Who is changing it at this moment is not waited for: the message path would wait too.

    Raises: Changed: it was changed already, or is being changed.
    """
    row = select(revision_table.c.revision).with_for_update(read=True, skip_locked=True)
    now = tx.sql.execute(row).scalar() or 0
    if now != revision:
        raise Changed


def take_lease(tx: Transaction, holder: str, now_us: int, until_us: int) -> bool:
    """Be the one who removes and archives, until a time. Returns: False while another is.

    A lease that ends later than one that began now was taken by a clock that was ahead: it would keep everybody off
    until then.
    """
    tx.write(Op(_first_cursor, [(LEASE, 0, "")]))
    c = retention_cursor.c
    longest_us = until_us - now_us
    free = sqlalchemy.or_(c.position < now_us, c.word == holder, c.position > until_us + longest_us)
    taken = tx.sql.execute(update(retention_cursor).where(c.name == LEASE, free).values(position=until_us, word=holder))
    return bool(taken.rowcount)


def end_lease(tx: Transaction, holder: str) -> None:
    """Let another be it."""
    c = retention_cursor.c
    tx.sql.execute(update(retention_cursor).where(c.name == LEASE, c.word == holder).values(position=0, word=""))


def cursor(tx: Transaction, name: str, word: str = "") -> int:
    """How far a pass has come; 0 when it began under another word."""
    c = retention_cursor.c
    row = tx.sql.execute(select(c.position, c.word).where(c.name == name)).first()
    return int(row[0]) if row is not None and row[1] == word else 0


def move_cursor(tx: Transaction, name: str, position: int, word: str = "") -> None:
    """Remember how far a pass has come."""
    tx.write(Op(_put_cursor, [(name, position, word)]))


def drop_cursors(tx: Transaction, prefix: str, but: Iterable[str]) -> None:
    """Forget passes that there are none of any more."""
    c = retention_cursor.c
    names = list(tx.sql.execute(select(c.name).where(c.name.startswith(prefix, autoescape=True))).scalars())
    gone = set(names) - set(but)
    if gone:
        tx.sql.execute(delete(retention_cursor).where(c.name.in_(sorted(gone))))


def digest(word: str) -> str:
    """A short name of a long word."""
    return hashlib.sha256(word.encode()).hexdigest()[:16]


def page(tx: Transaction, after_id: int, until_id: int, limit: int) -> list[Found]:
    """Messages in the order of their ids, by the primary key."""
    return with_threads(tx, tx.sql.execute(page_query(after_id, until_id, limit)).all())


def page_query(after_id: int, until_id: int, limit: int) -> sqlalchemy.Select[Any]:
    """The query of ``page``."""
    c = message.c
    columns = [c[name] for name in journal.MESSAGE_COLUMNS]
    return select(*columns).where(c.id > after_id, c.id <= until_id).order_by(c.id).limit(limit)


def by_ids(tx: Transaction, ids: Sequence[int]) -> list[Found]:
    """Some messages, those that are still there, in the order of their ids."""
    rows = sorted(tx.select(journal.select_messages, [(each,) for each in ids]), key=lambda row: int(row[0]))
    return with_threads(tx, rows)


def with_threads(tx: Transaction, rows: Sequence[Sequence[Any]]) -> list[Found]:
    """Messages with their threads."""
    ids = list({row[8] for row in rows if row[8]})
    threads = {row[0]: conversation_of(row) for row in tx.select(_select_threads, ids)} if ids else {}
    found: list[Found] = []
    for row in rows:
        thread = threads.get(row[8])
        found.append(Found(subject_of(row, journal.message_of(row), thread), row, thread))
    return found


def later(tx: Transaction, now_us: int, limit: int) -> tuple[list[int], list[Found]]:
    """Messages that shall be looked at again now: their ids, and those that are still there."""
    c = retention_later.c
    query = select(c.message_id).where(c.look_us <= now_us).order_by(c.look_us).limit(limit)
    ids = list(tx.sql.execute(query).scalars())
    return ids, by_ids(tx, ids)


def put_later(tx: Transaction, looks: Sequence[tuple[int, int]]) -> None:
    """Look at messages again: (id, when)."""
    tx.write(Op(_put_later, looks))


def forget_later(tx: Transaction, ids: Sequence[int]) -> None:
    """Do not."""
    tx.write(Op(_delete_later, [(each,) for each in ids]))


def unseen_since_us(tx: Transaction, now_us: int) -> int:
    """When the oldest event of the feed happened that a follower has not seen; ``now_us`` when all have seen all."""
    last = least_position(tx)
    if last is None:
        return now_us
    row = tx.sql.execute(select(feed.c.at_us).where(feed.c.id > last).order_by(feed.c.id).limit(1)).first()
    return int(row[0]) if row is not None else now_us


def least_position(tx: Transaction) -> int | None:
    """How far the slowest follower of the feed is; None when nobody follows."""
    c = feed_follower.c
    # Those of the ledger of opt-outs share the table, and follow another.
    return tx.sql.execute(select(sqlalchemy.func.min(c.position)).where(c.name.not_in([SEEN, ENDED]))).scalar()


def hurry(tx: Transaction) -> int:
    """Ask followers that let events gather (charging makes files of them) not to wait for more. Returns: how far."""
    last = feed_of.last(tx)
    move_cursor(tx, WANTED, last)
    return last


def is_unseen(subject: Subject, unseen_us: int, now_us: int) -> bool:
    """Whether a follower may not have seen what became of a message.

    Args:
        subject: the message.
        unseen_us: what ``unseen_since_us`` answered.
        now_us: what it was asked with.
    """
    return unseen_us < now_us and subject.done_us >= unseen_us - SEEN_MARGIN_US


def remove(tx: Transaction, ids: Sequence[int], holds: Holds) -> Removed:
    """Remove messages that are not pending, with all that hangs on them.

    Args:
        tx: a transaction.
        ids: at most ``REMOVE_PAGE``.
        holds: threads of customers under these stay.
    """
    pending = {row[0] for row in tx.select(_select_pending, list(ids))}
    if pending:  # sent again since they were looked at: no pass comes by them any more
        put_later(tx, [(each, 0) for each in sorted(pending)])
    doomed = [(each,) for each in dict.fromkeys(ids) if each not in pending]
    if not doomed:
        return Removed(0, 0)
    thread_ids = {row[1] for row in tx.select(_select_thread_ids, [each[0] for each in doomed]) if row[1]}
    tx.write(Op(_delete_carrier_parts, doomed))
    tx.write(Op(_delete_arrived_parts, doomed))
    removed = tx.write(Op(_delete_messages, doomed))
    tx.write(Op(_delete_later, doomed))
    return Removed(removed, remove_threads(tx, sorted(thread_ids), holds))


def remove_threads(tx: Transaction, ids: Sequence[int], holds: Holds) -> int:
    """Remove those of some threads that are closed, have no message, and are under no hold. Returns: how many."""
    if not ids:
        return 0
    c = thread_table.c
    has_message = exists(select(message.c.id).where(message.c.thread_id == c.id, text("message.thread_id > 0")))
    query = select(c.id, c.call_centre, c.customer).where(c.id.in_(ids), text("closed_us > 0"), ~has_message)
    doomed = [row[0] for row in tx.sql.execute(query).all() if not holds.of_customer(row[1], row[2])]
    if doomed:
        tx.sql.execute(delete(event_table).where(event_table.c.thread_id.in_(doomed)))
        tx.sql.execute(delete(thread_table).where(c.id.in_(doomed)))
    return len(doomed)


def thread_cursor(tx: Transaction, name: str, word: str = "") -> tuple[int, int]:
    """How far a pass over closed threads has come: when the last one was closed, and its id; see ``cursor``."""
    c = retention_cursor.c
    row = tx.sql.execute(select(c.position, c.word).where(c.name == name)).first()
    if row is None:
        return 0, 0
    before, _, last_id = row[1].partition(" ")
    return (int(row[0]), int(last_id or 0)) if before == word else (0, 0)


def move_thread_cursor(tx: Transaction, name: str, position: tuple[int, int], word: str = "") -> None:
    """Remember it."""
    move_cursor(tx, name, position[0], f"{word} {position[1]}")


def closed_threads(
    tx: Transaction, call_centre: str, after: tuple[int, int], before_us: int, limit: int
) -> list[tuple[int, int]]:
    """Threads that were closed behind a position and before a time, the first first: when, and the id.

    Very many may have been closed at one moment: a shorter time of a call centre's ends all that are older.
    """
    c = thread_table.c
    behind = sqlalchemy.tuple_(c.closed_us, c.id) > sqlalchemy.tuple_(*map(sqlalchemy.literal, after))
    own = (c.call_centre == call_centre, text("closed_us > 0"), c.closed_us >= after[0], c.closed_us < before_us)
    query = select(c.closed_us, c.id).where(*own, behind).order_by(c.closed_us, c.id).limit(limit)
    return [(int(row[0]), int(row[1])) for row in tx.sql.execute(query)]


def trim_feed(tx: Transaction, before_us: int, limit: int = REMOVE_PAGE) -> int:
    """Remove the oldest rows of the feed that every follower has seen. Returns: how many."""
    last = least_position(tx)
    query = select(feed.c.id, feed.c.at_us).order_by(feed.c.id).limit(limit)
    if last is not None:
        query = query.where(feed.c.id <= last)
    ids = [row[0] for row in tx.sql.execute(query).all() if row[1] < before_us]
    if ids:
        tx.sql.execute(delete(feed).where(feed.c.id.in_(ids)))
    return len(ids)


def trim_account_days(tx: Transaction, before_day: int) -> int:
    """Remove what accounts sent on days before one. Returns: how many rows."""
    return int(tx.sql.execute(delete(account_day).where(account_day.c.day < before_day)).rowcount)


# --- the archive's index ---------------------------------------------------------------------------------------------


class Shelved(msgspec.Struct, frozen=True):
    """A row of the archive's index: see ``keeping_tables``.

    Attributes:
        id, name, call_centre, day, is_stored, ids, messages, octets, sha256, generation, superseded: the columns.
    """

    id: int
    name: str
    call_centre: str
    day: str
    is_stored: int = 0
    ids: str = ""
    messages: int = 0
    octets: int = 0
    sha256: str = ""
    generation: int = 0
    superseded: str = ""

    @property
    def message_ids(self) -> list[int]:
        """The ids of its messages that are not removed yet."""
        return msgspec.json.decode(self.ids, type=list[int]) if self.ids else []


_put_shelved = Upsert(archive_object, Shelved.__struct_fields__, conflict="id", update=Shelved.__struct_fields__[1:])


def shelve(tx: Transaction, objects: Sequence[Shelved]) -> None:
    """Write rows of the index."""
    tx.write(Op(_put_shelved, [msgspec.structs.astuple(each) for each in objects]))


def plan(tx: Transaction, objects: Sequence[Shelved]) -> list[Shelved]:
    """Write rows of new objects. Returns: them, each under a name of its own.

    An object is called by the first and the last of its messages. One that was held back when it was made, and comes
    later, may be called the same.
    """
    planned: list[Shelved] = []
    for each in objects:
        folder, _, file = each.name.rpartition("/")
        file, _, suffix = file.partition(".")
        base, number = f"{folder}/{file}", 1
        while _is_taken(tx, each, base):
            number += 1
            base = f"{folder}/{file}_{number}"
        planned.append(msgspec.structs.replace(each, name=f"{base}.{suffix}"))
    shelve(tx, planned)
    return planned


def _is_taken(tx: Transaction, each: Shelved, base: str) -> bool:
    """Whether an object is called so, or is what became of one when somebody was erased from it."""
    c = archive_object.c
    same = (c.call_centre == each.call_centre, c.day == each.day, c.name.startswith(f"{base}.", autoescape=True))
    return tx.sql.execute(select(c.id).where(*same).limit(1)).first() is not None


def unshelve(tx: Transaction, object_id: int) -> None:
    """Remove a row of the index."""
    tx.sql.execute(delete(archive_object).where(archive_object.c.id == object_id))


def unfinished(tx: Transaction, limit: int) -> list[Shelved]:
    """Objects that are planned, whose messages are still there, or that replace one that is."""
    c = archive_object.c
    open_ = sqlalchemy.or_(c.is_stored == 0, c.ids != "", c.superseded != "")
    rows = tx.sql.execute(select(archive_object).where(open_).order_by(c.id).limit(limit)).all()
    return [Shelved(*row) for row in rows]


def shelved(
    tx: Transaction, *, call_centre: str | None = None, after_id: int = 0, name: str = "", limit: int = 1000
) -> list[Shelved]:
    """Rows of the index in the order of their ids."""
    c = archive_object.c
    query = select(archive_object).where(c.id > after_id).order_by(c.id).limit(limit)
    if call_centre is not None:
        query = query.where(c.call_centre == call_centre)
    if name:
        query = query.where(c.name == name)
    return [Shelved(*row) for row in tx.sql.execute(query).all()]
