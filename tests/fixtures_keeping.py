"""A store with messages of any age in it, for tests of retention, archive and erasure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy

from hub import feed, journal
from hub.keeping import Archive, Keeper, KeepingSettings
from hub.model import Kind, Message, Receipt, ReceiptState, State
from hub.tables import arrived_part, carrier_part, message
from provisioning import CallCentre, catalog
from provisioning.keeping import LegalHold, Retention
from store import IdClock, Op, Store, create_all, open_store
from threading_tokens.tables import event_table, thread_table
from threading_tokens.token import TOKEN_OCTETS, new_token

DAY = 86_400_000_000
HOUR = 3_600_000_000
NOW = 1_790_000_000_000_000  # 2026-09-21
CUSTOMER = "+12025551212"
OTHER = "+12025559999"
NUMBER = "+18005550100"


class Stock:
    """A store whose time is what a test says.

    Attributes:
        store: open, with all tables, and the call centres ``acme`` and ``other``.
        now_us: what keepers are told.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_us = NOW
        self._clocks: dict[int, IdClock] = {}

    def new_id(self, at_us: int) -> int:
        """An id of a time, later than others of that millisecond."""
        clock = self._clocks.setdefault(at_us // 1000, IdClock(5))
        return clock.next(at_us)

    async def add(self, *entries: Any) -> None:
        """Provision something."""
        await self.store.transact(lambda tx: catalog.apply(tx, entries, who="test", now_us=self.now_us))

    async def remove(self, kind: Any, key: str) -> None:
        """Provision it no more."""
        await self.store.transact(lambda tx: catalog.remove(tx, kind, key, who="test", now_us=self.now_us))

    async def put(
        self,
        age_us: int,
        *,
        state: State = State.DELIVERED,
        took_us: int = 1_000_000,
        validity_us: int = DAY,
        parts: int = 0,
        **fields: Any,
    ) -> int:
        """Journal a message that was received so long ago. Returns: its id."""
        at_us = self.now_us - age_us
        told: dict[str, Any] = {
            "id": self.new_id(at_us),
            "kind": Kind.TEXT,
            "origin": "link:a",
            "endpoint": "desk:b",
            "source": CUSTOMER,
            "destination": NUMBER,
            "text": "words",
            "call_centre": "acme",
            "received_us": at_us,
            "expires_us": at_us + validity_us,
        }
        m = Message(**(told | fields))
        row = list(journal.row_of(m, state))
        if state >= State.ACCEPTED:
            row[12] = at_us + took_us
        ops = [Op(journal.insert_message, [tuple(row)])]
        if parts:
            ids = [self.new_id(at_us) for _ in range(parts)]
            rows = [(i, m.id, "link:a", m.source, m.destination, 1, parts, n, 0, "{}") for n, i in enumerate(ids, 1)]
            ops.append(Op(journal.insert_arrived_part, rows))
            carried = [("link:a", f"c{m.id}-{n}", m.id, n, "DELIVRD") for n in range(1, parts + 1)]
            ops.append(Op(journal.insert_carrier_part, carried))
        await self.store.commit(ops)
        return m.id

    async def put_thread(self, thread_id: int, *, closed_age_us: int = 0, **fields: Any) -> None:
        """Write a thread with one event; closed so long ago, or open."""
        closed_us = self.now_us - closed_age_us if closed_age_us else 0
        token = new_token(thread_id.to_bytes(TOKEN_OCTETS, "big"))
        told = {"call_centre": "acme", "number": NUMBER, "customer": CUSTOMER, "token": token}
        row = told | {"id": thread_id, "closed_us": closed_us} | fields
        event = {"id": thread_id, "thread_id": thread_id, "call_centre": row["call_centre"], "kind": "opened"}

        def work(tx: Any) -> None:
            tx.sql.execute(thread_table.insert().values(**row))
            tx.sql.execute(event_table.insert().values(**event))

        await self.store.transact(work)

    async def publish(self, age_us: int) -> None:
        """Write a row of the feed."""
        await self.store.commit([feed.outbox(self.store, self.now_us - age_us, [("delivered", 1)])])

    def keeper(self, archive: Archive | None = None, holder: str = "test", **settings: Any) -> Keeper:
        """A keeper over this store."""
        return Keeper(self.store, lambda: self.now_us, archive, KeepingSettings(**settings), holder)

    async def ids(self) -> list[int]:
        """The messages that there are."""
        return await self._column(message.c.id)

    async def counts(self) -> tuple[int, ...]:
        """Rows of: arrived parts, carrier parts, threads, events."""
        columns = (arrived_part.c.id, carrier_part.c.message_id, thread_table.c.id, event_table.c.id)
        return tuple([len(await self._column(each)) for each in columns])

    async def rows(self, table: sqlalchemy.Table) -> Sequence[Any]:
        """All rows of a table."""
        return await self.store.read(lambda tx: tx.sql.execute(sqlalchemy.select(table)).all())

    async def _column(self, column: Any) -> list[int]:
        query = sqlalchemy.select(column).order_by(column)
        return await self.store.read(lambda tx: list(tx.sql.execute(query).scalars()))


def rule(name: str, days: float, **fields: Any) -> Retention:
    """A rule."""
    return Retention(name=name, period_days=days, **fields)


def hold(name: str, *customers: str, **fields: Any) -> LegalHold:
    """A hold on acme's messages with some customers, or all."""
    return LegalHold(name=name, call_centre="acme", customers=customers, reason="a matter", **fields)


def receipt() -> Receipt:
    """What a message of kind RECEIPT carries."""
    return Receipt("17", ReceiptState.DELIVERED)


@asynccontextmanager
async def opened_stock(url: str, *, is_new: bool = True) -> AsyncIterator[Stock]:
    """A stock over a database, which one of before has left unless it is new."""
    async with open_store(url, synchronous="OFF") as store:
        stock = Stock(store)
        if is_new:
            await store.transact(create_all)
            await stock.add(CallCentre(name="acme"), CallCentre(name="other"))
        yield stock
