"""What senders ask of texts that they gave to the hub: how they stand, to be cancelled, to say something else.

A text is named by an id that its sender was given: the hub's id of it, of one part of it, or of several texts that came
as one (``Intake.receive_as_one``). Nobody is told of, and nobody touches, what came from another endpoint.

Cancelling and replacing race with dispatch, so both first take hold of the text (``Dispatcher.lay_hold``): from there
on it is not given, wherever it lies. Then its row is read again, and only if nothing of it has been on the wire, the
row is changed. An answer is given when that is on disk.

| the text | may be cancelled | may be replaced |
| --- | --- | --- |
| waits, was never given | yes | yes |
| was refused for now, and waits for another try | yes | no |
| a part of it is on the wire, was handed over, or may have been | no | no |
| handed over, ended | no | no |

Of a text whose lane another node holds, that node is asked (``hub.errands``).

Of texts to a call centre none is replaced: their words have decided on their conversation already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import trio
from sqlalchemy import Select, select

from hub import feed, journal, operations, receipts
from hub.dispatch import Dispatcher
from hub.elsewhere import Ways
from hub.errands import Asked, Cancel, Errands, Replace
from hub.intake import MAX_TEXT_CHARACTERS
from hub.model import Effect, Fate, Kind, Message, Name, ReceiptState, State
from hub.outcomes import WORDS, Outcomes
from hub.parts import mended
from hub.queued import Queued
from hub.tables import arrived_part, message
from store import Op, SelectByKeys, Store, StoreError, StoreUnavailable, Transaction, Update

MOST_AS_ONE = 254  # texts under one id: the destinations of a submit_multi (SMPP 3.4 §4.5.1)
# Ids given out at once are neighbours, but for the millisecond that ends between them (store.ids).
_NEIGHBOURS = 2 << 22
_LAST_ID = (1 << 63) - 1  # what a column holds: a sender may ask for any id
QUERY_PAGE = 100  # texts looked for in one read: who asks for thousands holds up nobody's dispatch
CANCEL_PAGE = 500  # texts cancelled in one write
CANCELLED = "cancelled"
STORE_RETRY_S = 0.5

_select_parts = SelectByKeys(arrived_part, ("id", "message_id", "origin", "source", "destination"), key=("id",))
_rewrite = Update(message, key=("id",), set=("state", "expires_us", "next_us", "receipt_wanted", "body"))


UNDER_WAY = Fate(ReceiptState.ENROUTE)


def fate_of(row: Sequence[Any], now_us: int) -> Fate:
    """How the text of a row stands.

    Args:
        row: in the order of ``journal.MESSAGE_COLUMNS``.
        now_us: now.
    """
    state, done_us, reason = State(row[2]), row[12], row[19]
    if state is State.QUEUED and row[14] == 0 and row[11] > now_us and journal.message_of(row).not_before_us > now_us:
        return Fate(ReceiptState.ENROUTE, scheduled=True)
    if state in (State.QUEUED, State.SUBMITTING, State.ACCEPTED):
        return UNDER_WAY
    if state is State.DELIVERED:
        return Fate(ReceiptState.DELIVERED, done_us=done_us)
    if state is State.UNDELIVERABLE:
        word, error = receipts.word_of(reason)
        return Fate(word, done_us=done_us, error=error)
    return Fate(WORDS.get(reason.partition(":")[0], ReceiptState.UNDELIVERABLE), done_us=done_us)


def fate_of_all(fates: Sequence[Fate]) -> Fate:
    """How several texts under one id stand: under way until all have ended, and delivered when all are."""
    open_ones = [fate for fate in fates if not fate.state.is_final]
    if open_ones:
        return open_ones[0] if all(fate.scheduled for fate in fates) else UNDER_WAY
    worst = next((fate for fate in fates if fate.state is not ReceiptState.DELIVERED), fates[0])
    return msgspec.structs.replace(worst, done_us=max(fate.done_us for fate in fates))


class Found:
    """What an id stands for.

    Attributes:
        rows: of the texts, in the order of ``journal.MESSAGE_COLUMNS``.
        whole: True when the id is that of one text: not of a part, nor of several texts.
        incomplete: parts of the text have not come yet.
    """

    __slots__ = ("incomplete", "rows", "whole")

    def __init__(self, rows: list[Sequence[Any]], *, whole: bool, incomplete: bool = False) -> None:
        self.rows = rows
        self.whole = whole
        self.incomplete = incomplete

    def fate(self, now_us: int) -> Fate:
        """How it stands."""
        if self.incomplete:
            return UNDER_WAY
        return fate_of_all([fate_of(row, now_us) for row in self.rows])


def find(tx: Transaction, endpoint: str, names: Sequence[Name]) -> list[Found | None]:
    """What an endpoint means by names. Returns: for each, what it stands for; None when it gave no such text."""
    ids = [(name.message_id,) for name in names]
    texts = {row[0]: row for row in tx.select(journal.select_messages, ids)}
    rest = [key for key in ids if key[0] not in texts]
    parts = {row[0]: row for row in tx.select(_select_parts, rest)} if rest else {}
    wholes = list({(row[1],) for row in parts.values() if row[1]})
    of_parts = {row[0]: row for row in tx.select(journal.select_messages, wholes)} if wholes else {}
    found: list[Found | None] = []
    for name in names:
        row, part = texts.get(name.message_id), parts.get(name.message_id)
        if row is not None:
            fits = row[1] == Kind.TEXT and row[3] == endpoint and _fits(name, row[5], row[6])
            found.append(Found([row], whole=True) if fits else None)
        elif part is not None:
            if part[2] != endpoint or not _fits(name, part[3], part[4]):
                found.append(None)
            elif part[1] in of_parts:
                found.append(Found([of_parts[part[1]]], whole=False))
            else:
                found.append(Found([], whole=False, incomplete=True))
        else:
            found.append(_find_as_one(tx, endpoint, name))
    return found


def _find_as_one(tx: Transaction, endpoint: str, name: Name) -> Found | None:
    """The texts that came as one under an id: their own ids are the next ones."""
    first, last, upstream_id = name.message_id, min(name.message_id + _NEIGHBOURS, _LAST_ID), str(name.message_id)
    texts = tx.sql.execute(neighbours(first, last, endpoint)).all()
    rows: list[Sequence[Any]] = [row for row in texts if journal.message_of(row).upstream_id == upstream_id]
    incomplete = False
    if not rows:
        parts = [
            (row[0], row[1])
            for row in tx.sql.execute(neighbouring_parts(first, last, endpoint)).all()
            if journal.arrival_of(row[2]).upstream_id == upstream_id
        ]
        wholes = list({(message_id,) for _, message_id in parts if message_id})
        rows = list(tx.select(journal.select_messages, wholes)) if wholes else []
        incomplete = any(not message_id for _, message_id in parts)
        if not parts:
            return None
    if any(not _fits(name, row[5], "") for row in rows):
        return None
    if name.destination:
        rows = [row for row in rows if row[6] == name.destination]
    return Found(rows, whole=False, incomplete=incomplete) if rows or incomplete else None


def neighbours(first: int, last: int, endpoint: str) -> Select[Any]:
    """Messages that came from an endpoint, with ids after ``first`` and up to ``last``."""
    c = message.c
    columns = [c[name] for name in journal.MESSAGE_COLUMNS]
    own = (c.id > first, c.id <= last, c.origin == endpoint)
    return select(*columns).where(*own).order_by(c.id).limit(MOST_AS_ONE)


def neighbouring_parts(first: int, last: int, endpoint: str) -> Select[Any]:
    """Parts of texts likewise."""
    c = arrived_part.c
    own = (c.id > first, c.id <= last, c.origin == endpoint)
    return select(c.id, c.message_id, c.body).where(*own).order_by(c.id).limit(MOST_AS_ONE)


def pending_between(endpoint: str, source: str, destination: str, after_id: int, limit: int) -> Select[Any]:
    """Pending messages that came from an endpoint, of one source to one destination, in order of id."""
    return journal.pending_between(source, destination, after_id, limit).where(message.c.origin == endpoint)


def _fits(name: Name, source: str, destination: str) -> bool:
    return _same(name.source, source) and (not destination or _same(name.destination, destination))


def _same(asked: str, known: str) -> bool:
    """Whether two addresses are one. Peers often leave out the type of number when they only ask."""
    return not asked or asked == known or (asked.lstrip("+") == known.lstrip("+") and asked.lstrip("+").isdigit())


def _is_untouched(standing: journal.Standing, entry: Queued | None) -> bool:
    """Whether nothing of a pending text has been on the wire, as its row and its entry in memory say."""
    if standing.next_part or standing.in_doubt:
        return False
    if entry is None:
        return standing.state is State.QUEUED  # else a restart has found it in doubt, and not loaded it yet
    return not (entry.next_part or entry.in_doubt or entry.doubtful)


class Requests:
    """See the module's head.

    Args:
        store: the journal's store.
        clock: now in microseconds.
        dispatchers: by endpoint name, of those whose lanes are here; the hub's, live.
        ways: by endpoint name, of all; the hub's, live.
        outcomes: the hub's.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        dispatchers: Mapping[str, Dispatcher],
        ways: Ways,
        outcomes: Outcomes,
    ) -> None:
        self._ways = ways
        self.errands = Errands(store, lambda endpoints: ways.ring(endpoints))
        self._store = store
        self._clock = clock
        self._dispatchers = dispatchers
        self._outcomes = outcomes
        self._burying = trio.Lock()  # of texts whose endpoint is gone: nothing else keeps two requests apart

    async def query(self, endpoint: str, names: Sequence[Name]) -> list[Fate | None]:
        """See ``hub.endpoint.Road.query``."""
        fates: list[Fate | None] = []
        for at in range(0, len(names), QUERY_PAGE):
            page = names[at : at + QUERY_PAGE]
            found = await self._store.read(lambda tx, page=page: find(tx, endpoint, page))  # type: ignore[misc]
            now_us = self._clock()
            fates += [each.fate(now_us) if each is not None else None for each in found]
        return fates

    # --- cancelling --------------------------------------------------------------------------------------------------

    async def cancel(self, endpoint: str, name: Name) -> Effect:
        """See ``hub.endpoint.Road.cancel``."""
        (found,) = await self._store.read(lambda tx: find(tx, endpoint, [name]))
        if found is None:
            return Effect.UNKNOWN
        rows = found.rows
        if await self._cancel([journal.standing_of(row) for row in rows if row[2] in operations.PENDING]):
            return Effect.DONE
        # With a text, each of its parts was cancelled: the sender asks for one after the other.
        is_repetition = not found.whole and rows and all(_is_cancelled(row) for row in rows)
        return Effect.DONE if is_repetition else Effect.IMPOSSIBLE

    async def cancel_all(self, endpoint: str, source: str, destination: str, service_type: str) -> int:
        """See ``hub.endpoint.Road.cancel_all``."""
        after_id = cancelled = 0
        while True:
            query = pending_between(endpoint, source, destination, after_id, CANCEL_PAGE)
            rows = await self._store.read(lambda tx, query=query: tx.sql.execute(query).all())  # type: ignore[misc]
            standings = [journal.standing_of(row) for row in rows if row[1] == Kind.TEXT]
            if service_type:
                standings = [s for s in standings if s.message.attributes.get("service_type", "") == service_type]
            cancelled += await self._cancel(standings)
            if len(rows) < CANCEL_PAGE:
                return cancelled
            after_id = rows[-1][0]

    async def _cancel(self, standings: Sequence[journal.Standing]) -> int:
        """End those of some pending texts that nothing has been sent of. Returns: how many."""
        by_endpoint: dict[str, list[int]] = {}
        for standing in standings:
            by_endpoint.setdefault(standing.message.endpoint, []).append(standing.message.id)
        cancelled = 0
        for endpoint, ids in by_endpoint.items():
            dispatcher = self._dispatchers.get(endpoint)
            if dispatcher is not None:
                cancelled += await self._withdraw(dispatcher, ids)
                continue
            if endpoint in self._ways:
                cancelled += await self.errands.ask(endpoint, Cancel(ids))
                continue
            async with self._burying:
                pending = await self._store.read(lambda tx, ids=ids: operations.standings(tx, ids))  # type: ignore[misc]
                untouched = [standing for standing in pending if _is_untouched(standing, None)]
                await self._outcomes.bury(endpoint, untouched, CANCELLED)
                cancelled += len(untouched)
        return cancelled

    async def _withdraw(self, dispatcher: Dispatcher, message_ids: Sequence[int]) -> int:
        gripped = [message_id for message_id in message_ids if dispatcher.lay_hold(message_id)]
        ending: list[tuple[Queued, str]] = []
        aside: list[Queued] = []
        try:
            for standing in await self._store.read(lambda tx: operations.standings(tx, gripped)):
                entry = dispatcher.held.get(standing.message.id)
                if _is_untouched(standing, entry):
                    if entry is None:
                        entry = dispatcher.take_aside(standing)
                        aside.append(entry)
                    ending.append((entry, CANCELLED))
            await self._outcomes.give_up(dispatcher, ending)
        finally:
            now_us = self._clock()
            for entry in aside:
                if dispatcher.held.get(entry.id) is entry:  # the session died before the store took its end
                    dispatcher.put_back(entry, now_us)
            for message_id in gripped:
                dispatcher.let_go(message_id, now_us)
        return len(ending)

    # --- replacing ---------------------------------------------------------------------------------------------------

    async def replace(self, endpoint: str, name: Name, rewrite: Callable[[Message], Message | None]) -> Effect:
        """See ``hub.endpoint.Road.replace``."""
        (found,) = await self._store.read(lambda tx: find(tx, endpoint, [name]))
        if found is None:
            return Effect.UNKNOWN
        if not found.whole:
            return Effect.IMPOSSIBLE
        target = found.rows[0][4]
        dispatcher = self._dispatchers.get(target)
        if dispatcher is not None:
            is_done = await self._write_anew(
                dispatcher, name.message_id, lambda row: _changed(journal.message_of(row), rewrite)
            )
            return Effect.DONE if is_done else Effect.IMPOSSIBLE
        return await self._replace_elsewhere(found.rows[0], rewrite) if target in self._ways else Effect.IMPOSSIBLE

    async def _write_anew(
        self, dispatcher: Dispatcher, message_id: int, change: Callable[[Sequence[Any]], Message | None]
    ) -> bool:
        """Take hold of a text of which nothing was sent, and write it as ``change`` makes it of its row.

        Returns: whether that is done: not when it is being given or was sent before, or ``change`` makes nothing of it.
        Raises: StoreError: it was not written.
        """
        if not dispatcher.lay_hold(message_id):
            return False
        rewritten: journal.Standing | None = None
        try:
            rows = await self._store.read(lambda tx: tx.select(journal.select_messages, [(message_id,)]))
            if not rows or rows[0][2] not in operations.PENDING:
                return False
            before = journal.standing_of(rows[0])
            if before.attempts or not _is_untouched(before, dispatcher.held.get(message_id)):
                return False
            changed = change(rows[0])
            if changed is None:
                return False
            standing = journal.Standing(changed, State.QUEUED, 0, 0, changed.not_before_us, 0)
            rewritten = standing if await self._write(standing) else None
        finally:
            dispatcher.let_go(message_id, self._clock(), rewritten)
        return rewritten is not None

    async def _replace_elsewhere(self, row: Sequence[Any], rewrite: Callable[[Message], Message | None]) -> Effect:
        """Replace a text whose lane another node holds."""
        if row[2] not in operations.PENDING or not _is_untouched(journal.standing_of(row), None):
            return Effect.IMPOSSIBLE
        changed = _changed(journal.message_of(row), rewrite)
        if changed is None:
            return Effect.IMPOSSIBLE
        what = Replace(list(journal.row_of(changed, State.QUEUED)), row[20])
        return Effect.DONE if await self.errands.ask(row[4], what) else Effect.IMPOSSIBLE

    # --- what other nodes ask ----------------------------------------------------------------------------------------

    async def carry_out(self) -> None:
        """Do what other nodes ask of this one. Raises: StoreError."""
        await self.errands.carry_out(list(self._dispatchers), self._oblige)

    async def _oblige(self, asked: Asked) -> int:
        dispatcher = self._dispatchers.get(asked.endpoint)
        if dispatcher is None or asked.what is None:  # it has moved on: who asked will ask again
            return 0
        if isinstance(asked.what, Cancel):
            return await self._withdraw(dispatcher, asked.what.message_ids)
        row, body = asked.what.row, asked.what.body
        return int(
            await self._write_anew(
                dispatcher, int(row[0]), lambda found: journal.message_of(row) if found[20] == body else None
            )
        )

    async def _write(self, standing: journal.Standing) -> bool:
        """Write a text's row anew. Returns: whether that is done; its text is held all the while.

        Raises: StoreError: it was not written.
        """
        row = journal.row_of(standing.message, State.QUEUED)
        values = (row[0], row[2], row[10], standing.next_us, row[16], row[20])
        now_us = self._clock()

        def work(tx: Transaction) -> bool:
            pending = operations.standings(tx, [row[0]])
            if not pending or pending[0].next_part or pending[0].in_doubt or pending[0].attempts:
                return False
            tx.write(Op(_rewrite, [values]))
            tx.write(feed.outbox(self._store, now_us, [("replaced", row[0])]))
            return True

        try:
            with trio.CancelScope(shield=True):
                return await self._store.transact(work)
        except StoreUnavailable as error:
            if not error.in_doubt:
                raise
        while True:  # nobody knows whether it was written: memory must not say something else than the row
            await trio.sleep(STORE_RETRY_S)
            try:
                rows = await self._store.read(lambda tx: tx.select(journal.select_messages, [(row[0],)]))
            except StoreError:
                continue
            return bool(rows) and rows[0][20] == row[20] and rows[0][10] == row[10]


def _changed(before: Message, rewrite: Callable[[Message], Message | None]) -> Message | None:
    """What a text is to be from now on; None when it stays what it is."""
    # A text to a call centre has begun or gone on with a conversation by its words: they stay what they were.
    changed = rewrite(before) if not before.call_centre else None
    if changed is None or len(changed.text) > MAX_TEXT_CHARACTERS:
        return None
    return msgspec.structs.replace(changed, text=mended(changed.text))


def _is_cancelled(row: Sequence[Any]) -> bool:
    return bool(row[2] == State.DROPPED and row[19] == CANCELLED)
