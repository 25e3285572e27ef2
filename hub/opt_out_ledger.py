"""The opt-out ledger: who is out, since when, how, and who changed it. Functions over a store transaction.

1. An entry says how it stands, the ledger's audit what happened: one row for each change, and one for each text that
   the desk sent although the customer is out. Its numbers are also how a daemon learns what the command line did. What
   an operator did is in the audit of everything as well (``store.audit``); customers' own key words, which are most of
   all changes, are not.
2. Whoever changes the ledger calls ``lock`` before reading what it decides by. Two processes may do so at a time: the
   audit's numbers must become visible in their order, or the daemon would pass one by.
3. A change is newer than what it beats (``opt_out.since_after``): entries can be told by their times alone, also after
   an export and an import.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
import sqlalchemy
from sqlalchemy import and_, func, insert, or_, select, text, tuple_

from hub.model import Kind
from hub.opt_out import Entry, since_after
from hub.tables import IS_PENDING, feed_follower, message, opt_out, opt_out_audit
from store import Op, SelectByKeys, Transaction, Upsert
from store.audit import AuditEntry, append
from threading_tokens.tables import thread_table

Key = tuple[str, str]
"""Number (or ``opt_out.scope_of`` a call centre) and customer."""
Action = Literal["out", "in", "override"]

MAX_REASON_CHARACTERS: Final = 200
AUDIT_KIND: Final = "opt-out"
_COLUMNS = ("number", "customer", "is_out", "since_us", "how", "who", "word")

_put_entry = Upsert(opt_out, _COLUMNS, conflict=("number", "customer"), update=_COLUMNS[2:])
_select_entries = SelectByKeys(opt_out, _COLUMNS, key=("number", "customer"))
_select_entries_of_customers = SelectByKeys(opt_out, _COLUMNS, key="customer")
_select_threads = SelectByKeys(thread_table, ("id", "number"), key="id")


class Change(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to a number and a customer.

    Attributes:
        action: ``out``, ``in``; or ``override``: a text was sent although they are out, and nothing changed.
        entry: how it stands from now on; with ``override``, who sent it and how.
        reason: what an operator wrote, at most 200 characters.
        message_id: the text that did it, 0 when none did.
        how: how it came about, when that is not how the entry did: an import of a keyword.
    """

    action: Action
    entry: Entry
    reason: str = ""
    message_id: int = 0
    how: str = ""


class Noted(msgspec.Struct, frozen=True, gc=False):
    """A line of the audit.

    Attributes:
        id: rising in the order of the changes.
        at_us: when it was written.
        number, customer, action, how, who, word, reason, message_id: as in ``Change`` and its entry.
    """

    id: int
    at_us: int
    number: str
    customer: str
    action: str
    how: str
    who: str
    word: str
    reason: str
    message_id: int


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A text that is on its way to a customer.

    Attributes:
        message_id, source, customer, call_centre: the message's.
        number: its thread's number, empty when it has no thread.
    """

    message_id: int
    source: str
    customer: str
    call_centre: str
    number: str


def lock(tx: Transaction) -> None:
    """Let no other process change the ledger until this transaction ends. SQLite has one writer anyway."""
    if tx.sql.dialect.name == "postgresql":
        tx.sql.execute(text("LOCK TABLE opt_out_audit IN SHARE ROW EXCLUSIVE MODE"))  # readers go on


def entries(tx: Transaction, keys: Iterable[Key]) -> dict[Key, Entry]:
    """The entries that there are of some numbers and customers, in one query."""
    rows = tx.select(_select_entries, list(dict.fromkeys(keys)))
    return {(row[0], row[1]): _entry(row) for row in rows}


def entries_of_customers(tx: Transaction, customers: Iterable[str]) -> dict[Key, Entry]:
    """All entries of some customers, in one query."""
    rows = tx.select(_select_entries_of_customers, list(dict.fromkeys(customers)))
    return {(row[0], row[1]): _entry(row) for row in rows}


def record(tx: Transaction, changes: Sequence[Change], now_us: int) -> list[int]:
    """Write changes and their audit.

    Args:
        tx: a transaction that holds the ``lock``.
        changes: in the order in which they happened; the last of a key is how it stands.
        now_us: now.

    Returns: the audit's number of each.
    """
    if not changes:
        return []
    last = {(c.entry.number, c.entry.customer): c.entry for c in changes if c.action != "override"}
    if last:
        tx.write(Op(_put_entry, [_row(entry) for entry in last.values()]))
    audit = [
        {
            "at_us": now_us,
            "number": change.entry.number,
            "customer": change.entry.customer,
            "action": change.action,
            "how": change.how or change.entry.how,
            "who": change.entry.who[:80],
            "word": change.entry.word[:32],
            "reason": change.reason[:MAX_REASON_CHARACTERS],
            "message_id": change.message_id,
        }
        for change in changes
    ]
    statement = insert(opt_out_audit).returning(opt_out_audit.c.id, sort_by_parameter_order=True)
    numbers = [int(number) for number in tx.sql.execute(statement, audit).scalars().all()]
    append(tx, [_told(change, now_us) for change in changes if (change.how or change.entry.how) == "operator"])
    return numbers


def merge(tx: Transaction, others: Sequence[Entry], now_us: int, reason: str, who: str = "") -> list[int]:
    """Take over entries of another ledger; where both know something, the later counts, at one time who is out.

    Args:
        tx: a transaction that holds the ``lock``.
        others: the entries, in the order of their file; ``since_us`` is 0 of who is out and nobody knows since when:
            that counts, unless they are known to be out.
        now_us: now.
        reason: for the audit.
        who: who asked for it, for the audit of everything: one row for all of them.

    Returns: how many changed the ledger, were known already, and were older than what is known.
    """
    known = entries(tx, [(other.number, other.customer) for other in others])
    changes: list[Change] = []
    tallies = [0, 0, 0]
    for other in others:
        own = known.get((other.number, other.customer))
        if not other.since_us:
            since_us = own.since_us if own is not None and own.is_out else since_after(now_us, own)
            other = msgspec.structs.replace(other, since_us=since_us)
        if own is not None and (own.since_us, own.is_out) > (other.since_us, other.is_out):
            tallies[2] += 1
        elif own is not None and (own.since_us, own.is_out) == (other.since_us, other.is_out):
            tallies[1] += 1
        else:
            tallies[0] += 1
            known[other.number, other.customer] = other
            changes.append(Change("out" if other.is_out else "in", other, reason, how="import"))
    record(tx, changes, now_us)
    if changes and who:
        detail = msgspec.json.encode({"changed": len(changes)}).decode()
        append(tx, [AuditEntry(now_us, who, "imported", AUDIT_KIND, reason, detail)])
    return tallies


def was_overridden(tx: Transaction, number: str, customer: str, since_us: int) -> bool:
    """Whether the desk has sent its one text since the customer went out."""
    c = opt_out_audit.c
    found = select(c.id).where(
        c.customer == customer, c.number == number, c.action == "override", c.at_us >= since_us
    )  # by ix_opt_out_audit_customer
    return tx.sql.execute(found.limit(1)).first() is not None


def senders(tx: Transaction) -> set[str]:
    """All numbers, and scopes of call centres, that somebody is out of."""
    query = select(opt_out.c.number).where(text("is_out = 1")).distinct()
    return set(tx.sql.execute(query).scalars().all())


def count(tx: Transaction) -> int:
    """How many entries say that somebody is out."""
    query = select(sqlalchemy.func.count()).select_from(opt_out).where(text("is_out = 1"))
    return int(tx.sql.execute(query).scalar_one())


def changes_after(tx: Transaction, after_id: int, limit: int) -> list[Noted]:
    """The audit's lines after a number, in order."""
    c = opt_out_audit.c
    query = select(*(c[name] for name in Noted.__struct_fields__)).where(c.id > after_id).order_by(c.id).limit(limit)
    return [Noted(*row) for row in tx.sql.execute(query).all()]


def audit_of(tx: Transaction, keys: Sequence[Key], limit: int = 1000) -> list[Noted]:
    """The audit's lines of some numbers and one or more customers, the oldest first."""
    c = opt_out_audit.c
    which = or_(*(and_(c.customer == customer, c.number == number) for number, customer in keys))
    query = select(*(c[name] for name in Noted.__struct_fields__)).where(which).order_by(c.id).limit(limit)
    return [Noted(*row) for row in tx.sql.execute(query).all()]


def listing(
    tx: Transaction,
    *,
    number: str = "",
    customer: str = "",
    everybody: bool = False,
    after: Key = ("", ""),
    limit: int = 100,
) -> list[Entry]:
    """Entries in the order of number and customer.

    Args:
        tx: a transaction.
        number, customer: only of these, when given.
        everybody: those who are in again, too.
        after: the page after this key.
        limit: at most so many.
    """
    c = opt_out.c
    query = select(*(c[name] for name in _COLUMNS)).where(tuple_(c.number, c.customer) > tuple_(*after))
    if not everybody:
        query = query.where(text("is_out = 1"))
    if number:
        query = query.where(c.number == number)
    if customer:
        query = query.where(c.customer == customer)
    rows = tx.sql.execute(query.order_by(c.number, c.customer).limit(limit)).all()
    return [_entry(row) for row in rows]


def waiting_for(tx: Transaction, customers: Sequence[str], after_id: int, limit: int) -> list[Waiting]:
    """Texts that are on their way to some customers, with ids after ``after_id``, at most ``limit``."""
    c = message.c
    rows = tx.sql.execute(
        select(c.id, c.source, c.destination, c.call_centre, c.thread_id)
        .where(c.destination.in_(customers), text(IS_PENDING), c.kind == Kind.TEXT.value, c.id > after_id)
        .order_by(c.destination, c.id)
        .limit(limit)
    ).all()
    numbers = {row[0]: row[1] for row in tx.select(_select_threads, list({row[4] for row in rows if row[4]}))}
    return [Waiting(row[0], row[1], row[2], row[3], numbers.get(row[4], "")) for row in rows]


def number_of_thread(tx: Transaction, thread_id: int) -> str:
    """The number of a thread, empty when there is none such."""
    return next((row[1] for row in tx.select(_select_threads, [thread_id])), "")


def position(tx: Transaction, name: str) -> int:
    """How far a follower of the audit is. It moves by ``hub.feed.advance``, whose table it shares."""
    query = select(feed_follower.c.position).where(feed_follower.c.name == name)
    return int(tx.sql.execute(query).scalar() or 0)


def least_position(tx: Transaction, name: str) -> int:
    """How far the last of all nodes' followers of a name is: ``name:1``, ``name:2`` and so on."""
    query = select(func.min(feed_follower.c.position)).where(feed_follower.c.name.like(f"{name}:%"))
    return int(tx.sql.execute(query).scalar() or 0)


def _told(change: Change, now_us: int) -> AuditEntry:
    entry = change.entry
    detail = msgspec.json.encode({"reason": change.reason[:MAX_REASON_CHARACTERS]}).decode()
    return AuditEntry(now_us, entry.who, change.action, AUDIT_KIND, f"{entry.number} {entry.customer}", detail)


def _entry(row: Sequence[Any]) -> Entry:
    return Entry(row[0], row[1], bool(row[2]), row[3], row[4], row[5], row[6])


def _row(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.number,
        entry.customer,
        int(entry.is_out),
        entry.since_us,
        entry.how,
        entry.who[:80],
        entry.word[:32],
    )
