"""What a batch of arrivals does to threads: decided in memory, written by `registry`. Pure.

The arrivals of a batch are taken in order, each seeing what those before it did, so that a batch means the same as its
arrivals one after the other. What is left to write is one row for each thread that changed, in its last state, and the
events in between. A thread that was opened and closed within the batch is written once, closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from threading_tokens.rules import Open, ThreadRules, decide_thread
from threading_tokens.thread import Channel, EventKind, OpenedBecause, Resolution, Thread, ThreadArrival

Pair = tuple[str, str, str]
"""Call centre, number, customer."""

# For a call centre that says nothing.
DEFAULT_RULES = ThreadRules()

_VOICE = Channel.VOICE.value
_CLOSED_BY_TIME = frozenset({OpenedBecause.ELAPSED.value, OpenedBecause.MAX_AGE.value})
_NEW_ADDRESS, _CALL, _OUTBOUND = (
    OpenedBecause.NEW_ADDRESS.value,
    OpenedBecause.CALL.value,
    OpenedBecause.OUTBOUND.value,
)
_NEWS = {reason.value: f"new:{reason.value}" for reason in OpenedBecause}
_OPENED, _CLOSED, _EXPIRED = EventKind.OPENED.value, EventKind.CLOSED.value, EventKind.EXPIRED.value
_PRODUCT, _CHANNEL, _DESIGNATED = EventKind.PRODUCT.value, EventKind.CHANNEL.value, EventKind.DESIGNATED.value


class Plan:
    """What to answer and what to write.

    Attributes:
        resolutions: one for each arrival, in order.
        born: new threads by id, in their last state.
        touched: threads that were there and only have a new ``last_us``, by id, in their last state.
        changed: threads that were there and have more that is new, by id, in their last state. Both may hold a thread;
            what `changed` holds is the later.
        openings: rows of events ``opened``: id, thread, call centre, time, kind, by, product, channel, detail.
        events: the other events, as keyword arguments of `ThreadEvent`.
    """

    __slots__ = ("born", "changed", "events", "openings", "resolutions", "touched")

    def __init__(self) -> None:
        self.resolutions: list[Resolution] = []
        self.born: dict[int, Thread] = {}
        self.touched: dict[int, Thread] = {}
        self.changed: dict[int, Thread] = {}
        self.openings: list[tuple[Any, ...]] = []
        self.events: list[dict[str, Any]] = []

    def keep(self, thread: Thread) -> None:
        """Write the thread in this state, unless a later one comes."""
        (self.born if thread.id in self.born else self.changed)[thread.id] = thread


def pair_of(item: ThreadArrival | Thread) -> Pair:
    """The key under which at most one thread is open."""
    return (item.call_centre, item.number, item.customer)


def closed_thread(thread: Thread, reason: str, now_us: int) -> Thread:
    """A thread as it is after its end: routing data are released, the CSR is kept for the history (H20, H24)."""
    return replace(thread, closed_us=now_us, close_reason=reason, network_endpoint="")


def plan_arrivals(
    open_threads: Mapping[Pair, Thread],
    arrivals: Sequence[ThreadArrival],
    rules_by_call_centre: Mapping[str, ThreadRules],
    now_us: int,
    new_id: Callable[[], int],
    tokens: Iterator[str],
) -> Plan:
    """Decide what a batch of arrivals does.

    Args:
        open_threads: every open thread of the arrivals' pairs.
        arrivals: in the order in which they came.
        rules_by_call_centre: a call centre that is missing has the default rules.
        now_us: when the batch came.
        new_id: gives rising ids.
        tokens: gives a new token for each thread that is opened, at most one for each arrival.

    Source: H18, H19, H22, H26.
    """
    plan = Plan()
    current = dict(open_threads)
    for arrival in arrivals:
        pair = (arrival.call_centre, arrival.number, arrival.customer)
        thread = current.get(pair)
        decision = decide_thread(
            thread,
            "" if arrival.outbound else arrival.text,
            rules_by_call_centre.get(arrival.call_centre, DEFAULT_RULES),
            now_us,
        )
        if isinstance(decision, Open):
            closed = None
            if thread is not None and decision.closes is not None:
                closed = _closed(plan, thread, decision.closes, now_us, new_id)
            opened = _opened(plan, arrival, decision, now_us, new_id, next(tokens))
            current[pair] = opened
            plan.resolutions.append(Resolution(opened, _NEWS[opened.opened_because], closed))
        elif thread is not None:  # always: only a thread that is there can go on
            following = _continued(plan, thread, arrival, decision.product, now_us, new_id)
            current[pair] = following
            plan.resolutions.append(Resolution(following))
    return plan


def _opened(
    plan: Plan, arrival: ThreadArrival, decision: Open, now_us: int, new_id: Callable[[], int], token: str
) -> Thread:
    reason, product = decision.reason, decision.product
    if reason == _NEW_ADDRESS:
        if arrival.channel == _VOICE:
            reason = _CALL
        elif arrival.outbound:
            reason = _OUTBOUND
    thread_id = new_id()
    designation = arrival.designation
    thread = Thread(
        thread_id,
        arrival.call_centre,
        arrival.number,
        arrival.customer,
        token,
        arrival.network_endpoint,
        now_us,
        now_us,
        0,
        "",
        reason,
        product,
        arrival.channel,
        designation.kind if designation else "",
        designation.value if designation else "",
        arrival.desk_label,
    )
    plan.born[thread_id] = thread
    by = _author(arrival)
    plan.openings.append(
        (new_id(), thread_id, arrival.call_centre, now_us, _OPENED, by, product, arrival.channel, reason)
    )
    if designation is not None:
        _note(plan, thread, _DESIGNATED, new_id, now_us, by=by, **_designation_of(thread))
    return thread


def _continued(
    plan: Plan, thread: Thread, arrival: ThreadArrival, product: str, now_us: int, new_id: Callable[[], int]
) -> Thread:
    """The open thread after one more arrival; the same object when nothing is new."""
    # Where a reply goes is where the customer was last: what the desk writes does not move it (H22).
    endpoint = thread.network_endpoint
    if arrival.network_endpoint and (not arrival.outbound or not endpoint):
        endpoint = arrival.network_endpoint
    is_designated_now = arrival.designation is not None and not thread.designation_kind
    if (
        product == thread.product
        and endpoint == thread.network_endpoint
        and arrival.channel == thread.channel
        and not is_designated_now
    ):
        if thread.last_us >= now_us:
            return thread  # so do all but the first of a batch
        following = replace(thread, last_us=now_us)
        plan.touched[following.id] = following
        return following
    following = replace(
        thread,
        last_us=max(thread.last_us, now_us),
        network_endpoint=endpoint,
        product=product,
        channel=arrival.channel,
    )
    by = _author(arrival)
    if arrival.designation is not None and is_designated_now:
        following = replace(
            following,
            designation_kind=arrival.designation.kind,
            designation_value=arrival.designation.value,
            desk_label=arrival.desk_label,
        )
        _note(plan, following, _DESIGNATED, new_id, now_us, by=by, **_designation_of(following))
    if product != thread.product:
        _note(plan, following, _PRODUCT, new_id, now_us, by=by)
    if arrival.channel != thread.channel:
        _note(plan, following, _CHANNEL, new_id, now_us, by=by, detail=thread.channel)
    plan.keep(following)
    return following


def _closed(plan: Plan, thread: Thread, reason: str, now_us: int, new_id: Callable[[], int]) -> Thread:
    closed = closed_thread(thread, reason, now_us)
    plan.keep(closed)
    if reason in _CLOSED_BY_TIME:
        _note(plan, closed, _EXPIRED, new_id, now_us, by="hub", detail=reason)
    else:
        _note(plan, closed, _CLOSED, new_id, now_us, by="customer", detail=reason)
    return closed


def _author(arrival: ThreadArrival) -> str:
    if not arrival.outbound:
        return "customer"
    return arrival.designation.value if arrival.designation else "desk"


def _designation_of(thread: Thread) -> dict[str, str]:
    return {
        "designation_kind": thread.designation_kind,
        "designation_value": thread.designation_value,
        "desk_label": thread.desk_label,
    }


def _note(plan: Plan, thread: Thread, kind: str, new_id: Callable[[], int], now_us: int, **facts: Any) -> None:
    plan.events.append(
        {
            "id": new_id(),
            "thread_id": thread.id,
            "call_centre": thread.call_centre,
            "at_us": now_us,
            "kind": kind,
            "product": thread.product,
            "channel": thread.channel,
            **facts,
        }
    )
