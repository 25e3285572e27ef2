"""Texts on their way through intake, and what an endpoint's dispatcher is told of them."""

from __future__ import annotations

from hub.dispatch import Dispatcher
from hub.elsewhere import Elsewhere
from hub.model import Arrival, Message, Reason
from hub.opt_out import ORDINARY, Decision, Word
from hub.parts import Whole
from hub.queued import Queued
from hub.routing import Route
from threading_tokens import Thread


class Draft:
    """A text on its way through intake.

    Attributes:
        index: its place in the batch, -1 when it comes from a sweep or is an answer of the hub's own.
        part: as it came.
        arrival: what goes on: as it came, or the whole text once the last of its parts came.
        route: where it goes.
        source: the address it comes from, as its recipient shall see it.
        message_id: the id it will have.
        part_id: the id of the part it came as, 0 when it came whole.
        way: where its place was reserved.
        entry: its reserved place, or None when it is left to the store.
        message: the message, once it is known.
        complete: False for a part whose text is incomplete, for what the writer refused, and for an answer that is not
            given.
        token: of its thread, for the answer.
        thread: its thread, once the writer knows it.
        whole: set when it completed a text.
        watched: the writer looks into the opt-out ledger before it takes it.
        refused: why the writer did not take it.
        refused_since_us: with OPTED_OUT, since when the customer is out.
        word: the word that the whole text is, None when it is none, or is not whole yet.
        decision: what the word came to.
        reply: the answer to the word, should it get one.
    """

    __slots__ = (
        "arrival",
        "complete",
        "decision",
        "entry",
        "index",
        "message",
        "message_id",
        "part",
        "part_id",
        "refused",
        "refused_since_us",
        "reply",
        "route",
        "source",
        "thread",
        "token",
        "watched",
        "way",
        "whole",
        "word",
    )

    def __init__(self, index: int, arrival: Arrival, route: Route, source: str) -> None:
        self.index = index
        self.part = arrival
        self.arrival = arrival
        self.route = route
        self.source = source
        self.message_id = 0
        self.part_id = 0
        self.way: Dispatcher | Elsewhere | None = None
        self.entry: Queued | None = None
        self.message: Message | None = None
        self.complete = True
        self.token = ""
        self.thread: Thread | None = None
        self.whole: Whole | None = None
        self.watched = False
        self.refused: Reason | None = None
        self.refused_since_us = 0
        self.word: Word | None = None
        self.decision: Decision = ORDINARY
        self.reply: Draft | None = None


class Settlement:
    """What a write did for one endpoint: entries in memory, and ids left to the store."""

    __slots__ = ("entries", "left")

    def __init__(self) -> None:
        self.entries: list[Queued] = []
        self.left: list[int] = []
