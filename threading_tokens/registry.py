"""The registry of threads: every function works within one store `Transaction`.

Nothing here keeps state or commits: a function reads and writes through the transaction it is given, and may be run
again with the same arguments when the transaction is. Times come in as ``now_us``; ids from ``new_id``, which rises.
Functions that take lists do a fixed number of statements, however long the list.

**Tenants** (H13). Every function takes the call centre that asks and touches no other's rows. A token of another call
centre is answered with `ForeignToken`, which whoever answers the desk may show as `UnknownToken`.

**Races.** SQLite has one writer at a time, so what a transaction read stays true until it ends. On PostgreSQL, where
several nodes write, a thread is read with a row lock before it is changed, and a new one is inserted with ``ON CONFLICT
DO NOTHING`` against the index that allows one open thread for each pair; who finds that another was faster reads again
and decides again. This needs READ COMMITTED, where a later statement sees what others have committed since. Two
transactions that take the same threads in opposite order deadlock; PostgreSQL ends one, and its work is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from store import Op, Transaction
from threading_tokens.designation import Designation
from threading_tokens.errors import AlreadyDesignated, BadChannel, TokenError
from threading_tokens.past import history, list_threads, thread_by_id
from threading_tokens.planning import DEFAULT_RULES
from threading_tokens.resolving import resolve
from threading_tokens.rows import (
    BY_TOKEN,
    CHANGE,
    IS_OPEN,
    OPEN_OF_CUSTOMER,
    THREAD,
    TOUCH,
    change_row,
    end_threads,
    locked_by_token,
    record,
    threads_of,
    usable,
)
from threading_tokens.rules import ThreadRules
from threading_tokens.tables import thread_table
from threading_tokens.thread import Channel, EventKind, Resolution, Thread, ThreadArrival
from threading_tokens.token import is_token
from threading_tokens.upkeep import expire, forget


def by_token(tx: Transaction, call_centre: str, tokens: Sequence[str]) -> list[Thread | TokenError]:
    """Find the threads that a desk names.

    Args:
        call_centre: whose desk asks.
        tokens: as the desk gave them; may repeat, may be anything.

    Returns: for each token its open thread, or why there is none: `UnknownToken`, `ExpiredToken`, `ForeignToken`.
        A thread whose times have passed, but that no text and no sweep has closed yet, still answers: the desk may
        have the last word.

    Source: H13, H20.
    """
    rows = tx.select(BY_TOKEN, list({token for token in tokens if is_token(token)}))
    found = {row[4]: Thread(*row) for row in rows}
    return [usable(found.get(token), call_centre, token) for token in tokens]


def touch(tx: Transaction, threads: Iterable[Thread], now_us: int) -> None:
    """Note that the desk answered in these threads: the time after which they are old begins again."""
    rows = {thread.id: (thread.id, now_us) for thread in threads if thread.last_us < now_us}
    if rows:
        tx.write(Op(TOUCH, list(rows.values())))


def open_thread(tx: Transaction, call_centre: str, number: str, customer: str) -> Thread | None:
    """The open thread of a pair, or None."""
    for row in tx.select(OPEN_OF_CUSTOMER, [customer]):
        thread = Thread(*row)
        if thread.number == number and thread.call_centre == call_centre:
            return thread
    return None


def designate(
    tx: Transaction,
    call_centre: str,
    token: str,
    to: Designation,
    *,
    by: str,
    now_us: int,
    new_id: Callable[[], int],
    desk_label: str = "",
    place: str = "",
) -> Thread:
    """Give a thread that nobody has to a CSR. Designating it to who has it changes nothing.

    Args:
        call_centre, token: which thread.
        to: the CSR, already parsed.
        by: who says so: the director's or CSR's address.
        desk_label: the CSR's name for people.
        place: where the CSR or the customer is, as the director knows it (H24).

    Returns: the thread with its CSR.

    Raises:
        TokenError: the token names no thread that may be used.
        AlreadyDesignated: somebody else has it: of two CSRs who claim a thread at once, the second learns of the first.

    Source: H21, H23.
    """
    thread = locked_by_token(tx, call_centre, token)
    if thread.designation == to:
        return thread
    if thread.designation_kind:
        raise AlreadyDesignated(thread.designation_kind, thread.designation_value)
    return _give(tx, thread, to, EventKind.DESIGNATED, by, now_us, new_id, desk_label, place)


def transfer(
    tx: Transaction,
    call_centre: str,
    token: str,
    to: Designation,
    *,
    by: str,
    now_us: int,
    new_id: Callable[[], int],
    desk_label: str = "",
    place: str = "",
) -> Thread:
    """Give a thread to another CSR, whoever has it now. Arguments, answer and errors as `designate`'s.

    Source: H25, H26.
    """
    thread = locked_by_token(tx, call_centre, token)
    if thread.designation == to:
        return thread
    kind = EventKind.TRANSFERRED if thread.designation_kind else EventKind.DESIGNATED
    return _give(tx, thread, to, kind, by, now_us, new_id, desk_label, place)


def release(
    tx: Transaction,
    call_centre: str,
    token: str,
    *,
    by: str,
    reason: str = "released",
    now_us: int,
    new_id: Callable[[], int],
) -> Thread:
    """End a thread: its token names nothing from now on, and its routing data are gone.

    Returns: the thread, closed.

    Raises:
        TokenError: the token names no thread that may be used.

    Source: H20.
    """
    thread = locked_by_token(tx, call_centre, token)
    return end_threads(tx, [(thread, reason or "released")], EventKind.RELEASED, by, now_us, new_id)[0]


def release_number(
    tx: Transaction, call_centre: str, number: str, *, by: str, reason: str, now_us: int, new_id: Callable[[], int]
) -> list[Thread]:
    """End all threads of a number that leaves a call centre.

    Returns: the threads, closed.
    """
    statement = THREAD.where(
        thread_table.c.call_centre == call_centre, thread_table.c.number == number, IS_OPEN
    ).order_by(thread_table.c.id)
    threads = threads_of(tx, statement.with_for_update(key_share=True))
    return end_threads(tx, [(thread, reason) for thread in threads], EventKind.RELEASED, by, now_us, new_id)


def switch_channel(
    tx: Transaction, call_centre: str, token: str, channel: str, *, by: str, now_us: int, new_id: Callable[[], int]
) -> Thread:
    """Go on in another mechanism with the same token.

    Args:
        channel: one of `Channel`.

    Returns: the thread.

    Raises:
        TokenError: the token names no thread that may be used.
        BadChannel: there is no such mechanism.

    Source: H27, H28.
    """
    if channel not in list(Channel):
        raise BadChannel(channel)
    thread = locked_by_token(tx, call_centre, token)
    if thread.channel == channel:
        return thread
    changed = replace(thread, channel=str(channel), last_us=max(thread.last_us, now_us))
    tx.write(Op(CHANGE, [change_row(changed)]))
    record(tx, changed, EventKind.CHANNEL, new_id, now_us, by=by, detail=thread.channel)
    return changed


def note_call(
    tx: Transaction,
    call_centre: str,
    number: str,
    customer: str,
    *,
    direction: str,
    started_us: int,
    rules: ThreadRules = DEFAULT_RULES,
    now_us: int,
    new_id: Callable[[], int],
    csr: Designation | None = None,
    desk_label: str = "",
    duration_s: int = 0,
    by: str = "",
    place: str = "",
    detail: str = "",
) -> Resolution:
    """Note a voice call of a customer: it belongs to the thread that is open, or opens one.

    The thread's channel is voice from now on, until a text or the desk says otherwise. A thread that no CSR has is
    designated to the one who took the call.

    Args:
        call_centre, number, customer: between whom; the caller has seen to it that the number is the call centre's.
        direction: ``"in"`` when the customer called, ``"out"`` when the desk did.
        started_us: when it began.
        rules: the call centre's: a call into a thread whose times have passed opens a new one.
        csr: who took it or made it, already parsed; None when nobody did.
        duration_s: how long it was, 0 while it lasts or when nobody took it. A call may be noted twice.
        by: who notes it.
        detail: its outcome, in a word.

    Returns: the thread, with news when the call opened it.

    Raises:
        ValueError: the direction is neither.
        Contention: as `resolve`.

    Source: H27, H28.
    """
    if direction not in ("in", "out"):
        raise ValueError(f"the direction of a call is 'in' or 'out', not {direction!r}")
    arrival = ThreadArrival(
        call_centre,
        number,
        customer,
        network_endpoint="",  # a call comes through no endpoint of ours: where texts go stays as it is
        outbound=direction == "out",
        designation=csr,
        desk_label=desk_label,
        channel=Channel.VOICE.value,
    )
    (resolution,) = resolve(tx, [arrival], {call_centre: rules}, now_us, new_id)
    record(
        tx,
        resolution.thread,
        EventKind.CALL,
        new_id,
        now_us,
        by=by or "hub",
        designation_kind=csr.kind if csr else "",
        designation_value=csr.value if csr else "",
        desk_label=desk_label,
        place=place,
        detail=detail,
        direction=direction,
        started_us=started_us,
        duration_s=duration_s,
    )
    return resolution


def _give(
    tx: Transaction,
    thread: Thread,
    to: Designation,
    kind: EventKind,
    by: str,
    now_us: int,
    new_id: Callable[[], int],
    desk_label: str,
    place: str,
) -> Thread:
    given = replace(
        thread, designation_kind=str(to.kind), designation_value=to.value, desk_label=desk_label or to.value
    )
    tx.write(Op(CHANGE, [change_row(given)]))
    record(
        tx,
        given,
        kind,
        new_id,
        now_us,
        by=by,
        designation_kind=given.designation_kind,
        designation_value=given.designation_value,
        desk_label=given.desk_label,
        place=place,
        detail=thread.designation_value,
    )
    return given


__all__ = [
    "by_token",
    "designate",
    "expire",
    "forget",
    "history",
    "list_threads",
    "note_call",
    "open_thread",
    "release",
    "release_number",
    "resolve",
    "switch_channel",
    "thread_by_id",
    "touch",
    "transfer",
]
