"""Receipts: which downstream news belongs to which message, and what upstream is told.

Rules:

1. A message's sender gets at most one receipt for each id it was given (a text that came in several parts has several),
   made of the news of all the parts it left in: delivered when all are, failed as soon as trying ends, or as soon as
   one of them is known to have failed. (A dead letter that an operator sends again is told of again.)
2. Where the next system sends no receipt for a part, its hand-over is its delivery.
3. A receipt is matched by (endpoint, carrier's id): exactly, then by the other forms of the id that the translator
   lists in the attribute ``ids``. One that matches nothing may have overtaken the answer that carries its id: it is
   parked under all forms of its id, and matched when that answer is journalled. Then all of it goes: what was left
   would meet another message whose id happens to look like one of the forms.
4. Repeated and unsolicited receipts change nothing.

All functions here run inside a store transaction or are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from hub import journal
from hub.model import Arrival, Kind, Message, Receipt, ReceiptState, ReceiptWanted, State
from store import Op, Transaction

PARKED_US = 3_600_000_000  # an overtaken answer is seconds late, not hours
TEXT_CHARACTERS = 20  # SMPP 3.4 Appendix B: the first 20 characters of the message
ID_CHARACTERS = 80  # of the column; SMPP 3.4 §5.2.23 allows 64

HANDED_OVER = Receipt("", ReceiptState.DELIVERED)  # what a hand-over counts as where no receipt comes


class News(msgspec.Struct, gc=False):
    """What a transaction over receipts did, for those who wait outside it.

    Attributes:
        made, first: the last and the first receipt id made for each endpoint.
        rung: endpoints of other nodes that something was journalled for.
        events: for the feed.
        parked, repeated, settled: how many receipts.
    """

    made: dict[str, int]
    events: list[tuple[str | int, ...]]
    parked: int = 0
    repeated: int = 0
    settled: int = 0
    first: dict[str, int] = {}
    rung: list[str] = []


def usable_id(carrier_id: str) -> str:
    """A carrier's id as it is kept: cut, or empty when no database would take it."""
    if "\x00" in carrier_id:
        return ""
    try:
        carrier_id.encode()
    except UnicodeEncodeError:
        return ""
    return carrier_id[:ID_CHARACTERS]


def upstream_ids(message: Message) -> list[str]:
    """The ids that the sender knows a message by, of those it wants news of."""
    arrived = message.attributes.get("arrived")
    if arrived:
        return arrived.split(",")
    return [message.upstream_id or str(message.id)]


def wants(message: Message, state: ReceiptState) -> bool:
    """Whether the sender asked to hear this."""
    wanted = message.receipt_wanted
    if message.kind is Kind.RECEIPT or wanted is ReceiptWanted.NONE:
        return False
    return wanted is ReceiptWanted.FINAL or state is not ReceiptState.DELIVERED


def make_receipts(
    message: Message,
    state: ReceiptState,
    error: str,
    now_us: int,
    new_id: Callable[[], int],
    validity_us: Callable[[str], int],
) -> list[Message]:
    """The receipts that a message's sender is owed once the message has come to ``state``.

    Args:
        message: the message.
        state: a final state.
        error: the network's error code, or ``"000"``.
        now_us: now.
        new_id: gives out ids; call order is commit order.
        validity_us: how long an endpoint's receipts are tried.

    Returns: messages of kind RECEIPT to the message's origin; none when it asked for none.
    """
    if not wants(message, state):
        return []
    return [
        Message(
            id=new_id(),
            kind=Kind.RECEIPT,
            origin=message.endpoint,
            endpoint=message.origin,
            source=message.destination,
            destination=message.source,
            receipt=Receipt(upstream_id, state, error, message.received_us, now_us, message.text[:TEXT_CHARACTERS]),
            upstream_id=message.upstream_id,
            received_us=now_us,
            expires_us=now_us + validity_us(message.origin),
            call_centre=message.call_centre,
            thread_id=message.thread_id,
            token=message.token,
            attributes=message.attributes,
        )
        for upstream_id in upstream_ids(message)
    ]


def publish(tx: Transaction, receipts: Sequence[Message], news: News) -> None:
    """Journal receipts and note them for their endpoints."""
    if receipts:
        tx.write(journal.insert_messages([(receipt, State.QUEUED) for receipt in receipts]))
        for receipt in receipts:
            news.made[receipt.endpoint] = receipt.id
            news.first.setdefault(receipt.endpoint, receipt.id)


def correlate(
    tx: Transaction,
    endpoint: str,
    arrivals: Sequence[Arrival],
    now_us: int,
    new_id: Callable[[], int],
    validity_us: Callable[[str], int],
    news: News,
) -> None:
    """Work off final receipts from an endpoint: settle the parts and messages they belong to, park the rest.

    Args:
        tx: the transaction.
        endpoint: who sent them.
        arrivals: arrivals whose ``receipt`` is set and final.
        now_us: now.
        new_id: gives out ids.
        validity_us: how long an endpoint's receipts are tried.
        news: is added to.
    """
    waiting = _Waiting(tx, endpoint)
    exact = [_exact(arrival) for arrival in arrivals]
    waiting.look(form for ids in exact for form in ids)
    # As a rule it is the exact one, and the other forms of all the ids are many.
    forms = [ids if waiting.has(ids) else _forms(arrival) for arrival, ids in zip(arrivals, exact, strict=True)]
    waiting.look(form for ids in forms for form in ids)
    settled: list[tuple[str, int, int, Receipt]] = []
    parked: list[tuple[int, str, str, int, str]] = []
    for arrival, ids in zip(arrivals, forms, strict=True):
        receipt = arrival.receipt
        assert receipt is not None  # noqa: S101 - the caller's promise
        part = waiting.take(ids)
        if part is None and len(ids) == 1:  # another one of these has taken its exact one
            ids = _forms(arrival)
            waiting.look(ids)
            part = waiting.take(ids)
        if part is not None:
            settled.append((*part, receipt))
        elif not ids or waiting.knows(ids):
            news.repeated += 1
        else:
            rows = [new_id() for _ in ids]
            body = journal.parked_body(receipt, rows)
            parked += [(row, endpoint, form, now_us, body) for row, form in zip(rows, ids, strict=True)]
            news.parked += 1
    if parked:
        tx.write(Op(journal.insert_parked_receipt, parked))
    settle(tx, endpoint, settled, now_us, new_id, validity_us, news)


class _Waiting:
    """The parts of an endpoint that wait for a receipt, by carrier's id, as far as they were looked up."""

    def __init__(self, tx: Transaction, endpoint: str) -> None:
        self._tx = tx
        self._endpoint = endpoint
        self._looked: set[str] = set()
        self._found: dict[str, list[tuple[int, int]]] = {}  # those that wait: message id, part; youngest last

    def look(self, forms: Iterable[str]) -> None:
        """Look up what was not looked up yet."""
        fresh = [form for form in dict.fromkeys(forms) if form not in self._looked]
        if not fresh:
            return
        self._looked.update(fresh)
        keys = [(self._endpoint, form) for form in fresh]
        for _, carrier_id, message_id, part, state in sorted(self._tx.select(journal.select_carrier_parts, keys)):
            waiting = self._found.setdefault(carrier_id, [])
            if not state:
                waiting.append((message_id, part))

    def has(self, forms: Iterable[str]) -> bool:
        """Whether a part with one of these ids waits."""
        return any(self._found.get(form) for form in forms)

    def knows(self, forms: Iterable[str]) -> bool:
        """Whether there is a part with one of these ids, waiting or not."""
        return any(form in self._found for form in forms)

    def take(self, forms: Iterable[str]) -> tuple[str, int, int] | None:
        """The part that is meant, which waits no longer: (carrier's id, message id, part).

        A carrier gives out an id again after months: the youngest part with it that still waits is meant.
        """
        for form in forms:
            if waiting := self._found.get(form):
                return (form, *waiting.pop())
        return None


def _exact(arrival: Arrival) -> list[str]:
    receipt = arrival.receipt
    assert receipt is not None  # noqa: S101 - the caller's promise
    exact = usable_id(receipt.message_id)
    return [exact] if exact else []


def _forms(arrival: Arrival) -> list[str]:
    others = arrival.attributes.get("ids", "")
    forms = map(usable_id, others.split("|")) if others else ()
    return list(dict.fromkeys(form for form in (*_exact(arrival), *forms) if form))


def settle(
    tx: Transaction,
    endpoint: str,
    settled: Sequence[tuple[str, int, int, Receipt]],
    now_us: int,
    new_id: Callable[[], int],
    validity_us: Callable[[str], int],
    news: News,
    review: Sequence[int] = (),
) -> None:
    """Give parts their final receipt, and messages theirs when that decides.

    Args:
        settled: (carrier's id, message id, part, receipt) of parts that awaited it; the id is empty for a part that is
            delivered by its hand-over.
        review: ids of messages that have just been handed over: the receipt of one of their parts may have decided.
        tx, endpoint, now_us, new_id, validity_us, news: as in ``correlate``.
    """
    if not settled and not review:
        return
    known = [(endpoint, s[0], s[1], s[2], s[3].state.value) for s in settled if s[0]]
    if known:
        tx.write(Op(journal.settle_carrier_part, known))
    rows = {
        row[0]: row
        for row in tx.select(journal.select_messages, _unique([*((s[1],) for s in settled), *((i,) for i in review)]))
    }
    counts = {message_id: (row[17], row[18], row[19]) for message_id, row in rows.items()}
    for _, message_id, _, receipt in settled:
        if message_id in counts:
            done, failed, reason = counts[message_id]
            if receipt.state is not ReceiptState.DELIVERED:
                failed, reason = failed + 1, f"{receipt.state.value}:{receipt.error}"
            counts[message_id] = (done + 1, failed, reason)
    moves: list[tuple[int, int, int, int, int, str]] = []
    receipts: list[Message] = []
    for message_id, (done, failed, reason) in counts.items():
        row = rows[message_id]
        state, done_us = State(row[2]), row[12]
        if state is State.ACCEPTED and (failed or done >= row[13]):
            state, done_us = (State.UNDELIVERABLE if failed else State.DELIVERED), now_us
            word, error = word_of(reason) if failed else (ReceiptState.DELIVERED, "000")
            receipts += make_receipts(journal.message_of(row), word, error, now_us, new_id, validity_us)
            news.events.append(("undeliverable" if failed else "delivered", message_id))
        elif state is not State.ACCEPTED:
            reason = row[19]  # a dead letter's own, or one that the next part will write over
        if (state, done) != (row[2], row[17]):
            moves.append((message_id, state.value, done, failed, done_us, reason[:ID_CHARACTERS]))
    if moves:
        tx.write(Op(journal.settle_message, moves))
    publish(tx, receipts, news)
    news.settled += len(known)


def word_of(reason: str) -> tuple[ReceiptState, str]:
    """The state and error code in the reason that a failed receipt left."""
    word, _, error = reason.partition(":")
    try:
        return ReceiptState(word), error or "000"
    except ValueError:  # it was written over by the parts that followed
        return ReceiptState.UNDELIVERABLE, "000"


def unpark(
    tx: Transaction,
    endpoint: str,
    awaited: Sequence[tuple[str, int, int]],
    now_us: int,
    new_id: Callable[[], int],
    validity_us: Callable[[str], int],
    news: News,
) -> int:
    """Match receipts that overtook the answers just journalled.

    Args:
        awaited: (carrier's id, message id, part) of parts whose answer is journalled in this transaction.
        tx, endpoint, now_us, new_id, validity_us, news: as in ``correlate``.

    Returns: how many parked receipts were used up.
    """
    keys = _unique((endpoint, carrier_id) for carrier_id, _, _ in awaited)
    parked: dict[str, list[journal.ParkedV1]] = {}
    for _, _, carrier_id, body in sorted(tx.select(journal.select_parked_receipts, keys)):
        parked.setdefault(carrier_id, []).append(journal.parked_of(body))
    if not parked:
        return 0
    settled: list[tuple[str, int, int, Receipt]] = []
    gone: set[int] = set()
    for carrier_id, message_id, part in awaited:
        waiting = [each for each in parked.get(carrier_id, ()) if gone.isdisjoint(each.rows)]
        if waiting:
            settled.append((carrier_id, message_id, part, waiting[0].receipt))
            gone.update(waiting[0].rows)
    # Others under these ids are repetitions.
    gone.update(row for several in parked.values() for each in several for row in each.rows)
    tx.write(Op(journal.delete_parked_receipt, [(row,) for row in sorted(gone)]))
    settle(tx, endpoint, settled, now_us, new_id, validity_us, news)
    return len(settled)


def _unique(keys: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return list(dict.fromkeys(keys))
