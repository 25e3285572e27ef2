"""The texts of a conversation, read back: what was written, when, and how it stands (H25, H36)."""

from __future__ import annotations

import msgspec
from sqlalchemy import and_, select

from hub import journal
from hub.model import ELEMENT, Kind, State
from hub.tables import message
from store import Transaction
from threading_tokens.tables import thread_table


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """One text of a thread.

    Attributes:
        id: the message's id; time-ordered.
        at_us: when it came in.
        thread_id: its thread.
        inbound: True when the customer wrote it.
        text: what was written.
        state: how it stands, as a word.
        by: the CSR's address, as the translator named it; empty when the customer wrote it.
        note: a word on how it stands: why it was not delivered, or ``transliterated`` when the recipient was sent it in
            other characters; empty as a rule.
        element: the identification element (H8) that the number had then, empty when it had none.
    """

    id: int
    at_us: int
    thread_id: int
    inbound: bool
    text: str
    state: str
    by: str
    note: str = ""
    element: str = ""


def texts(
    tx: Transaction,
    call_centre: str,
    *,
    thread_id: int = 0,
    customer: str = "",
    number: str = "",
    limit: int = 100,
    before: int = 0,
) -> list[Text]:
    """Texts of a thread, or of a customer over all threads; newest first.

    Args:
        tx: a transaction.
        call_centre: who asks: no other's texts are given (H13).
        thread_id: the thread; or else:
        customer: the customer.
        number: with a customer: only threads of this number.
        limit: at most so many.
        before: only texts with a smaller id, 0 for the newest.
    """
    which = [thread_table.c.call_centre == call_centre]
    if thread_id:
        which.append(thread_table.c.id == thread_id)
    else:
        which.append(thread_table.c.customer == customer)
        if number:
            which.append(thread_table.c.number == number)
    ids = select(thread_table.c.id).where(and_(*which))
    columns = [message.c[name] for name in journal.MESSAGE_COLUMNS]
    query = (
        select(*columns)
        .where(message.c.thread_id.in_(ids), message.c.thread_id > 0, message.c.kind == Kind.TEXT.value)
        .order_by(message.c.id.desc())
        .limit(limit)
    )
    if before:
        query = query.where(message.c.id < before)
    found: list[Text] = []
    for row in tx.sql.execute(query).all():
        m = journal.message_of(row)
        inbound = not m.origin.startswith("desk:")
        found.append(
            Text(
                id=m.id,
                at_us=m.received_us,
                thread_id=m.thread_id,
                inbound=inbound,
                text=m.text,
                state=State(row[2]).name.lower(),
                by="" if inbound else m.attributes.get("from", ""),
                note=row[19],
                element=m.attributes.get(ELEMENT, ""),
            )
        )
    return found
