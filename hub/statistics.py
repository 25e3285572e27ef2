"""Counters of the message path, read at scrape. No message, address or token is ever a label."""

from __future__ import annotations

from collections import Counter


class Counters:
    """What happened since the start, by endpoint.

    Attributes:
        events: (event, endpoint) → how often. Events: ``arrived``, ``accepted``, ``try_later``, ``submitted``,
            ``handed_over``, ``retried``, ``throttled``, ``in_doubt``, ``unsent``, ``rerouted``, ``resent``, ``dead``,
            ``expired``, ``receipts_settled``, ``receipts_parked``, ``receipts_repeated``, ``receipts_made``,
            ``incomplete``, ``cancelled``, ``replaced``, ``alerts``.
        refusals: (endpoint, reason) → how often intake refused.
        filtered: (endpoint, filter) → how often a filter kept something back; refusals of filters count there as well.
        deaths: (endpoint, reason) → dead letters.
    """

    def __init__(self) -> None:
        self.events: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[tuple[str, str]] = Counter()
        self.filtered: Counter[tuple[str, str]] = Counter()
        self.deaths: Counter[tuple[str, str]] = Counter()

    def count(self, event: str, endpoint: str, number: int = 1) -> None:
        """Add to an event's counter."""
        if number:
            self.events[event, endpoint] += number

    def refuse(self, endpoint: str, reason: str, number: int = 1) -> None:
        """Count refusals of intake."""
        self.refusals[endpoint, reason] += number

    def die(self, endpoint: str, reason: str) -> None:
        """Count a dead letter. Only the reason's first word is kept: a peer must not make up labels without end."""
        self.deaths[endpoint, reason.split(":", 1)[0][:40]] += 1
