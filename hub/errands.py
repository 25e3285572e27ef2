"""Errands: what one node asks of another, which holds the lanes that it is about.

A sender may be bound at one node and its text wait at another: who cancels or replaces it must have hold of it there.
The one that is asked writes an errand, the holder of the endpoint carries it out when it hears of it and writes the
answer into it, the one that asked takes both away. Whatever dies in between, an errand that nobody waits for any more
is carried out at most once, and forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog
import trio
from sqlalchemy import delete, insert, select, update

from hub.tables import errand
from store import Store, StoreError, StoreUnavailable, Transaction, id_time_us

PATIENCE_S = 5.0
LOOK_S = 0.03  # the first look for an answer; each further wait is longer
LONGEST_LOOK_S = 0.5
FORGOTTEN_US = 60_000_000
PAGE = 100

log = structlog.get_logger("hub.errands")


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """End those of some texts that nothing has been sent of. The answer is how many.

    Attributes:
        message_ids: which.
    """

    message_ids: list[int]


class Replace(msgspec.Struct, frozen=True, tag="replace"):
    """Write a text's row anew, if nothing of it has been sent. The answer is 1 when that is done, else 0.

    Attributes:
        row: the new one, in the order of ``journal.MESSAGE_COLUMNS``.
        body: of the row that it takes the place of.
    """

    row: list[Any]
    body: str


class _Envelope(msgspec.Struct, frozen=True):
    """The JSON of an errand. ``v`` is the version of its form."""

    v: int
    what: Cancel | Replace


class Asked(msgspec.Struct, frozen=True):
    """An errand that nobody has carried out.

    Attributes:
        id: its id.
        endpoint: whose holder is asked.
        what: what for; None when it is of a form that this version does not know.
    """

    id: int
    endpoint: str
    what: Cancel | Replace | None


def asked(tx: Transaction, endpoints: Sequence[str]) -> list[Asked]:
    """What is asked of the holder of some endpoints, the oldest first."""
    c = errand.c
    query = select(c.id, c.endpoint, c.body).where(c.endpoint.in_(endpoints), c.answer == "").order_by(c.id).limit(PAGE)
    return [Asked(row[0], row[1], _what_of(row[2])) for row in tx.sql.execute(query).all()]


def _what_of(body: str) -> Cancel | Replace | None:
    try:
        return msgspec.json.decode(body, type=_Envelope).what
    except msgspec.MsgspecError:  # nodes are brought to another version one after the other
        return None


def answer(tx: Transaction, errand_id: int, count: int) -> None:
    """It was carried out."""
    tx.sql.execute(update(errand).where(errand.c.id == errand_id).values(answer=str(count)))


class Errands:
    """See the module's head.

    Args:
        store: which the nodes share.
        ring: tells the holder of endpoints that there is something for it.
    """

    def __init__(self, store: Store, ring: Callable[[Sequence[str]], None]) -> None:
        self._store = store
        self._ring = ring

    async def ask(self, endpoint: str, what: Cancel | Replace) -> int:
        """Ask the holder of an endpoint, and wait for its answer.

        Raises: StoreUnavailable, ``in_doubt``: no answer came; it may have been carried out. StoreError.
        """
        errand_id = self._store.new_id()
        body = msgspec.json.encode(_Envelope(1, what)).decode()
        verb = "cancel" if isinstance(what, Cancel) else "replace"
        row = {"id": errand_id, "node": self._store.node, "endpoint": endpoint, "verb": verb, "body": body}
        await self._store.transact(lambda tx: tx.sql.execute(insert(errand).values(**row, answer="")).close())
        self._ring([endpoint])
        wait_s = LOOK_S
        try:
            with trio.move_on_after(PATIENCE_S):
                while True:
                    await trio.sleep(wait_s)
                    wait_s = min(2 * wait_s, LONGEST_LOOK_S)
                    query = select(errand.c.answer).where(errand.c.id == errand_id)
                    found = await self._store.read(lambda tx, query=query: tx.sql.execute(query).scalar())  # type: ignore[misc]
                    if found:
                        return int(found)
        finally:
            with trio.CancelScope(shield=True):
                await self._forget(errand_id)
        raise StoreUnavailable(f"the node that holds {endpoint} did not answer", in_doubt=True)

    async def carry_out(self, endpoints: Sequence[str], work: Callable[[Asked], Awaitable[int]]) -> None:
        """Carry out what is asked of this node.

        Args:
            endpoints: whose lanes are here.
            work: does one errand and says how often.

        Raises: StoreError: what was not done stays asked for.
        """
        for each in await self._store.read(lambda tx: asked(tx, endpoints)):
            if each.what is None:
                log.warning("an errand of another version cannot be done", errand=each.id, endpoint=each.endpoint)
            done = await work(each) if each.what is not None else 0
            await self._store.transact(lambda tx, each=each, done=done: answer(tx, each.id, done))  # type: ignore[misc]

    async def forget_old(self, now_us: int) -> None:
        """Take away what a node has left that is no more. Raises: StoreError."""

        def work(tx: Transaction) -> None:
            ids = [row[0] for row in tx.sql.execute(select(errand.c.id)).all()]
            old = [errand_id for errand_id in ids if id_time_us(errand_id) < now_us - FORGOTTEN_US]
            if old:
                tx.sql.execute(delete(errand).where(errand.c.id.in_(old)))

        await self._store.transact(work)

    async def _forget(self, errand_id: int) -> None:
        try:
            await self._store.transact(
                lambda tx: tx.sql.execute(delete(errand).where(errand.c.id == errand_id)).close()
            )
        except StoreError as error:
            log.info("an errand stays until it is forgotten", error=type(error).__name__)
