"""What operators asked for is carried out: dead letters are queued again, messages are given up.

Requests come page by page in the order in which they were left. Those of a page that ask for the same follow each other
in one write, so that ten thousand dead letters are some fifty transactions. What cannot be done is done with as well:
a message that is gone, that is no dead letter any more, whose endpoint is gone, or whose recipient is out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby

import structlog

from hub import journal, operations
from hub.dispatch import Dispatcher
from hub.model import Kind, Message, State
from hub.operations import Request
from hub.opt_out_follower import REASON
from store import Store, Transaction

EndUnwanted = Callable[[Sequence[journal.Standing], str], Awaitable[None]]
Spares = Callable[[Transaction, Message], bool]

log = structlog.get_logger("hub.operator_requests")


class OperatorRequests:
    """See the module's head.

    Args:
        store: the journal's store.
        clock: now in microseconds.
        dispatchers: by endpoint name; the hub's, live.
        end_unwanted: ends messages that wait, and those that are being given should they come back.
        spares: whether a dead letter may not be sent again, since who it is to is out.
        ends: whether it is this node that does something about an endpoint's messages; "" for those that are gone.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        dispatchers: Mapping[str, Dispatcher],
        end_unwanted: EndUnwanted,
        spares: Spares,
        ends: Callable[[str], bool],
    ) -> None:
        self._ends = ends
        self._store = store
        self._clock = clock
        self._dispatchers = dispatchers
        self._end_unwanted = end_unwanted
        self._spares = spares

    async def carry_out(self) -> None:
        """Carry out all that was asked for.

        Cancellation: what was not done stays asked for.
        Raises: StoreError, likewise.
        """
        last_id = 0
        while page := await self._store.read(lambda tx, last_id=last_id: operations.requests(tx, last_id)):  # type: ignore[misc]
            last_id = page[-1].id
            own = await self._own(page) if self._store.is_shared else page
            for verb, same in groupby(own, key=lambda request: request.verb):
                asked = list(same)
                ids = list(dict.fromkeys(request.message_id for request in asked))
                if verb == "drop":
                    await self._drop(ids)
                elif verb == "retry":
                    await self._retry(ids)
                await self._store.transact(lambda tx, asked=asked: operations.done(tx, asked))  # type: ignore[misc]
                self._tell(verb, asked)

    async def _own(self, page: Sequence[Request]) -> list[Request]:
        """Those requests that are for this node, of several."""
        ids = [request.message_id for request in page]
        endpoints = await self._store.read(lambda tx: operations.endpoints_of(tx, ids))
        return [request for request in page if self._ends(endpoints.get(request.message_id, ""))]

    @staticmethod
    def _tell(verb: str, asked: Sequence[Request]) -> None:
        who = ", ".join(sorted({request.who for request in asked}))
        first = asked[0].message_id
        log.info("operators' requests carried out", verb=verb, count=len(asked), first_message_id=first, who=who)

    async def _drop(self, ids: Sequence[int]) -> None:
        waiting = await self._store.read(lambda tx: operations.standings(tx, ids))
        if waiting:
            await self._end_unwanted(waiting, "dropped")
        await self._store.transact(lambda tx: operations.drop_dead(tx, ids))

    async def _retry(self, ids: Sequence[int]) -> None:
        by_endpoint, spared = await self._store.read(lambda tx: self._dead(tx, ids))
        if spared:
            log.info("their recipients are out: they stay dead letters", count=spared, reason=REASON)
        for endpoint, dead in by_endpoint.items():
            dispatcher = self._dispatchers.get(endpoint)
            if dispatcher is None:
                log.warning("no such endpoint: they stay dead letters", endpoint=endpoint, count=len(dead))
            else:
                await self._replay(dispatcher, dead)

    def _dead(self, tx: Transaction, ids: Sequence[int]) -> tuple[dict[str, list[int]], int]:
        """Those of some messages that are dead letters and may be sent, by endpoint; and how many may not."""
        by_endpoint: dict[str, list[int]] = {}
        spared = 0
        for standing in operations.standings(tx, ids, (State.DEAD,)):
            message = standing.message
            if message.kind is Kind.TEXT and self._spares(tx, message):
                spared += 1
            else:
                by_endpoint.setdefault(message.endpoint, []).append(message.id)
        return by_endpoint, spared

    async def _replay(self, dispatcher: Dispatcher, ids: Sequence[int]) -> None:
        expires_us = self._clock() + dispatcher.endpoint.validity_us
        for message_id in ids:
            dispatcher.begin_replay(message_id)
        revived: dict[int, journal.Standing] = {}
        try:
            standings = await self._store.transact(lambda tx: operations.revive(tx, ids, expires_us), rows=len(ids))
            revived = {standing.message.id: standing for standing in standings}
        finally:
            for message_id in ids:
                dispatcher.end_replay(revived.get(message_id), message_id)
