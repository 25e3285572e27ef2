"""Entries of one call centre, a page at a time: for who must not read them all at once."""

from __future__ import annotations

from typing import Any

import sqlalchemy

from provisioning.model import E
from provisioning.rows import TABLES, from_row, read_all, row_key
from store import Transaction


def _key(entry: E) -> str:
    return entry.key


def read_page(tx: Transaction, kind: type[E], call_centre: str, after: str, limit: int) -> list[E]:
    """Read entries in the order of their keys.

    Args:
        tx: where from.
        kind: the entry's class; one whose entries belong to call centres.
        call_centre: only of this one.
        after: only of greater keys, when given.
        limit: at most so many.
    """
    table = TABLES[kind.KIND]
    if "call_centre" not in table.columns:  # few of a kind: the store keeps their settings as one text
        # Sorted here: a database's own order of texts may pass over hyphens, and what is "after" would not be.
        return sorted([entry for entry in read_all(tx, kind, call_centre) if entry.key > after], key=_key)[:limit]
    key: Any = table.columns[0]
    statement = sqlalchemy.select(table).where(table.c.call_centre == call_centre).order_by(key).limit(limit)
    if after:
        statement = statement.where(key > row_key(kind.KIND, after))
    return [from_row(kind, row) for row in tx.sql.execute(statement)]
