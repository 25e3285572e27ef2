"""Durability: group commit over SQLite or PostgreSQL, ids, and the tables' shared metadata. Knows nothing of SMS."""

from store.errors import (
    StoreClosed,
    StoreConflict,
    StoreError,
    StoreFenced,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from store.guard import Guard
from store.ids import IdClock, id_time_us, node_of
from store.schema import create_all, metadata
from store.statements import Delete, Insert, Op, Row, SelectByKeys, Statement, Update, Upsert
from store.store import SWITCH_INTERVAL_S, Store, StoreStatistics, open_store
from store.transaction import Transaction

__all__ = [
    "SWITCH_INTERVAL_S",
    "Delete",
    "Guard",
    "IdClock",
    "Insert",
    "Op",
    "Row",
    "SelectByKeys",
    "Statement",
    "Store",
    "StoreClosed",
    "StoreConflict",
    "StoreError",
    "StoreFenced",
    "StoreFull",
    "StoreRefused",
    "StoreStatistics",
    "StoreUnavailable",
    "Transaction",
    "Update",
    "Upsert",
    "create_all",
    "id_time_us",
    "metadata",
    "node_of",
    "open_store",
]
