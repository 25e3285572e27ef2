"""What was given to a desk and is not answered for. Pure.

A component stream has no acknowledgement. But a server handles a stream's stanzas in order: when it answers a ping,
it has dealt with everything before the ping. So each write ends with a ping, and its pong is the hand-over of all
parts of that write but those that came back as errors. Several writes may be on their way at once.

    waiting    given, not written                → UNSENT when the connection dies
    flights    written, each with its ping       → IN_DOUBT when the connection dies

Errors name a stanza by its id only (Prosody strips the rest); few stanzas come back, so a flight indexes its ids when
the first does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hub.model import Kind, Outcome, Part, Result


class Flight:
    """What one write carried."""

    __slots__ = ("ids", "index", "parts", "ping_id", "returned", "sent_us")

    def __init__(self, ping_id: str, parts: list[Part], ids: list[str], sent_us: int) -> None:
        self.ping_id = ping_id
        self.parts = parts
        self.ids = ids
        self.sent_us = sent_us
        self.index: dict[str, int] | None = None
        self.returned: dict[int, Outcome] | None = None


class Flights:
    """The book of one desk.

    Attributes:
        in_flight: parts given and not answered for.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._flights: deque[Flight] = deque()
        self._waiting: list[Part] = []
        self._waiting_ids: list[str] = []

    @property
    def oldest_sent_us(self) -> int | None:
        """When the oldest unanswered write was made, None when there is none."""
        return self._flights[0].sent_us if self._flights else None

    @property
    def has_waiting(self) -> bool:
        """True when parts were given that no write has taken."""
        return bool(self._waiting)

    def give(self, parts: Sequence[Part], ids: Sequence[str]) -> None:
        """Note parts as given; their stanzas wait to be written."""
        self._waiting.extend(parts)
        self._waiting_ids.extend(ids)
        self.in_flight += len(parts)

    def launch(self, ping_id: str, now_us: int) -> None:
        """Note everything that waits as written, with this ping behind it."""
        self._flights.append(Flight(ping_id, self._waiting, self._waiting_ids, now_us))
        self._waiting, self._waiting_ids = [], []

    def find(self, own_id: str) -> Part | None:
        """The part that is on its way with this stanza id."""
        found = self._locate(own_id)
        return found[0].parts[found[1]] if found is not None else None

    def came_back(self, own_id: str, result: Result, reason: str, retry_after_us: int = 0) -> bool:
        """Note that a stanza came back. Returns: False when none of this id is on its way."""
        found = self._locate(own_id)
        if found is None:
            return False
        flight, place = found
        if flight.returned is None:
            flight.returned = {}
        flight.returned[place] = Outcome(flight.parts[place], result, own_id, reason, retry_after_us)
        return True

    def landed(self, ping_id: str, *, receipt_expected: bool) -> list[Outcome] | None:
        """Take the answer to a ping.

        A later ping answers for earlier ones too: a server that drops one has still gone on in order.

        Returns: the outcomes of everything up to it, in the order of writing; None when it is no ping of ours.
        """
        if not any(flight.ping_id == ping_id for flight in self._flights):
            return None
        outcomes: list[Outcome] = []
        while True:
            flight = self._flights.popleft()
            accepted = [
                Outcome(part, Result.ACCEPTED, own_id, "", 0, receipt_expected and part.message.kind is Kind.TEXT)
                for part, own_id in zip(flight.parts, flight.ids, strict=True)
            ]
            if flight.returned is not None:
                for place, outcome in flight.returned.items():
                    accepted[place] = outcome
            outcomes += accepted
            if flight.ping_id == ping_id:
                break
        self.in_flight -= len(outcomes)
        return outcomes

    def lost(self) -> list[Outcome]:
        """The connection died. Returns: the outcome of every part, in the order of giving."""
        outcomes: list[Outcome] = []
        for flight in self._flights:
            for place, (part, own_id) in enumerate(zip(flight.parts, flight.ids, strict=True)):
                returned = flight.returned.get(place) if flight.returned is not None else None
                outcomes.append(returned or Outcome(part, Result.IN_DOUBT, own_id, "connection-lost"))
        outcomes += [Outcome(part, Result.UNSENT, "", "connection-lost") for part in self._waiting]
        self._flights.clear()
        self._waiting, self._waiting_ids = [], []
        self.in_flight = 0
        return outcomes

    def _locate(self, own_id: str) -> tuple[Flight, int] | None:
        for flight in self._flights:
            if flight.index is None:
                flight.index = {known: place for place, known in enumerate(flight.ids)}
            place = flight.index.get(own_id)
            if place is not None:
                return flight, place
        return None
