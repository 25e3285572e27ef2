"""The threads of a batch of messages: read, decided, written.

The hot path: a fixed number of statements for each batch. See `registry` on races.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import astuple

from store import Insert, Op, Transaction, Upsert
from threading_tokens.errors import Contention
from threading_tokens.planning import Pair, Plan, pair_of, plan_arrivals
from threading_tokens.rows import (
    ADD,
    ADD_EVENT,
    ADD_OPENING,
    ADD_UNLESS_OPEN,
    CHANGE,
    CLOSE,
    LOCKED_OF_PAIRS,
    OPEN_OF_CUSTOMER,
    TOUCH,
    change_row,
)
from threading_tokens.rules import ThreadRules
from threading_tokens.thread import Resolution, Thread, ThreadArrival, ThreadEvent
from threading_tokens.token import TOKEN_OCTETS, new_token

# Each attempt fails only when another node committed a thread of the same pair since; eight in a row is a fault.
_ATTEMPTS = 8


def resolve(
    tx: Transaction,
    arrivals: Sequence[ThreadArrival],
    rules_by_call_centre: Mapping[str, ThreadRules],
    now_us: int,
    new_id: Callable[[], int],
) -> list[Resolution]:
    """Find or open the thread of each message of a batch.

    Args:
        tx: the transaction that the messages are written in as well.
        arrivals: in the order in which they came; those of one pair are decided in that order.
        rules_by_call_centre: a call centre that is missing has the default rules.
        now_us: when the batch came.
        new_id: gives rising ids.

    Returns: one resolution for each arrival, in order.

    Raises:
        Contention: other nodes were faster eight times in a row; nothing is to be kept of the transaction.
        StoreError: as the store says.

    Source: H18, H19, H22, H26.
    """
    if _has_one_writer(tx):
        plan = _plan(
            tx.select(OPEN_OF_CUSTOMER, [arrival.customer for arrival in arrivals]),
            arrivals,
            rules_by_call_centre,
            now_us,
            new_id,
        )
        _write(tx, plan, ADD)
        return plan.resolutions
    answers: list[Resolution | None] = [None] * len(arrivals)
    places = list(range(len(arrivals)))
    for _ in range(_ATTEMPTS):
        todo = [arrivals[place] for place in places]
        plan = _plan(_locked_of_pairs(tx, _pairs(todo)), todo, rules_by_call_centre, now_us, new_id)
        lost = _write(tx, plan, ADD_UNLESS_OPEN)
        left = []
        for place, arrival, resolution in zip(places, todo, plan.resolutions, strict=True):
            if lost and pair_of(arrival) in lost:
                left.append(place)
            else:
                answers[place] = resolution
        places = left
        if not places:
            return [answer for answer in answers if answer is not None]
    raise Contention(_ATTEMPTS)


def _has_one_writer(tx: Transaction) -> bool:
    return bool(tx.sql.dialect.name == "sqlite")


def _pairs(arrivals: Sequence[ThreadArrival]) -> list[Pair]:
    return list({(arrival.call_centre, arrival.number, arrival.customer): None for arrival in arrivals})


def _plan(
    rows: Iterable[Sequence[Any]],
    arrivals: Sequence[ThreadArrival],
    rules_by_call_centre: Mapping[str, ThreadRules],
    now_us: int,
    new_id: Callable[[], int],
) -> Plan:
    threads = {(row[1], row[2], row[3]): Thread(*row) for row in rows}
    return plan_arrivals(threads, arrivals, rules_by_call_centre, now_us, new_id, _tokens(len(arrivals)))


def _tokens(count: int) -> Iterator[str]:
    """Tokens from one reading of the operating system's generator."""
    octets = os.urandom(count * TOKEN_OCTETS)
    return (new_token(octets[at : at + TOKEN_OCTETS]) for at in range(0, len(octets), TOKEN_OCTETS))


def _locked_of_pairs(tx: Transaction, pairs: Sequence[Pair]) -> Sequence[Sequence[Any]]:
    if not pairs:
        return []
    call_centres, numbers, customers = (list(column) for column in zip(*pairs, strict=True))
    keys = {"call_centres": call_centres, "numbers": numbers, "customers": customers}
    return tx.sql.execute(LOCKED_OF_PAIRS, keys).all()


def _write(tx: Transaction, plan: Plan, add: Insert | Upsert) -> set[Pair]:
    """Write a plan.

    Returns: the pairs for which another node has opened a thread since they were read. Nothing is written for them:
        they had no open thread to change, and what was planned for them is left out.
    """
    touched = [(thread.id, thread.last_us) for thread in plan.touched.values() if thread.id not in plan.changed]
    if touched:
        tx.write(Op(TOUCH, touched))
    changed, closed = [], []
    for thread in plan.changed.values():
        if thread.closed_us:
            closed.append((*change_row(thread), thread.closed_us, thread.close_reason))
        else:
            changed.append(change_row(thread))
    if changed:
        tx.write(Op(CHANGE, changed))
    if closed:  # before others of their pairs are opened
        tx.write(Op(CLOSE, closed))
    born = list(plan.born.values())
    openings, events = plan.openings, plan.events
    lost: set[Pair] = set()
    if born:
        rows = [(*astuple(thread), thread.opened_us) for thread in born if not thread.closed_us]
        if tx.write(Op(add, rows)) < len(rows):
            lost = _lost(tx, born)
            if lost:
                born = [thread for thread in born if pair_of(thread) not in lost]
                won = {thread.id for thread in born} | plan.changed.keys()
                openings = [row for row in openings if row[1] in won]
                events = [event for event in events if event["thread_id"] in won]
        ended = [(*astuple(thread), thread.opened_us) for thread in born if thread.closed_us]
        if ended:
            tx.write(Op(ADD, ended))
    if openings:
        tx.write(Op(ADD_OPENING, openings))
    if events:
        tx.write(Op(ADD_EVENT, [astuple(ThreadEvent(**event)) for event in events]))
    return lost


def _lost(tx: Transaction, born: Sequence[Thread]) -> set[Pair]:
    ours = {pair_of(thread): thread.id for thread in born if not thread.closed_us}
    held = {(row[1], row[2], row[3]): row[0] for row in tx.select(OPEN_OF_CUSTOMER, [pair[2] for pair in ours])}
    return {pair for pair, thread_id in ours.items() if held.get(pair) != thread_id}
