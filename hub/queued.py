"""A message in its lane, as memory holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub import journal
from hub.lanes import Entry
from hub.model import Message


class Queued(Entry):
    """A message in its lane.

    Attributes:
        id: the message's id.
        message: the message; None between ``reserve`` and its commit where only the writer can complete it (threads).
        payloads: what the endpoint's ``split`` made of it, once it was its turn.
        next_part: parts answered for.
        attempts: temporary refusals so far.
        in_doubt: times that an answer was lost.
        doubtful: True when the part that is next may have arrived already.
        unanswered: True when a restart found it submitted: on a link that holds what is in doubt, it goes no further.
        claimed: True when its row says SUBMITTING.
        seized: True when it was promised a place of the endpoint's room.
        flying: True while the endpoint has it.
        handed: parts handed over since it was loaded.
        expecting: of these, parts that a receipt is awaited for.
    """

    __slots__ = (
        "attempts",
        "claimed",
        "doubtful",
        "expecting",
        "flying",
        "handed",
        "id",
        "in_doubt",
        "message",
        "next_part",
        "payloads",
        "seized",
        "unanswered",
    )

    def __init__(self, message_id: int, message: Message | None) -> None:
        super().__init__()
        self.id = message_id
        self.message = message
        self.payloads: Sequence[Any] | None = None
        self.next_part = 0
        self.attempts = 0
        self.in_doubt = 0
        self.doubtful = False
        self.unanswered = False
        self.claimed = False
        self.seized = False
        self.flying = False
        self.handed = 0
        self.expecting = 0

    def stands(self, standing: journal.Standing) -> None:
        """Take over how far its row has come."""
        self.next_part = standing.next_part
        self.attempts = standing.attempts
        self.in_doubt = standing.in_doubt
