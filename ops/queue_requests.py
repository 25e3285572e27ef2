"""Requests of the queue are left page by page, and waited for.

One request for each message, one transaction and one row of the audit for each page: however many there are, no
transaction is long, and the audit names every message. What is left stays left when the command is stopped; said again,
it asks only for the rest. A daemon carries requests out within a second, or when it starts.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import trio

from hub import State, operations
from hub.operations import Request, Selection, Tally
from ops import schema
from ops.cli_provision import CLI_NODE
from ops.config import Config
from store import IdClock, Store, Transaction, open_store
from store.audit import AuditEntry, append

PAGE: Final = 500  # ids that one row of the audit names
LOOK_S: Final = 0.2  # between two looks whether requests were carried out
_EVERY = tuple(State)

Tell = Callable[[int], None]


class Wish(msgspec.Struct, frozen=True):
    """What shall be done.

    Attributes:
        verb: ``"retry"`` or ``"drop"``.
        selection: with which messages.
        who: who wants it.
        via: the endpoint that dead letters shall belong to first; empty for their own.
        limit: with at most so many, 0 for all.
        detail: of the audit: by what they were selected.
    """

    verb: str
    selection: Selection
    who: str
    via: str = ""
    limit: int = 0
    detail: dict[str, str] = {}


class Left(msgspec.Struct):
    """What was left.

    Attributes:
        ids: the messages that something was asked for.
        already: messages of which something was asked before and not carried out yet.
        first_id, last_id: ids of the requests.
        outstanding: how many of them were not carried out when nobody waited any longer.
    """

    ids: list[int] = []
    already: int = 0
    first_id: int = 0
    last_id: int = 0
    outstanding: int = 0


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    """The configured store, for a command that takes more than one transaction. Raises: StoreError, OSError."""
    url = config.store_url(os.environ)
    await trio.to_thread.run_sync(schema.prepare, url)
    async with open_store(url, CLI_NODE, config.store.synchronous, readers=1) as store:
        yield store


async def leave(store: Store, wish: Wish, clock: Callable[[], int], tell: Tell) -> Left:
    """Leave requests for all that is selected.

    Args:
        store: where.
        wish: what for.
        clock: now in microseconds.
        tell: hears how many were left so far.

    Returns: what was left.
    Cancellation: between two pages; what was left stays left.
    Raises: StoreError, likewise.
    """
    left, ids = Left(), IdClock(CLI_NODE)
    after_id = 0
    while not wish.limit or len(left.ids) < wish.limit:
        limit = min(PAGE, wish.limit - len(left.ids)) if wish.limit else PAGE

        def page(tx: Transaction, after_id: int = after_id, limit: int = limit) -> tuple[list[int], list[Request]]:
            found = operations.ids_of(tx, wish.selection, after_id=after_id, limit=limit)
            return found, _ask(tx, wish, found, ids, clock)

        found, asked = await store.transact(page, rows=limit)
        if not found:
            break
        after_id = found[-1]
        left.already += len(found) - len(asked)
        if asked:
            left.ids += [request.message_id for request in asked]
            left.first_id, left.last_id = left.first_id or asked[0].id, asked[-1].id
            tell(len(left.ids))
    return left


def _ask(tx: Transaction, wish: Wish, found: Sequence[int], ids: IdClock, clock: Callable[[], int]) -> list[Request]:
    """Ask for what nothing was asked for yet, in one transaction with the audit."""
    now_us = clock()
    already = operations.asked_of(tx, found)
    wanted = [message_id for message_id in found if message_id not in already]
    if wish.via and wanted:
        wanted = operations.move(tx, wanted, wish.via)
    asked = [Request(ids.next(now_us), wish.verb, message_id, wish.who[:80], now_us) for message_id in wanted]
    operations.ask_all(tx, asked)
    if asked:
        append(tx, [_audited(wish, wanted, now_us)])
    return asked


def _audited(wish: Wish, ids: Sequence[int], now_us: int) -> AuditEntry:
    key = str(ids[0]) if len(ids) == 1 else f"{len(ids)} messages"
    detail: dict[str, object] = dict(wish.detail)
    if wish.via:
        detail["via"] = wish.via
    if len(ids) > 1:
        detail["ids"] = ids
    words = msgspec.json.encode(detail).decode() if detail else ""
    return AuditEntry(now_us, wish.who, f"asked to {wish.verb}", "message", key, words)


async def wait_carried_out(store: Store, left: Left, patience_s: float, tell: Tell) -> None:
    """Wait until requests are carried out, for as long as one is now and then.

    Args:
        store: where they are.
        left: them; ``outstanding`` says how many are not at the end.
        patience_s: how long to wait while nothing happens.
        tell: hears how many were carried out so far.

    Cancellation: any time.
    Raises: StoreError.
    """
    left.outstanding = len(left.ids)
    give_up_at = trio.current_time() + patience_s
    while left.ids:
        waiting = await store.read(lambda tx: operations.waiting_requests(tx, left.first_id, left.last_id))
        if waiting < left.outstanding:
            left.outstanding = waiting
            give_up_at = trio.current_time() + patience_s
            tell(len(left.ids) - waiting)
        if not waiting or trio.current_time() >= give_up_at:
            return
        await trio.sleep(LOOK_S)


async def whereabouts(store: Store, ids: Sequence[int]) -> list[Tally]:
    """Where messages stand now, by endpoint, state and reason; the most first. Raises: StoreError."""
    alike: dict[tuple[str, str, str], list[Tally]] = {}
    for at in range(0, len(ids), PAGE):
        selection = Selection(states=_EVERY, ids=tuple(ids[at : at + PAGE]))
        for tally in await store.read(lambda tx, selection=selection: operations.tally(tx, selection)):  # type: ignore[misc]
            alike.setdefault((tally.endpoint, tally.state, tally.reason), []).append(tally)
    counts = Counter({key: sum(tally.count for tally in tallies) for key, tallies in alike.items()})
    return [
        Tally(
            *key,
            count,
            min(tally.first_id for tally in alike[key]),
            max(tally.last_id for tally in alike[key]),
            min(tally.oldest_us for tally in alike[key]),
        )
        for key, count in counts.most_common()
    ]
