"""Bells: what other nodes have journalled for endpoints whose lanes are here, as the holder reads it.

See ``hub.elsewhere`` for who writes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import select

from hub.model import Kind
from hub.tables import bell, lease
from store import Delete, Op, Transaction

PAGE = 1_000  # bells read at once

_delete_bell = Delete(bell, key=("id",))


class Bell(msgspec.Struct, frozen=True, gc=False):
    """Messages that were journalled in one transaction.

    Attributes:
        id: of the bell: in the order of what began after the other had ended.
        endpoint: whose.
        kind: texts or receipts.
        first_id, last_id: their ids lie between these, both included.
    """

    id: int
    endpoint: str
    kind: Kind
    first_id: int
    last_id: int


def heard(tx: Transaction, endpoints: Sequence[str], limit: int = PAGE) -> tuple[list[Bell], bool]:
    """The bells of some endpoints, the oldest first. Returns: them, and whether these are all."""
    c = bell.c
    columns = (c.id, c.endpoint, c.kind, c.first_id, c.last_id)
    rows = tx.sql.execute(select(*columns).where(c.endpoint.in_(endpoints)).order_by(c.id).limit(limit)).all()
    return [Bell(row[0], row[1], Kind(row[2]), row[3], row[4]) for row in rows], len(rows) < limit


def off(bells: Sequence[Bell]) -> Op:
    """The write that takes bells away that were heard."""
    return Op(_delete_bell, [(each.id,) for each in bells])


def forget_unheld(tx: Transaction) -> int:
    """Take bells away that nobody will hear: whoever takes an endpoint over finds what waits. Returns: how many."""
    held = select(lease.c.endpoint)
    return int(tx.sql.execute(bell.delete().where(bell.c.endpoint.not_in(held))).rowcount)
