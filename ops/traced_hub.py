"""A hub whose steps are traced: intake of a batch, its way over the wire, the outcomes that come back.

It is the hub, with spans around the calls by which endpoints give it batches, and around its own by which it gives
endpoints parts. Made instead of the hub when traces are wanted, so that they cost nothing when not.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from hub import Accepted, Arrival, Hub, Outcome, Part, Rejected, TryLater, Verdict
from hub.endpoint import Endpoint
from ops.tracing import Spans

MAX_PARTS: Final = 10_000
"""Parts on the wire whose delivery is traced; of more, the oldest delivery is let go. A window holds some hundreds."""


class _Delivery:
    """A traced batch on the wire.

    Attributes:
        span: its span.
        left: parts that are not answered for.
    """

    __slots__ = ("left", "span")

    def __init__(self, span: Any, left: int) -> None:
        self.span = span
        self.left = left


class TracedHub(Hub):
    """See the module's head.

    Args:
        spans: makes them.
        arguments, settings: see ``hub.Hub``.
    """

    def __init__(self, *arguments: Any, spans: Spans, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._spans = spans
        self._deliveries: OrderedDict[tuple[int, int], _Delivery] = OrderedDict()

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """See ``hub.endpoint.Road``."""
        return await self._take_in(endpoint, arrivals, super().receive)

    async def receive_as_one(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """See ``hub.endpoint.Road``."""
        return await self._take_in(endpoint, arrivals, super().receive_as_one)

    async def _take_in(
        self,
        endpoint: str,
        arrivals: Sequence[Arrival],
        work: Callable[[str, Sequence[Arrival]], Awaitable[list[Verdict]]],
    ) -> list[Verdict]:
        if not self._spans.wants():
            return await work(endpoint, arrivals)
        with self._spans.span("intake", {"endpoint": endpoint, "arrivals": len(arrivals)}) as note:
            verdicts = await work(endpoint, arrivals)
            kinds = Counter(type(verdict) for verdict in verdicts)
            note(accepted=kinds[Accepted], refused=kinds[Rejected], deferred=kinds[TryLater])
            return verdicts

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        """See ``hub.endpoint.Road``."""
        ended = self._land(outcomes) if self._deliveries else []
        if not ended and not self._spans.wants():
            await super().report(endpoint, outcomes)
            return
        results = Counter(outcome.result.name.lower() for outcome in outcomes)
        told: dict[str, str | int] = {"endpoint": endpoint, "outcomes": len(outcomes), **results}
        with self._spans.span("outcome", told, [delivery.span for delivery in ended]):
            await super().report(endpoint, outcomes)

    def attach(self, endpoint: Endpoint, *, hold_in_doubt: bool = False) -> None:
        """See ``hub.Hub``."""
        super().attach(endpoint, hold_in_doubt=hold_in_doubt)
        self.dispatcher(endpoint.name).deliver = partial(self._deliver, endpoint)

    def _deliver(self, endpoint: Endpoint, parts: Sequence[Part]) -> None:
        if self._spans.wants():
            span = self._spans.start("deliver", {"endpoint": endpoint.name, "parts": len(parts)})
            delivery = _Delivery(span, len(parts))
            for part in parts:
                self._deliveries[part.message.id, part.number] = delivery
            while len(self._deliveries) > MAX_PARTS:
                self._let_go(self._deliveries.popitem(last=False)[1])
        endpoint.deliver(parts)

    def _land(self, outcomes: Sequence[Outcome]) -> list[_Delivery]:
        """Count parts that are answered for. Returns: the traced deliveries that they are of."""
        found: dict[int, _Delivery] = {}
        for outcome in outcomes:
            delivery = self._deliveries.pop((outcome.part.message.id, outcome.part.number), None)
            if delivery is not None:
                found[id(delivery)] = delivery
                self._let_go(delivery)
        return list(found.values())

    def _let_go(self, delivery: _Delivery) -> None:
        delivery.left -= 1
        if delivery.left == 0:
            delivery.span.end()
