"""The schema of the store: which one there is, which one this program needs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from store import StoreError
from store.migrations import current_revision, head_revision, migrate

__all__ = ["MIGRATIONS", "SchemaMismatch", "prepare", "upgrade"]

MIGRATIONS: Final = Path(__file__).parent / "migrations"


class SchemaMismatch(StoreError):
    """The store has another schema than this program needs.

    Attributes:
        has, needs: revisions.
    """

    def __init__(self, has: str, needs: str) -> None:
        super().__init__(
            f"the store has schema {has}, this program needs {needs}: stop the daemon, back up, `smshub db upgrade`"
        )
        self.has = has
        self.needs = needs


def upgrade(url: str) -> tuple[str | None, str | None]:
    """Bring a store to the newest schema. Blocks.

    Returns: the revision before and after.
    Raises: StoreError.
    """
    before = current_revision(url)
    migrate(url, MIGRATIONS)
    return before, head_revision(MIGRATIONS)


def prepare(url: str) -> None:
    """Make a new store ready; leave one that is ready alone. Blocks.

    Raises: SchemaMismatch for a store of another version: only its operator decides when it is upgraded. StoreError.
    """
    has, needs = current_revision(url), head_revision(MIGRATIONS)
    if has is None:
        migrate(url, MIGRATIONS)
    elif has != needs:
        raise SchemaMismatch(has, str(needs))
