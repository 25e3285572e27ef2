"""What a carrier directory says of a number: the port of routing towards ENUM. Pure.

Routing decides for each text at once, so it asks a cache: whoever implements this looks numbers up beside the message
path, and answers None for what it does not know yet. A text whose answer has not come goes by what the routes say
without it. Look-ups are of destinations in E.164 only.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class EnumAnswer(msgspec.Struct, frozen=True, gc=False):
    """One answer.

    Attributes:
        element: the number's identification element (H8), canonical as in ``provisioning.parse_element``; empty when
            there is none.
        endpoint: the network endpoint that the answer leads to by itself (``link:x``); empty when the routes decide.
        valid_until_us: the answer says nothing any more from then on; microseconds UTC.
    """

    element: str
    endpoint: str
    valid_until_us: int


class EnumAnswers(Protocol):
    """A cache of answers."""

    def answer(self, e164: str) -> EnumAnswer | None:
        """What is known of a number now; None for nothing. Neither waits nor raises."""
        ...
