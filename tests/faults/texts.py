"""Texts of fault tests: each begins with a name that says where it belongs, so that every sink can tell it again."""

from __future__ import annotations

import re

import msgspec

# Nine characters, so that 17 of them fill a part of 153: every part of a long text begins with its name.
NAME = re.compile(r"[A-Z]\d{7}\.")
NAME_CHARACTERS = 9


def name_of(flow: str, lane: int, number: int) -> str:
    """The name of a text: its flow's letter, two digits of lane, five of its number in the lane, and a dot."""
    return f"{flow}{lane:02d}{number:05d}."


def lane_of(name: str) -> str:
    """The lane of a text: flow and lane."""
    return name[:3]


class Sent(msgspec.Struct, kw_only=True):
    """A text as its sender knows it while a test runs; what is judged in the end is the history.

    Attributes:
        name: see ``name_of``.
        pieces: in how many pieces it was sent.
        acknowledged: how many of them were answered with OK.
        wants_receipt: its sender asked to hear what became of it.
    """

    name: str
    pieces: int = 1
    acknowledged: int = 0
    wants_receipt: bool = False


class Taken(msgspec.Struct, frozen=True):
    """A part of a text that a sink answered for.

    Attributes:
        name: of the text.
        part, total: which part of how many.
        whole: False for a text that came with parts missing.
    """

    name: str
    part: int = 1
    total: int = 1
    whole: bool = True
