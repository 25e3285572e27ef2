"""Outcomes: what became of parts, into the journal, and on from there.

| result | the row says | the lane |
| --- | --- | --- |
| ACCEPTED, more parts to come | SUBMITTING, next part | goes on after the gap |
| ACCEPTED, the last part | ACCEPTED, or DELIVERED where no receipts come; the outcome's word | goes on behind it |
| RETRY | QUEUED, due later; DEAD when trying has ended | waits |
| THROTTLED, UNSENT, REROUTED | QUEUED, unless an earlier try is in doubt | the same head, soon |
| IN_DOUBT | SUBMITTING, in doubt | the same head, same identity |
| REFUSED | DEAD, with the reason | goes on behind it |

A lane goes on only after its outcome is on disk: what the row says next is never behind what the wire has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
import trio

from hub import feed, journal, receipts
from hub.dispatch import Dispatcher
from hub.elsewhere import Ways
from hub.model import Kind, Message, Outcome, ReceiptState, Result, State
from hub.queued import Queued
from hub.retry import DEFAULT_WAITS, THROTTLE_WAIT_US, RetryWaits, decide_retry
from hub.statistics import Counters
from hub.tables import NEVER_US
from store import Op, Store, StoreError, StoreUnavailable, Transaction

STORE_RETRY_S = 0.5
REASON_CHARACTERS = 80

log = structlog.get_logger("hub.outcomes")

# What upstream hears when the hub gives a message up, by reason.
WORDS = {
    "expired": ReceiptState.EXPIRED,
    "dropped": ReceiptState.DELETED,
    "cancelled": ReceiptState.DELETED,
    "opted-out": ReceiptState.REJECTED,
    "filtered": ReceiptState.REJECTED,
}

# Somebody wanted it so: no dead letter.
_WITHDRAWN = ("dropped", "cancelled")

# Results that leave a part where it was: the events they are counted as.
_NOT_TAKEN = {Result.THROTTLED: "throttled", Result.UNSENT: "unsent", Result.REROUTED: "rerouted"}


class Batch:
    """What a list of outcomes comes to.

    Attributes:
        moves: rows of ``journal.move_message``.
        carrier_parts: rows of ``journal.insert_carrier_part``.
        awaited: (carrier's id, message id, part) of the same, by the endpoint whose ids these are.
        ended: entries that are finished with.
        going: entries that go on, and when.
        told: (message, word, error) whose senders are owed receipts now.
        settled: ids of handed-over messages, once for each part that no receipt comes for while one comes for others.
        review: ids of handed-over messages of several parts, some of whose receipts may have come.
        events: for the feed.
    """

    def __init__(self) -> None:
        self.moves: list[tuple[Any, ...]] = []
        self.carrier_parts: list[tuple[Any, ...]] = []
        self.awaited: dict[str, list[tuple[str, int, int]]] = {}
        self.ended: list[Queued] = []
        self.going: list[tuple[Queued, int]] = []
        self.told: list[tuple[Message, ReceiptState, str]] = []
        self.settled: list[int] = []
        self.review: list[int] = []
        self.events: list[tuple[str | int, ...]] = []


class Outcomes:
    """See the module's head.

    Args:
        store: the journal's store.
        clock: now in microseconds.
        dispatchers: by endpoint name, of those whose lanes are here; the hub's, live.
        ways: by endpoint name, of all; the hub's, live.
        counters: the hub's.
        waits: of retries; may be changed.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        dispatchers: Mapping[str, Dispatcher],
        ways: Ways,
        counters: Counters,
        waits: RetryWaits = DEFAULT_WAITS,
    ) -> None:
        self.waits = waits
        self._store = store
        self._clock = clock
        self._dispatchers = dispatchers
        self._ways = ways
        self._counters = counters

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        """See ``hub.endpoint.Road.report``. Never gives up: an outcome that is not journalled would be a duplicate."""
        dispatcher = self._dispatchers.get(endpoint)
        if dispatcher is None:  # taken off the road before it had answered: its rows say that they are in doubt
            log.warning("outcomes of an endpoint that is gone", endpoint=endpoint, outcomes=len(outcomes))
            return
        now_us = self._clock()
        batch = Batch()
        for outcome in outcomes:
            entry = dispatcher.held.get(outcome.part.message.id)
            if entry is not None and entry.flying and outcome.part.number == entry.next_part + 1:
                entry.flying = False  # one outcome for each part: a second one says nothing
                self._decide(dispatcher, entry, outcome, now_us, batch)
        await self.write(endpoint, dispatcher, batch)

    async def give_up(self, dispatcher: Dispatcher, entries: Sequence[tuple[Queued, str]]) -> None:
        """End entries that cannot be given any more, each for a reason."""
        now_us = self._clock()
        batch = Batch()
        for entry, reason in entries:
            self._die(dispatcher.name, entry, reason, now_us, batch)
        await self.write(dispatcher.name, dispatcher, batch)

    async def bury(self, endpoint: str, standings: Sequence[journal.Standing], reason: str) -> None:
        """End messages of an endpoint that there is none of any more."""
        now_us = self._clock()
        batch = Batch()
        for standing in standings:
            entry = Queued(standing.message.id, standing.message)
            entry.stands(standing)
            self._die(endpoint, entry, reason, now_us, batch)
        await self.write(endpoint, None, batch)

    async def write(self, endpoint: str, dispatcher: Dispatcher | None, batch: Batch) -> None:
        """Journal a batch and let its lanes go on.

        Cancellation: between two tries only. A batch that is being written when its session dies is settled first.
        """
        while batch.moves:
            try:
                with trio.CancelScope(shield=True):
                    news = await self._commit(endpoint, batch)
            except StoreError as error:
                log.warning("journal refused outcomes, trying again", error=type(error).__name__)
                await trio.sleep(STORE_RETRY_S)
                if isinstance(error, StoreUnavailable) and error.in_doubt and await self._was_written(batch):
                    for each in self._ways.values():  # who is told of what is not known: some were parked
                        each.receipts_doubtful()
                    break
            else:
                self._ways.ring(news.rung)
                for name, last_id in news.made.items():
                    if name in self._ways:
                        self._ways[name].receipts_made(news.first[name], last_id)
                break
        if dispatcher is None:
            return
        now_us = self._clock()
        for entry in batch.ended:
            dispatcher.ended(entry, now_us)
        for entry, at_us in batch.going:
            dispatcher.goes_on(entry, at_us, now_us)
        dispatcher.wake()

    async def _was_written(self, batch: Batch) -> bool:
        """Whether a batch is in the journal whose commit nobody answered for: all of it is, or nothing."""
        move = batch.moves[0]  # no move leaves its row as it was
        is_over = move[1] > State.SUBMITTING  # then its state may have gone on since
        while True:
            try:
                rows = await self._store.read(lambda tx: tx.select(journal.select_messages, [(move[0],)]))
                if not rows or tuple(rows[0][13:16]) != move[2:5]:
                    return False
                return bool(rows[0][2] >= move[1] if is_over else rows[0][2] == move[1])
            except StoreError:
                await trio.sleep(STORE_RETRY_S)

    async def _commit(self, endpoint: str, batch: Batch) -> receipts.News:
        if not (batch.told or batch.carrier_parts or batch.review):
            ops = [Op(journal.move_message, batch.moves)]
            if batch.events:
                ops.append(feed.outbox(self._store, self._clock(), batch.events))
            await self._store.commit(ops)
            return receipts.News({}, [])
        return await self._store.transact(lambda tx: self._in_writer(tx, endpoint, batch))

    def _in_writer(self, tx: Transaction, endpoint: str, batch: Batch) -> receipts.News:
        """The transaction of a batch with receipts in it. May run more than once."""
        new_id, now_us = self._store.new_id, self._clock()
        news = receipts.News({}, list(batch.events))
        tx.write(Op(journal.move_message, batch.moves))
        if batch.carrier_parts:
            tx.write(Op(journal.insert_carrier_part, batch.carrier_parts))
        made = [
            receipt
            for message, word, error in batch.told
            for receipt in receipts.make_receipts(message, word, error, now_us, new_id, self._validity_us)
        ]
        receipts.publish(tx, made, news)
        for via, awaited in batch.awaited.items():
            receipts.unpark(tx, via, awaited, now_us, new_id, self._validity_us, news)
        handed_over = [("", message_id, 0, receipts.HANDED_OVER) for message_id in batch.settled]
        receipts.settle(tx, endpoint, handed_over, now_us, new_id, self._validity_us, news, batch.review)
        if news.events:
            tx.write(feed.outbox(self._store, now_us, news.events))
        self._ways.write_bells(tx, (), news)
        return news

    def _validity_us(self, endpoint: str) -> int:
        way = self._ways.get(endpoint)
        return way.endpoint.validity_us if way is not None else 86_400_000_000

    # --- deciding ----------------------------------------------------------------------------------------------------

    def _decide(self, dispatcher: Dispatcher, entry: Queued, outcome: Outcome, now_us: int, batch: Batch) -> None:
        result, name = outcome.result, dispatcher.name
        if result is Result.ACCEPTED:
            self._accepted(name, entry, outcome, now_us, batch)
        elif result is Result.RETRY:
            self._retry(dispatcher, entry, outcome, now_us, batch)
        elif result is Result.REFUSED:
            self._die(name, entry, outcome.reason or "refused", now_us, batch)
        elif result is Result.IN_DOUBT:
            self._counters.count("in_doubt", name)
            entry.in_doubt += 1
            if dispatcher.hold_in_doubt:
                self._die(name, entry, "in-doubt", now_us, batch)
                return
            entry.doubtful = True
            batch.moves.append(_move(entry, State.SUBMITTING, 0, 0, outcome.reason))
            batch.going.append((entry, now_us))
        else:
            self._counters.count(_NOT_TAKEN[result], name)
            wait_us = outcome.retry_after_us or (THROTTLE_WAIT_US if result is Result.THROTTLED else 0)
            if not entry.doubtful:  # nobody has it: a restart must not take it for a doubt
                entry.claimed = False
                batch.moves.append(_move(entry, State.QUEUED, 0, 0, outcome.reason))
            batch.going.append((entry, now_us + wait_us))

    def _accepted(self, name: str, entry: Queued, outcome: Outcome, now_us: int, batch: Batch) -> None:
        part = outcome.part
        message = part.message
        entry.next_part += 1
        entry.attempts = 0
        if entry.doubtful:
            entry.doubtful = False
            self._counters.count("resent", name)
        self._counters.count("handed_over", name)
        entry.handed += 1
        carrier_id = receipts.usable_id(outcome.carrier_id) if outcome.receipt_expected else ""
        if carrier_id and message.kind is Kind.TEXT:
            entry.expecting += 1
            via = outcome.via or name
            batch.carrier_parts.append((via, carrier_id, message.id, part.number, ""))
            batch.awaited.setdefault(via, []).append((carrier_id, message.id, part.number))
        if entry.next_part < part.total:
            batch.moves.append(_move(entry, State.SUBMITTING, 0, 0, ""))
            batch.going.append((entry, now_us))
            return
        state = State.ACCEPTED if entry.expecting else State.DELIVERED
        if entry.expecting and part.total > 1:
            batch.settled += [message.id] * (entry.handed - entry.expecting)
            batch.review.append(message.id)
        batch.moves.append(_move(entry, state, 0, now_us, outcome.reason))
        batch.ended.append(entry)
        if message.kind is Kind.TEXT:
            batch.events.append(("handed-over", message.id))
            if state is State.DELIVERED and receipts.wants(message, ReceiptState.DELIVERED):
                batch.told.append((message, ReceiptState.DELIVERED, "000"))

    def _retry(self, dispatcher: Dispatcher, entry: Queued, outcome: Outcome, now_us: int, batch: Batch) -> None:
        message = outcome.part.message
        entry.attempts += 1
        due_us = decide_retry(
            entry.attempts,
            dispatcher.endpoint.max_attempts,
            message.id,
            message.expires_us,
            now_us,
            outcome.retry_after_us,
            self.waits,
        )
        if due_us is None:
            reason = outcome.reason or "attempts-used-up"
            if entry.attempts < dispatcher.endpoint.max_attempts:
                reason = f"expired:{reason}"
            self._die(dispatcher.name, entry, reason, now_us, batch)
            return
        self._counters.count("retried", dispatcher.name)
        entry.claimed = False  # doubt of an earlier try stays: this answer says nothing about it
        batch.moves.append(_move(entry, State.QUEUED, due_us, 0, outcome.reason))
        batch.going.append((entry, due_us))

    def _die(self, name: str, entry: Queued, reason: str, now_us: int, batch: Batch) -> None:
        message = entry.message
        assert message is not None  # noqa: S101 - only journalled messages die
        reason = reason[:REASON_CHARACTERS]
        self._counters.die(name, reason)
        state = State.DROPPED if reason in _WITHDRAWN else State.DEAD
        batch.moves.append(_move(entry, state, NEVER_US if state is State.DEAD else 0, now_us, reason))
        batch.ended.append(entry)
        if message.kind is Kind.TEXT:
            batch.events.append(("dead", message.id, reason))
            word = WORDS.get(reason.partition(":")[0], ReceiptState.UNDELIVERABLE)
            if receipts.wants(message, word):
                batch.told.append((message, word, "000"))


def _move(entry: Queued, state: State, next_us: int, done_us: int, reason: str) -> tuple[Any, ...]:
    """A row of ``journal.move_message``."""
    return (
        entry.id,
        state.value,
        entry.next_part,
        entry.attempts,
        entry.in_doubt,
        next_us,
        done_us,
        reason[:REASON_CHARACTERS],
    )
