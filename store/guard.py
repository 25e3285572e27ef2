"""A guard over writes: what must be true for a transaction of this process to be committed at all.

Several nodes share one database, and one that was taken for dead must not write any more, even when it wakes in the
midst of a statement. So the writer asks its guard first thing in each transaction, and holds what it answered (a lock
on a row) until the commit. Who takes over from a node waits for that lock; from then on the guard refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import sqlalchemy


class Guard(Protocol):
    """Asked by the writer, in its thread."""

    def connected(self, connection: sqlalchemy.Connection) -> None:
        """A connection was opened, outside of a transaction: set what holds for all of it."""
        ...

    def check(self, connection: sqlalchemy.Connection) -> None:
        """A transaction has begun. Raises: StoreFenced when nothing may be written."""
        ...
