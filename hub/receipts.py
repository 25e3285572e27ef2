"""Receipts: which downstream news belongs to which message, and what upstream is told.

Rules:

1. A message's sender gets at most one receipt for each id it was given (a text that came in several parts has several),
   made of the news of all the parts it left in: delivered when all are, failed as soon as trying ends.
2. Where the next system sends no receipts, the hand-over of the last part is the delivery.
3. A receipt is matched by (endpoint, carrier's id): exactly, then by the other forms of the id that the translator
   lists in the attribute ``ids``. One that matches nothing may have overtaken the answer that carries its id: it is
   parked, and matched when that answer is journalled.
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


class News(msgspec.Struct, gc=False):
    """What a transaction over receipts did, for those who wait outside it.

    Attributes:
        made: the last receipt id made for each endpoint.
        events: for the feed.
        parked, repeated, settled: how many receipts.
    """

    made: dict[str, int]
    events: list[tuple[str | int, ...]]
    parked: int = 0
    repeated: int = 0
    settled: int = 0


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
    forms = [_forms(arrival) for arrival in arrivals]
    keys = list(dict.fromkeys((endpoint, form) for ids in forms for form in ids))
    found: dict[str, list[tuple[int, int, str]]] = {}
    for _, carrier_id, message_id, part, state in tx.select(journal.select_carrier_parts, keys):
        found.setdefault(carrier_id, []).append((message_id, part, state))
    settled: list[tuple[str, int, int, Receipt]] = []
    taken: set[tuple[int, int]] = set()
    parked: list[tuple[int, str, str, int, str]] = []
    for arrival, ids in zip(arrivals, forms, strict=True):
        receipt = arrival.receipt
        assert receipt is not None  # noqa: S101 - the caller's promise
        match = next((form for form in ids if form in found), None)
        if match is None:
            for form in ids:
                parked.append((new_id(), endpoint, form, now_us, journal.receipt_body(receipt)))
            news.parked += 1
            continue
        # A carrier gives out an id again after months: the youngest part with it that still waits is meant.
        awaited = [
            (message_id, part)
            for message_id, part, state in sorted(found[match], reverse=True)
            if not state and (message_id, part) not in taken
        ]
        if not awaited:
            news.repeated += 1
            continue
        taken.add(awaited[0])
        settled.append((match, *awaited[0], receipt))
    if parked:
        tx.write(Op(journal.insert_parked_receipt, parked))
    settle(tx, endpoint, settled, now_us, new_id, validity_us, news)


def _forms(arrival: Arrival) -> list[str]:
    receipt = arrival.receipt
    assert receipt is not None  # noqa: S101 - the caller's promise
    others = arrival.attributes.get("ids", "")
    return list(dict.fromkeys([receipt.message_id, *(others.split("|") if others else [])]))


def settle(
    tx: Transaction,
    endpoint: str,
    settled: Sequence[tuple[str, int, int, Receipt]],
    now_us: int,
    new_id: Callable[[], int],
    validity_us: Callable[[str], int],
    news: News,
) -> None:
    """Give parts their final receipt, and messages theirs when that was the last.

    Args:
        settled: (carrier's id, message id, part, receipt) of parts that awaited it.
        tx, endpoint, now_us, new_id, validity_us, news: as in ``correlate``.
    """
    if not settled:
        return
    tx.write(
        Op(
            journal.settle_carrier_part,
            [(endpoint, carrier_id, message_id, part, r.state.value) for carrier_id, message_id, part, r in settled],
        )
    )
    rows = {row[0]: row for row in tx.select(journal.select_messages, _unique((s[1],) for s in settled))}
    counts: dict[int, tuple[int, int, str]] = {}
    for _, message_id, _, receipt in settled:
        row = rows.get(message_id)
        if row is None:
            continue
        done, failed, error = counts.get(message_id) or (row[17], row[18], "000")
        if receipt.state is not ReceiptState.DELIVERED:
            failed, error = failed + 1, receipt.error
        counts[message_id] = (done + 1, failed, error)
    moves: list[tuple[int, int, int, int, int, str]] = []
    receipts: list[Message] = []
    words = {message_id: receipt.state for _, message_id, _, receipt in settled}
    for message_id, (done, failed, error) in counts.items():
        row = rows[message_id]
        state, reason = State(row[2]), row[19]
        if state is State.ACCEPTED and done >= row[13]:
            message = journal.message_of(row)
            state = State.UNDELIVERABLE if failed else State.DELIVERED
            word = ReceiptState.DELIVERED if not failed else _failure(words[message_id])
            reason = f"{word.value}:{error}" if failed else ""
            receipts += make_receipts(message, word, error, now_us, new_id, validity_us)
            news.events.append(("undeliverable" if failed else "delivered", message_id))
        moves.append((message_id, state.value, done, failed, now_us, reason))
        news.settled += 1
    tx.write(Op(journal.settle_message, moves))
    publish(tx, receipts, news)


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
    parked: dict[str, tuple[int, Receipt]] = {}
    for row_id, _, carrier_id, body in tx.select(journal.select_parked_receipts, keys):
        parked[carrier_id] = (row_id, journal.receipt_of(body))
    if not parked:
        return 0
    settled = [
        (carrier_id, message_id, part, parked[carrier_id][1])
        for carrier_id, message_id, part in awaited
        if carrier_id in parked
    ]
    tx.write(Op(journal.delete_parked_receipt, [(parked[s[0]][0],) for s in settled]))
    settle(tx, endpoint, settled, now_us, new_id, validity_us, news)
    return len(settled)


def _failure(state: ReceiptState) -> ReceiptState:
    return ReceiptState.UNDELIVERABLE if state is ReceiptState.DELIVERED else state


def _unique(keys: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return list(dict.fromkeys(keys))
