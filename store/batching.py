"""How many rows travel at once: pure decisions.

Three things make one piece out of many rows, and each must mean the same as running all rows one by one in order:

- ``merge``: ops of one statement become one op. An op may move forward past ops on tables that have nothing to do with
  its own. So a hundred submissions that each write a message and an event make two writes, not two hundred.
- ``distinct_runs``: where a row may change what an earlier row of the same piece wrote (updates and upserts), a piece
  holds each key once. Both databases would otherwise apply one of the two, or refuse.
- ``plan``: SQLite takes fixed numbers of rows, so that its statements stay prepared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache

import sqlalchemy

from store.statements import Op, Row, Statement

PADDING = 4  # a piece may be filled up when at most a quarter of it is filling


@cache
def _kin(table: sqlalchemy.Table) -> tuple[str, ...]:
    """Names of the table and those bound to it by a foreign key, in either direction: writes to these keep order."""
    found = {table.name}
    for other in table.metadata.tables.values():
        for key in other.foreign_keys:
            target = key.target_fullname.rpartition(".")[0]
            if other is table:
                found.add(target)
            elif target == table.name:
                found.add(other.name)
    return tuple(found)


def merge(ops: Iterable[Op]) -> list[Op]:
    """Join ops of one statement where the order of what depends on each other stays.

    Returns: ops with the same effect, in order; the rows of each statement in their order.
    """
    statements: list[Statement] = []
    rows: list[list[Sequence[Row]]] = []
    open_at: dict[Statement, int] = {}  # where the statement may still be joined
    touched: dict[str, int] = {}  # the last place that a table is written at
    for op in ops:
        if not op.rows:
            continue
        statement = op.statement
        at = open_at.get(statement, -1)
        kin = _kin(statement.table)
        if at < 0 or any(touched.get(name, -1) > at for name in kin):
            at = open_at[statement] = len(statements)
            statements.append(statement)
            rows.append([op.rows])
        else:
            rows[at].append(op.rows)
        touched[statement.table.name] = at
    return [
        Op(statement, pieces[0] if len(pieces) == 1 else [row for piece in pieces for row in piece])
        for statement, pieces in zip(statements, rows, strict=True)
    ]


def distinct_runs(rows: Sequence[Row], identity: tuple[int, ...]) -> Iterator[Sequence[Row]]:
    """Cut rows, in order, so that no piece holds two rows of one identity.

    Args:
        rows: the rows.
        identity: positions in a row; empty: nothing is cut.
    """
    if not identity or len(rows) < 2:
        yield rows
        return
    if len(identity) == 1:
        position = identity[0]
        keys: list[object] = [row[position] for row in rows]
    else:
        keys = [tuple([row[position] for position in identity]) for row in rows]
    if len(set(keys)) == len(keys):
        yield rows
        return
    start = 0
    seen: set[object] = set()
    for at, key in enumerate(keys):
        if key in seen:
            yield rows[start:at]
            start = at
            seen = set()
        seen.add(key)
    yield rows[start:]


@lru_cache(maxsize=4096)
def plan(count: int, largest: int, may_pad: bool) -> tuple[tuple[int, int], ...]:
    """Cut a number of rows into powers of two.

    Args:
        count: how many rows.
        largest: the largest piece, a power of two.
        may_pad: whether a piece may be filled up with rows that do nothing.

    Returns: (size of the piece, how many rows of it are real), in order.
    """
    pieces = [(largest, largest)] * (count // largest)
    left = count % largest
    while left:
        size = 1 << (left - 1).bit_length()
        if size > left and not (may_pad and (size - left) * PADDING <= size):
            size >>= 1
        taken = min(size, left)
        pieces.append((size, taken))
        left -= taken
    return tuple(pieces)
