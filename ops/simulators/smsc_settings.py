"""What a simulated SMSC is told, and what it tells. Pure values."""

from __future__ import annotations

from typing import Any

import msgspec

from ops.simulators.smsc_behaviour import Behaviour
from ops.simulators.smsc_handset import Acknowledgement, PartArrival, Reception
from smpp.alphabet import GSM7, Alphabet
from smpp.states import State


class SmscSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated SMSC is.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        system_id, password: who may bind; an empty system_id lets everybody in.
        name: what it calls itself.
        behaviour: at the start.
        seed: of its misbehaviour; None for another every time.
        first_message_id: None for 1 when there is a seed, else for one that no earlier run has given out.
        keep_history: handsets remember what they get. Without it, texts are counted only (see ``statistics``), unless
            somebody follows ``events``.
        kept: texts that a handset remembers, and acknowledgements in all; the oldest go.
        alphabet: what data_coding 0 means, both ways.
        window: deliver_sm that may be unanswered on one session.
        inbox: requests that may wait on one session.
        enquire_link_s, response_s: see ``smpp.events.Settings``.
        tls: an ``ssl.SSLContext``, or None.
    """

    host: str = "127.0.0.1"
    port: int = 2775
    system_id: str = ""
    password: str = ""
    name: str = "SMSC"
    behaviour: Behaviour = Behaviour()
    seed: int | None = None
    first_message_id: int | None = None
    keep_history: bool = True
    kept: int = 10_000
    alphabet: Alphabet = GSM7
    window: int = 100
    inbox: int = 10_000
    enquire_link_s: float = 30.0
    response_s: float = 30.0
    tls: Any = None

    def __repr__(self) -> str:
        """Show which it is, and no secret."""
        return f"<SmscSettings {self.name!r} {self.host}:{self.port} for {self.system_id or 'everybody'!r}>"


class BindNews(msgspec.Struct, frozen=True):
    """An ESME has bound, or has gone.

    Attributes:
        at_us: when.
        system_id, peer: who, and from which address.
        state: as what.
        bound: False when it has gone.
        ending: why it has gone, else empty.
    """

    at_us: int
    system_id: str
    peer: str
    state: State
    bound: bool
    ending: str = ""


Event = Reception | PartArrival | Acknowledgement | BindNews


class SmscStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A simulated SMSC's counters since the start.

    Attributes:
        binds: sessions bound at the moment.
        received: submit_sm and data_sm, acknowledgements included.
        accepted, refused, throttled, dropped, cut: what became of them.
        acknowledgements: news of handsets' texts among the accepted.
        waiting: deliveries that no receiver has taken.
        deliveries: see ``Outbox.counts``.
        missed_events: that a follower of ``events`` was too slow for.
    """

    binds: int
    received: int
    accepted: int
    refused: int
    throttled: int
    dropped: int
    cut: int
    acknowledgements: int
    waiting: int
    deliveries: dict[str, int]
    missed_events: int
