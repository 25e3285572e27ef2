"""What the store raises. Drivers' errors are mapped once, at the edge (``sqlite.py``, ``postgresql.py``).

None of these carries a value of a row: a driver's own text may quote the row that failed, and rows hold what people
wrote. For the same reason they are raised ``from None``.
"""

from __future__ import annotations


class StoreError(Exception):
    """The root of all errors of this package."""


class StoreFull(StoreError):
    """There is no space for it; nothing was written. Try later."""


class StoreConflict(StoreError):
    """A unique constraint was violated; nothing was written.

    Attributes:
        table: the table's name, or empty when the database did not tell.
        constraint: the name of the constraint or unique index, or empty.
    """

    def __init__(self, table: str, constraint: str) -> None:
        super().__init__(f"{constraint or 'a unique constraint'} of table {table or '?'} is violated")
        self.table = table
        self.constraint = constraint


class StoreRefused(StoreError):
    """The database does not take a value or a statement; nothing was written. Trying again gives the same.

    Attributes:
        reason: the database's name for the error, such as ``"SQLITE_CONSTRAINT_NOTNULL"`` or an SQLSTATE.
        table: the table's name, or empty.
        constraint: the constraint's or column's name, or empty.
    """

    def __init__(self, reason: str, table: str = "", constraint: str = "") -> None:
        where = ".".join(name for name in (table, constraint) if name)
        super().__init__(f"refused by the database: {reason}{f' ({where})' if where else ''}")
        self.reason = reason
        self.table = table
        self.constraint = constraint


class StoreUnavailable(StoreError):
    """The database cannot be reached, or stayed locked for too long.

    Attributes:
        reason: one word or the database's code.
        in_doubt: True when the connection was lost while the commit was under way: it may be written or not.
            False: certainly nothing was written.
    """

    def __init__(self, reason: str, *, in_doubt: bool = False) -> None:
        super().__init__(f"the store is not available: {reason}{' (the commit is in doubt)' if in_doubt else ''}")
        self.reason = reason
        self.in_doubt = in_doubt


class StoreContended(StoreUnavailable):
    """The database rolled it back because others were in the way (deadlock, serialization): tried again at once.

    Callers see it only when the tries are used up.
    """


class StoreClosed(StoreError):
    """The store was closed before this was written; nothing was written."""

    def __init__(self) -> None:
        super().__init__("the store is closed")


class StoreFenced(StoreError):
    """This process may not write any more: others hold it for dead, and do its work. Nothing was written."""

    def __init__(self) -> None:
        super().__init__("fenced: other nodes hold this one for dead and have taken over from it")
