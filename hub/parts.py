"""Texts that come in several parts: what belongs together, and the whole of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from hub.model import NO_ATTRIBUTES, SEAM_FIRST, SEAM_OPEN, Arrival, ReceiptWanted

MISSING = "[…]"  # stands in a text for a part that never came
_OF_A_PART = ("udh", SEAM_OPEN, SEAM_FIRST)  # attributes that say nothing of the whole

Key = tuple[str, str, str, int, int]
"""Origin, source, destination, reference, total: what the parts of one text have in common."""
Group = dict[int, list[tuple[int, Arrival]]]
"""By part number, the (id, arrival) of each time the part came."""


class Whole:
    """A text that was completed a moment ago.

    Attributes:
        key: what its parts had in common.
        message_id: its id.
        digests: by part number, what stands for the part's text.
        until_us: when it is forgotten.
    """

    __slots__ = ("digests", "key", "message_id", "until_us")

    def __init__(self, key: Key, message_id: int, group: Group, until_us: int) -> None:
        self.key = key
        self.message_id = message_id
        self.digests = {number: digest(same[0][1]) for number, same in group.items()}
        self.until_us = until_us

    def has(self, number: int, arrival: Arrival) -> bool:
        """Whether this was a part of it."""
        return self.digests.get(number) == digest(arrival)

    def has_all(self, group: Group) -> bool:
        """Whether all these were parts of it."""
        return all(self.has(number, same[0][1]) for number, same in group.items())


def whole_of(group: Mapping[int, Sequence[tuple[int, Arrival]]], total: int) -> Arrival:
    """The whole text of the parts that came.

    Args:
        group: by part number, the (id, arrival) of each time the part came; the first counts.
        total: how many parts there should be.

    Returns: the first part's arrival with the whole text. ``attributes`` lists the ids of the parts whose sender wants
        receipts (``arrived``), and the numbers that are missing (``missing``).
    """
    numbers = sorted(group)
    first = group[numbers[0]][0][1]
    missing = [number for number in range(1, total + 1) if number not in group]
    wanting = [
        (arrival.upstream_id or str(part_id), arrival.receipt_wanted)
        for number in numbers
        for part_id, arrival in group[number]
        if arrival.receipt_wanted is not ReceiptWanted.NONE
    ]
    attributes = {name: value for name, value in first.attributes.items() if name not in _OF_A_PART}
    if wanting:
        attributes["arrived"] = ",".join(upstream_id for upstream_id, _ in wanting)
    if missing:
        attributes["missing"] = ",".join(map(str, missing))
    return msgspec.structs.replace(
        first,
        text=mended("".join(_pieces({n: group[n][0][1] for n in numbers}, total))),
        concatenation=None,
        receipt_wanted=min((wanted for _, wanted in wanting), default=ReceiptWanted.NONE),
        attributes=attributes or NO_ATTRIBUTES,
    )


def _pieces(parts: Mapping[int, Arrival], total: int) -> list[str]:
    """The text of each part; a character that was cut in two between two of them is the first's last one."""
    pieces = [parts[n].text if n in parts else MISSING for n in range(1, total + 1)]
    for number, part in parts.items():
        following = parts.get(number + 1)
        if SEAM_OPEN in part.attributes and following is not None and following.text:
            pieces[number - 1] = pieces[number - 1][:-1]
            pieces[number] = following.attributes.get(SEAM_FIRST, pieces[number][0]) + pieces[number][1:]
    return pieces


def storable(arrival: Arrival) -> Arrival:
    """An arrival whose text every store takes: half a surrogate pair has no place in a text that came whole."""
    try:
        arrival.text.encode()
    except UnicodeEncodeError:
        return msgspec.structs.replace(arrival, text=mended(arrival.text))
    return arrival


def mended(text: str) -> str:
    """Halves of surrogate pairs that met at a seam made whole; those that met nothing become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def digest(arrival: Arrival) -> int:
    """What stands for a part's text, to tell a repetition from another text."""
    return hash(arrival.text)


def ids_of(group: Group) -> list[int]:
    """The ids of all parts of a group, repetitions included."""
    return [part_id for same in group.values() for part_id, _ in same]


def key_of(endpoint: str, arrival: Arrival) -> Key:
    """What a part has in common with the others of its text."""
    c = arrival.concatenation
    assert c is not None  # noqa: S101 - parts have it
    return endpoint, arrival.source, arrival.destination, c.reference, c.total
