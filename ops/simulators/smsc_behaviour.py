"""How a simulated SMSC behaves, and what it does with each request. Pure.

The theory
    A ``Behaviour`` is a value; to change it at run time is to put another in its place. A ``Temper`` turns it into a
    deed for each request. It draws from three sources of chance, one for what becomes of requests, one for how long
    answers take and one for receipts, all from one seed: changing how receipts are made does not change which
    requests are dropped, so that a test can be narrowed down.

    For each request, in this order: the connection is cut when its turn has come; over the rate it is throttled; it
    is dropped; it is refused; else it is accepted.
"""

from __future__ import annotations

import math
from enum import StrEnum
from random import Random
from typing import Final

import msgspec

from smpp.constants import CommandStatus
from smpp.receipt import ReceiptState
from smpp.segmentation import Method

THROTTLE_WINDOW_S: Final = 1.0
"""SMSCs count in whole seconds: so many in this one, and from then on ESME_RTHROTTLED until it is over."""

DATE_DIGITS: Final = (10, 12, 14)
"""YYMMDDhhmm (Appendix B), with seconds, and with a century as well."""


def _check_rate(name: str, rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"{name} is {rate}, not within 0…1")


class IdStyle(StrEnum):
    """How a message's number is written as a message_id."""

    DECIMAL = "decimal"
    PADDED = "padded"  # decimal, 16 digits
    HEX = "hex"
    HEX_UPPER = "hex-upper"
    HEX_PADDED = "hex-padded"  # 16 digits
    UUID = "uuid"
    UUID_UPPER = "uuid-upper"


class Carries(StrEnum):
    """Where a receipt says what it says."""

    BOTH = "both"
    TEXT = "text"
    TLVS = "tlvs"


class Wording(StrEnum):
    """How the text of a receipt departs from Appendix B."""

    STANDARD = "standard"
    SHORT = "short"  # id, stat and err only
    SHOUTED = "shouted"  # names in capitals, in another order, ``Text:`` not last
    UCS2 = "ucs2"  # the standard's text in UCS-2, under data_coding 8


class Span(msgspec.Struct, frozen=True):
    """A time between two, every one of them as likely.

    Attributes:
        least_s, most_s: seconds; equal for a fixed time.
    """

    least_s: float = 0.0
    most_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.least_s <= self.most_s < math.inf:
            raise ValueError(f"no span of time: {self.least_s} to {self.most_s} s")

    def draw(self, chance: Random) -> float:
        """A time in it."""
        return self.least_s if self.least_s == self.most_s else chance.uniform(self.least_s, self.most_s)


AT_ONCE: Final = Span()


class Dlr(msgspec.Struct, frozen=True, kw_only=True):
    """How receipts are given.

    Attributes:
        on: give them to messages that ask (registered_delivery).
        always: give them to messages that do not ask, too.
        delay: from the answer to the receipt.
        states: the final states and how often each comes, by weight.
        error: ``err`` of the states that are failures.
        id_style: how the id is written; None for the style of the answer.
        carries: TLVs, text or both.
        wording: see ``Wording``.
        date_digits: 10, 12 or 14.
        intermediate: an intermediate notification (ENROUTE) comes first.
        overtakes: the receipt comes before the answer that it belongs to.
        repeats: how many times more each receipt comes.
        unsolicited_rate: for how many messages, of 1, a receipt for an id that was never given out comes as well.
    """

    on: bool = True
    always: bool = False
    delay: Span = AT_ONCE
    states: tuple[tuple[ReceiptState, float], ...] = ((ReceiptState.DELIVERED, 1.0),)
    error: str = "001"
    id_style: IdStyle | None = None
    carries: Carries = Carries.BOTH
    wording: Wording = Wording.STANDARD
    date_digits: int = 10
    intermediate: bool = False
    overtakes: bool = False
    repeats: int = 0
    unsolicited_rate: float = 0.0

    def __post_init__(self) -> None:
        if not self.states or any(weight < 0 for _, weight in self.states) or not sum(w for _, w in self.states):
            raise ValueError("no state that a receipt could have")
        if self.date_digits not in DATE_DIGITS:
            raise ValueError(f"dates of {self.date_digits} digits; there are 10, 12 and 14")
        if self.repeats < 0:
            raise ValueError(f"repeated {self.repeats} times")
        _check_rate("unsolicited_rate", self.unsolicited_rate)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated SMSC does with what it is sent, and how it sends.

    Attributes:
        delay: how long an answer takes.
        drop_rate: how many requests, of 1, are never answered.
        drop_delivers: those reach their handsets all the same, as when only the answer was lost.
        error_rate: how many requests, of 1, are refused with ``error_status``.
        error_status: a command_status.
        throttle_per_s: requests a second above which ESME_RTHROTTLED is answered, 0 for no bound.
        disconnect_after: the request of a session at which its connection is cut, instead of answered; 0 for never.
            It reaches its handset: only the sender does not know.
        refuse_binds: a command_status that binds are refused with, 0 to accept them.
        ids: how message_ids are written in answers.
        dlr: see ``Dlr``.
        method: how long texts of handsets are cut.
        resend: what the ESME did not answer, because its session ended or in time, is sent again.
        retries: how often a temporary refusal of the ESME's is tried again, ``retry_after_s`` later each time.
    """

    delay: Span = AT_ONCE
    drop_rate: float = 0.0
    drop_delivers: bool = False
    error_rate: float = 0.0
    error_status: int = CommandStatus.ESME_RSYSERR
    throttle_per_s: int = 0
    disconnect_after: int = 0
    refuse_binds: int = 0
    ids: IdStyle = IdStyle.DECIMAL
    dlr: Dlr = Dlr()
    method: Method = Method.UDH8
    resend: bool = True
    retries: int = 0
    retry_after_s: float = 1.0

    def __post_init__(self) -> None:
        _check_rate("drop_rate", self.drop_rate)
        _check_rate("error_rate", self.error_rate)
        for name in ("throttle_per_s", "disconnect_after", "retries", "retry_after_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}")

    @property
    def is_plain(self) -> bool:
        """True when every request is accepted at once."""
        return not (
            self.delay.most_s or self.drop_rate or self.error_rate or self.throttle_per_s or self.disconnect_after
        )


class Act(StrEnum):
    """What becomes of a request."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    DROP = "drop"
    CUT = "cut"


class Deed(msgspec.Struct, frozen=True, gc=False):
    """What to do with one request.

    Attributes:
        act: see ``Act``.
        command_status: to refuse with.
        delay_s: how long the answer takes.
    """

    act: Act
    command_status: int = 0
    delay_s: float = 0.0


_ACCEPT: Final = Deed(Act.ACCEPT)
_DROP: Final = Deed(Act.DROP)
_CUT: Final = Deed(Act.CUT)
_THROTTLE: Final = Deed(Act.REFUSE, CommandStatus.ESME_RTHROTTLED)


class Temper:
    """Decides on requests.

    Args:
        seed: the same seed and the same requests make the same deeds; None for others every time.
    """

    def __init__(self, seed: int | None = None) -> None:
        first = Random(seed)  # noqa: S311 - chance, not secrets
        self._fate = Random(first.getrandbits(64))  # noqa: S311
        self._pace = Random(first.getrandbits(64))  # noqa: S311
        self.receipts = Random(first.getrandbits(64))  # noqa: S311
        self._window_began_s = -math.inf
        self._in_window = 0

    def judge(self, behaviour: Behaviour, number: int, now_s: float) -> Deed:
        """Decide on one request.

        Args:
            behaviour: as it is now.
            number: the how-manieth request of its session it is, from 1.
            now_s: a clock that does not go back.
        """
        if behaviour.disconnect_after and number >= behaviour.disconnect_after:
            return _CUT
        if behaviour.throttle_per_s and not self._has_room(behaviour.throttle_per_s, now_s):
            return _THROTTLE
        # One number for both, so that each request takes the same draws whatever becomes of it.
        fate = self._fate.random() if behaviour.drop_rate or behaviour.error_rate else 1.0
        if fate < behaviour.drop_rate:
            return _DROP
        delay_s = behaviour.delay.draw(self._pace)
        if (fate - behaviour.drop_rate) < behaviour.error_rate * (1 - behaviour.drop_rate):
            return Deed(Act.REFUSE, behaviour.error_status, delay_s)
        return Deed(Act.ACCEPT, 0, delay_s) if delay_s else _ACCEPT

    def final_state(self, dlr: Dlr) -> ReceiptState:
        """The state that a message ends in."""
        states = dlr.states
        if len(states) == 1:
            return states[0][0]
        return self.receipts.choices([state for state, _ in states], [weight for _, weight in states])[0]

    def _has_room(self, per_s: int, now_s: float) -> bool:
        if now_s - self._window_began_s >= THROTTLE_WINDOW_S:
            self._window_began_s = now_s
            self._in_window = 0
        self._in_window += 1
        return self._in_window <= per_s
