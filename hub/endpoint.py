"""What the hub asks of an endpoint, and what an endpoint may ask of the hub.

Rules:

1. ``split``, ``room`` and ``deliver`` never block and never raise anything but what is said here. ``split`` is pure and
   answers the same for the same message: after a crash the hub splits again and goes on with the part that was next.
2. The hub never gives more parts than ``room`` answered. An endpoint that is not connected has no room.
3. For every part given, the endpoint reports exactly one outcome through ``Road.report``, in batches.
   When its session dies, parts on the wire are reported IN_DOUBT and parts never written UNSENT.
4. When room appears (bound again, window freed, throttle ended) the endpoint calls ``Road.wake``. After reporting
   outcomes it need not: reporting wakes.
5. A batch is the unit: ``deliver`` takes a list and ends in one write.
6. Right before parts are written the endpoint asks ``Road.may_give``, and holds them while it says no.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from hub.model import Arrival, Effect, Fate, Message, Name, Outcome, Part, Verdict


class Endpoint(Protocol):
    """Anything that messages come from and go to: a link, an account, a call centre's desk.

    Attributes:
        name: ``"link:acme"``, ``"account:agg1"``, ``"desk:helpline"``; unique, stable over restarts.
        gap_us: least time between two parts of one lane (H30).
        source_gap_us: least time between two parts from one source over all its lanes, 0 for none.
        validity_us: how long a message is tried when its sender did not say.
        max_attempts: temporary refusals after which a message becomes a dead letter.
    """

    @property
    def name(self) -> str:
        """``link:x``, ``account:x`` or ``desk:x``."""
        ...

    @property
    def gap_us(self) -> int:
        """Microseconds."""
        ...

    @property
    def source_gap_us(self) -> int:
        """Microseconds."""
        ...

    @property
    def validity_us(self) -> int:
        """Microseconds."""
        ...

    @property
    def max_attempts(self) -> int:
        """1 or more."""
        ...

    def split(self, message: Message) -> Sequence[Any]:
        """Cut a message into what this endpoint carries. Pure.

        Returns: the payload of each part, in order, at least one.
        Raises: Unsplittable.
        """
        ...

    def room(self) -> int:
        """How many parts may be given now, 0 or more."""
        ...

    def deliver(self, parts: Sequence[Part]) -> None:
        """Start delivery. Never more than ``room()`` parts."""
        ...


@runtime_checkable
class TakesAlerts(Protocol):
    """An endpoint whose peers can be told that a handset can be reached again."""

    def alert(self, address: str, sender: str) -> bool:
        """Tell a peer that a handset is there.

        Args:
            address: the handset's.
            sender: the address that the peer wrote to it from.

        Returns: whether somebody was told.
        """
        ...


class Road(Protocol):
    """The hub as an endpoint sees it."""

    async def receive(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """Take a batch in. When it returns, what was accepted is on disk.

        Returns: one verdict for each arrival, in order.
        Cancellation: the batch may or may not have been written; do not acknowledge it.
        """
        ...

    async def receive_as_one(self, endpoint: str, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """Take in, in one write, texts that their sender gave as one: at most 254.

        Returns: as ``receive``; the ``message_id`` of all that were accepted is the same. Receipts of each carry it.
        Cancellation: as ``receive``.
        """
        ...

    async def query(self, endpoint: str, names: Sequence[Name]) -> list[Fate | None]:
        """How texts stand that this endpoint gave to the hub.

        Returns: one for each name, in order; None for what it gave no such text.
        Raises: StoreError.
        """
        ...

    async def cancel(self, endpoint: str, name: Name) -> Effect:
        """Cancel a text that nothing has been sent of; of several that came as one, those of which that is true.

        When it returns DONE, that is on disk, and who wanted receipts is owed one (DELETED).

        Raises: StoreError: nothing was cancelled.
        """
        ...

    async def cancel_all(self, endpoint: str, source: str, destination: str, service_type: str = "") -> int:
        """Cancel all texts of one source to one destination that nothing has been sent of. Returns: how many.

        Args:
            endpoint: who gave them to the hub.
            source, destination: exactly as they came.
            service_type: only texts of this service, when given.

        Raises: StoreError: some may have been cancelled.
        """
        ...

    async def replace(self, endpoint: str, name: Name, rewrite: Callable[[Message], Message | None]) -> Effect:
        """Give a text that was never sent another content; it keeps its id and its place in its lane.

        Args:
            endpoint: who gave it to the hub.
            name: which text; no part of one, nor several that came as one.
            rewrite: makes the new message of the old one, or None when that is not possible. What it raises, this
                raises, and nothing has changed. It may change text, data, receipt_wanted, expires_us, not_before_us.

        Raises: StoreError: it was not replaced.
        """
        ...

    def expect_alert(self, endpoint: str, address: str, sender: str) -> None:
        """Say that the endpoint's peer wants to hear when a handset is there (once; see ``TakesAlerts``)."""
        ...

    def alert(self, endpoint: str, address: str) -> None:
        """Say that a network has told that a handset is there."""
        ...

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        """Report what became of parts. When it returns, the outcomes are on disk."""
        ...

    def wake(self, endpoint: str) -> None:
        """Say that the endpoint has room."""
        ...

    def may_give(self) -> bool:
        """Whether what was given to endpoints here is certainly still this node's to send. Costs a look at the clock.

        A node that was frozen, and whose lanes another has by now, finds out here.
        """
        ...
