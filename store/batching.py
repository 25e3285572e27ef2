"""How many rows travel at once: pure decisions.

Three things make one piece out of many rows, and each must mean the same as running all rows one by one in order:

- ``merge``: ops of one statement become one op. An op may move forward past ops on tables that have nothing to do with
  its own. So a hundred submissions that each write a message and an event make two writes, not two hundred.
- ``runs``: where a row may change what an earlier row of the same piece wrote (updates and upserts), a piece holds each
  key once: both databases would otherwise apply one of the two, or refuse. And an update of columns that a unique
  constraint looks at goes row by row: databases update in an order of their own, in which a value may not be free yet.
- ``plan``: SQLite takes fixed numbers of rows, so that its statements stay prepared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache

import sqlalchemy

from store.statements import Op, Row, Statement, Update

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


@cache
def needs_order(statement: Statement) -> bool:
    """Whether rows of distinct keys may still be in each other's way, so that each needs to go alone."""
    if not isinstance(statement, Update):
        return False
    changed = {*statement.set, *statement.expressions}
    watched = set(statement.key)
    table = statement.table
    uniques: list[sqlalchemy.PrimaryKeyConstraint | sqlalchemy.UniqueConstraint | sqlalchemy.Index] = [
        table.primary_key,
        *(each for each in table.constraints if isinstance(each, sqlalchemy.UniqueConstraint)),
        *(each for each in table.indexes if each.unique),
    ]
    for unique in uniques:
        watched.update(column.name for column in unique.columns)
        if isinstance(unique, sqlalchemy.Index):
            # Columns in a partial index's condition, or in its expressions, by their names as words.
            conditions = [unique.dialect_options[dialect].get("where") for dialect in ("sqlite", "postgresql")]
            for text in map(str, [*conditions, *unique.expressions]):
                watched.update(re.findall(r"\w+", text))
    return not changed.isdisjoint(watched)


def runs(statement: Statement, rows: Sequence[Row]) -> Iterable[Sequence[Row]]:
    """Cut the rows of a statement, in order, into pieces whose rows may be applied in any order."""
    if needs_order(statement):
        return [rows[at : at + 1] for at in range(len(rows))]
    return distinct_runs(rows, statement.identity)


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
