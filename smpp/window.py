"""Requests of ours that are on the way: their sequence numbers, and what becomes of each.

A request enters with the next free number, and leaves exactly once: matched by its number, overdue, or given back when
the session ends. The ones that are left stand in the order in which they were sent, so that the oldest is the first.

Each also has an *ordinal*, which only rises and never goes round: ``written`` is the ordinal up to which octets were
handed to the transport. At the end the requests up to there are in doubt, and those after it never left.

Pure.
"""

from __future__ import annotations

from typing import Any

from smpp.constants import MAX_SEQUENCE_NUMBER
from smpp.events import Answer, Lost
from smpp.pdu import PDU

Entry = tuple[Any, PDU, float, int]
"""Key, request, when it was sent, ordinal. A tuple: one is built and taken apart for every message."""


class Window:
    """The requests on the way.

    Attributes:
        pending: sequence number → entry, in the order sent. A connection matches answers in it directly.
        ordinal: of the last request.
        written: the ordinal up to which octets were handed to the transport.
    """

    def __init__(self) -> None:
        self.pending: dict[int, Entry] = {}
        self.ordinal = 0
        self.written = 0
        self._sequence = 0

    def __len__(self) -> int:
        return len(self.pending)

    def next_number(self) -> int:
        """A sequence number: 1…0x7FFFFFFF, around and around, past those in use (SMPP 3.4 §3.2)."""
        sequence = self._sequence
        while True:
            sequence = sequence + 1 if sequence < MAX_SEQUENCE_NUMBER else 1
            if sequence not in self.pending:
                self._sequence = sequence
                return sequence

    def hold(self, numbered: list[tuple[int, PDU, Any]], now: float) -> None:
        """Take requests in: (sequence number, request, key), in the order sent."""
        ordinal = self.ordinal
        for sequence, request, key in numbered:
            ordinal += 1
            self.pending[sequence] = (key, request, now, ordinal)
        self.ordinal = ordinal

    def sent_first(self) -> float:
        """When the oldest request was sent. There must be one."""
        return next(iter(self.pending.values()))[2]

    def take_overdue(self, now: float, response_s: float) -> list[Answer]:
        """Take out the requests that were to be answered by now."""
        late: list[int] = []
        for sequence, entry in self.pending.items():
            # The same sum as a deadline is made of: another one could round so that it never comes.
            if entry[2] + response_s > now:
                break
            late.append(sequence)
        entries = [self.pending.pop(sequence) for sequence in late]
        return [Answer(key, request, None, Lost.TIMEOUT) for key, request, _, _ in entries]

    def give_back(self) -> list[Answer]:
        """Take out all: the session is over."""
        lost = [
            Answer(key, request, None, Lost.ON_WIRE if ordinal <= self.written else Lost.UNSENT)
            for key, request, _, ordinal in self.pending.values()
        ]
        self.pending.clear()
        return lost
