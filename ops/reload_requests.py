"""How ``smshub reload`` and the daemon talk: a row in the store, which the daemon answers in the same row.

The command line needs no port and no signal for it, and it works on any machine that reaches the store. A row goes
``asked`` → ``running`` → ``done``, ``refused`` or ``failed``; what a daemon finds unanswered when it starts is
``void``: it has read its file at that start.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from store import Transaction, metadata

KEPT: Final = 100  # answered requests
OPEN: Final = ("asked", "running")

reload_request = Table(
    "reload_request",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("who", String(80), nullable=False),
    Column("dry_run", SmallInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("answer", Text, nullable=False),  # JSON of ops.reload.Answer once there is one
)
_c = reload_request.c


class ReloadRequest(msgspec.Struct, frozen=True):
    """A row.

    Attributes:
        id: rises with time.
        at_us: when it was asked.
        who: who asked.
        dry_run: whether only the plan is wanted.
        state: see the module's head.
        answer: JSON, empty until it is answered.
    """

    id: int
    at_us: int
    who: str
    dry_run: bool = False
    state: str = "asked"
    answer: str = ""


def ask(tx: Transaction, request: ReloadRequest) -> int:
    """Ask a running daemon to read its file again. Returns: the request's id, greater than all before it."""
    newest = tx.sql.execute(select(func.max(_c.id))).scalar() or 0
    number = max(request.id, newest + 1)
    row = msgspec.structs.asdict(request) | {"id": number, "dry_run": int(request.dry_run)}
    tx.sql.execute(insert(reload_request).values(**row))
    return int(number)


def find(tx: Transaction, request_id: int) -> ReloadRequest | None:
    """A request, or None."""
    row = tx.sql.execute(select(reload_request).where(_c.id == request_id)).first()
    return _request(row) if row is not None else None


def asked(tx: Transaction) -> list[ReloadRequest]:
    """What nobody has begun with, the oldest first."""
    rows = tx.sql.execute(select(reload_request).where(_c.state == "asked").order_by(_c.id)).all()
    return [_request(row) for row in rows]


def note(tx: Transaction, request_id: int, state: str, answer: str = "") -> None:
    """It stands so now. Forgets all but the newest answered ones."""
    tx.sql.execute(update(reload_request).where(_c.id == request_id).values(state=state, answer=answer))
    answered = select(_c.id).where(_c.state.not_in(OPEN)).order_by(_c.id.desc())
    oldest_kept = tx.sql.execute(answered.limit(1).offset(KEPT - 1)).scalar()
    if oldest_kept is not None:
        tx.sql.execute(delete(reload_request).where(_c.id < oldest_kept, _c.state.not_in(OPEN)))


def ask_again(tx: Transaction) -> int:
    """The node that had begun with these is no more: they are asked of the next. Returns: how many."""
    return int(tx.sql.execute(update(reload_request).where(_c.state == "running").values(state="asked")).rowcount)


def void(tx: Transaction) -> int:
    """A daemon starts: it owes no answer to what was asked before. Returns: how many these are."""
    return int(tx.sql.execute(update(reload_request).where(_c.state.in_(OPEN)).values(state="void")).rowcount)


def _request(row: Any) -> ReloadRequest:
    return ReloadRequest(row[0], row[1], row[2], bool(row[3]), row[4], row[5])
