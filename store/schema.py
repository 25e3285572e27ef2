"""The one MetaData that the owners of tables share, and its naming conventions.

Constraints are named by rule, so that both databases, migrations and ``StoreConflict.constraint`` agree on the names.
"""

from __future__ import annotations

import sqlalchemy

from store.transaction import Transaction

metadata = sqlalchemy.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def create_all(transaction: Transaction) -> None:
    """Create all tables of ``metadata`` that are not there: ``await store.transact(create_all)``. For tests.

    A daemon's database is made by migrations.
    """
    metadata.create_all(transaction.sql)
