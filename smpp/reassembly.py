"""Put the parts of a text together again.

The theory
    A part says which of how many it is in its user data header (3GPP TS 23.040 §9.2.3.24, elements 0x00 and 0x08) or in
    the sar_* TLVs (SMPP 3.4 §5.3.2.22-24). Both at once is an error, and so is a header longer than its message; both
    are answered with ESME_RINVESMCLASS. A header of sound length whose elements do not add up is ignored as a whole but
    is no text either (§9.2.3.24); a concatenation element with an impossible number is ignored alone (§9.2.3.24.1).

    Parts come in any order, twice, or never. Which belong together is told by link, sender, recipient, reference and
    total. A reference is used again soon (some senders always use 0), so another text under a number that is already
    there is not a duplicate: it begins a new whole, and the old one is given out as it is. Nothing that came is ever
    thrown away; only true repetitions are.

    ``parse_udh``, ``concatenation_of``, ``user_data`` and ``assemble`` are for those who keep parts themselves.
    ``Reassembler`` keeps them in bounded memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from smpp.constants import CommandStatus, EsmClass
from smpp.errors import SmppError
from smpp.tlv import Tag

GAP: Final = "[…]"
"""Stands where one or more parts never came."""

CONCATENATION_8: Final = 0x00
CONCATENATION_16: Final = 0x08
_CONCATENATION_OCTETS: Final = {CONCATENATION_8: 3, CONCATENATION_16: 4}

_UDHI: Final = int(EsmClass.UDHI)
_SAR_MSG_REF_NUM: Final = int(Tag.SAR_MSG_REF_NUM)
_SAR_TOTAL_SEGMENTS: Final = int(Tag.SAR_TOTAL_SEGMENTS)
_SAR_SEGMENT_SEQNUM: Final = int(Tag.SAR_SEGMENT_SEQNUM)
_MESSAGE_PAYLOAD: Final = int(Tag.MESSAGE_PAYLOAD)

TLVs = Sequence[tuple[int, bytes]]


class BadHeader(SmppError):
    """The user data header of a message makes no sense. It costs only this message.

    Attributes:
        command_status: what to answer with.
        problem: what is wrong, in words.
    """

    command_status = CommandStatus.ESME_RINVESMCLASS

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Concatenation(msgspec.Struct, frozen=True, gc=False):
    """A message says that it is one of several.

    Attributes:
        reference: the sender's number for the whole, 8 or 16 bits.
        total: how many parts there are, 2…255.
        number: which one this is, 1…total.
    """

    reference: int
    total: int
    number: int


class Udh(msgspec.Struct, frozen=True, gc=False):
    """A user data header.

    Attributes:
        elements: ``(identifier, data)`` in the order of the wire; empty when they did not add up.
        header_octets: what to cut off the message, the length octet included.
    """

    elements: tuple[tuple[int, bytes], ...]
    header_octets: int


class UserData(msgspec.Struct, frozen=True, gc=False):
    """What a short message carries.

    Attributes:
        octets: the text or data, without header.
        concatenation: set when it is one of several.
        udh: its header, or None.
    """

    octets: bytes
    concatenation: Concatenation | None = None
    udh: Udh | None = None


def parse_udh(octets: bytes) -> Udh:
    """Read the user data header that a message begins with.

    Raises: BadHeader: it is longer than the message.
    """
    header_octets = octets[0] + 1 if octets else 1
    if header_octets > len(octets):
        raise BadHeader(f"a user data header of {header_octets} octets in a message of {len(octets)}")
    elements: list[tuple[int, bytes]] = []
    at = 1
    while at < header_octets:
        end = at + 2 + octets[at + 1] if at + 1 < header_octets else header_octets + 1
        if end > header_octets:
            return Udh((), header_octets)
        elements.append((octets[at], octets[at + 2 : end]))
        at = end
    return Udh(tuple(elements), header_octets)


def message_octets(short_message: bytes, tlvs: TLVs) -> bytes:
    """The octets of a message: short_message, or message_payload when that is empty. Both set is the sender's error."""
    if short_message:
        return short_message
    for tag, value in tlvs:
        if tag == _MESSAGE_PAYLOAD:
            return value
    return short_message


def user_data(short_message: bytes, esm_class: int, tlvs: TLVs = ()) -> UserData:
    """Take a message apart: header, concatenation and the rest.

    Args:
        short_message: its octets; when empty, the message_payload among ``tlvs`` is read instead.
        esm_class: bit 0x40 says that a header is in front.
        tlvs: all TLVs of the PDU.

    Raises: BadHeader.
    """
    if not tlvs and not esm_class & _UDHI:
        return UserData(short_message)
    octets = message_octets(short_message, tlvs)
    sar = _sar_of(tlvs)
    if not esm_class & _UDHI:
        return UserData(octets, sar)
    udh = parse_udh(octets)
    if sar is not None:
        raise BadHeader("a user data header and sar_* in one message")
    return UserData(octets[udh.header_octets :], _udh_concatenation(udh), udh)


def concatenation_of(short_message: bytes, esm_class: int, tlvs: TLVs = ()) -> Concatenation | None:
    """Tell which part of what a message is: None when it is whole, "one of one" included.

    Raises: BadHeader.
    """
    if not tlvs and not esm_class & _UDHI:
        return None
    return user_data(short_message, esm_class, tlvs).concatenation


def _udh_concatenation(udh: Udh) -> Concatenation | None:
    """The last valid concatenation element: a repeated element replaces the one before (23.040 §9.2.3.24)."""
    for identifier, data in reversed(udh.elements):
        if _CONCATENATION_OCTETS.get(identifier) == len(data):
            found = _concatenation(int.from_bytes(data[:-2], "big"), data[-2], data[-1])
            if found is not None or data[-2] == 1:
                return found
    return None


def _sar_of(tlvs: TLVs) -> Concatenation | None:
    """What sar_* say; None unless all three are there (§5.3.2.22)."""
    reference = total = number = None
    for tag, value in tlvs:
        if tag == _SAR_MSG_REF_NUM:
            reference = int.from_bytes(value[:2], "big")
        elif tag == _SAR_TOTAL_SEGMENTS:
            total = int.from_bytes(value, "big")
        elif tag == _SAR_SEGMENT_SEQNUM:
            number = int.from_bytes(value, "big")
    if reference is None or total is None or number is None or total > 255:
        return None
    return _concatenation(reference, total, number)


def _concatenation(reference: int, total: int, number: int) -> Concatenation | None:
    return Concatenation(reference, total, number) if 1 <= number <= total and total > 1 else None


def assemble(parts: Sequence[tuple[int, str]], total: int, gap: str = GAP) -> tuple[str, tuple[int, ...]]:
    """Join the parts of a text.

    Args:
        parts: ``(number, text)`` in any order; of several with one number the first counts.
        total: how many there should be.
        gap: what to write for each run of missing parts.

    Returns: the text, and the numbers that are missing, in order. A surrogate pair that was cut between two parts
        (see ``Alphabet.decode_part``) is whole again; a half without its other half becomes U+FFFD.

    Raises: ValueError: a number is not in 1…total.
    """
    texts: dict[int, str] = {}
    for number, text in parts:
        if not 1 <= number <= total:
            raise ValueError(f"part {number} of {total}")
        texts.setdefault(number, text)
    if len(texts) == total:
        missing: tuple[int, ...] = ()
        pieces = [texts[number] for number in range(1, total + 1)]
    else:
        missing = tuple(number for number in range(1, total + 1) if number not in texts)
        pieces = [
            texts.get(number, gap)
            for number in range(1, total + 1)
            if number in texts or number == 1 or number - 1 in texts
        ]
    return _mend("".join(pieces)), missing


def _mend(text: str) -> str:
    """Make pairs of neighbouring surrogates, and U+FFFD of lone ones."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
    return text


class Key(msgspec.Struct, frozen=True):
    """What parts of one text have in common.

    Attributes:
        link: the name of the link or account they came by.
        sender, recipient: addresses.
        reference: the sender's number for the whole.
        total: how many parts it has.
    """

    link: str
    sender: str
    recipient: str
    reference: int
    total: int


class Assembled(msgspec.Struct, frozen=True):
    """A text that is as whole as it will get.

    Attributes:
        key: what its parts had in common.
        text: the parts joined; ``GAP`` stands where some are missing.
        missing: the numbers of those, in order; empty when it is complete.
    """

    key: Key
    text: str
    missing: tuple[int, ...] = ()


class ReassemblerStatistics(msgspec.Struct, frozen=True):
    """What a ``Reassembler`` holds and has done.

    Attributes:
        texts: incomplete texts held.
        octets: what their parts take, in UTF-8.
        duplicates: parts that were dropped as repetitions, since the start.
        incomplete: texts given out with gaps, since the start.
    """

    texts: int
    octets: int
    duplicates: int
    incomplete: int


class _Open:
    """A text that parts of have come."""

    __slots__ = ("deadline_us", "octets", "texts")

    def __init__(self, deadline_us: int) -> None:
        self.deadline_us = deadline_us
        self.octets = 0
        self.texts: dict[int, str] = {}


class Reassembler:
    """Keeps parts until their text is whole, its time is over, or room is needed; then the text is given out.

    The memory of what was completed, which tells a late repetition from a new text, holds hashes only, as many as
    ``max_texts``, for ``timeout_us`` each.

    Args:
        timeout_us: how long after its first part a text is waited for.
        max_texts: how many incomplete texts are held; the oldest goes first.
        max_octets: of all parts held, counted in UTF-8.
    """

    def __init__(self, timeout_us: int, max_texts: int = 10_000, max_octets: int = 16 << 20) -> None:
        self._timeout_us = timeout_us
        self._max_texts = max_texts
        self._max_octets = max_octets
        self._open: dict[Key, _Open] = {}  # in the order of deadlines, because all wait equally long
        self._completed: dict[Key, tuple[int, frozenset[tuple[int, int]]]] = {}
        self._octets = 0
        self._duplicates = 0
        self._incomplete = 0

    def add(self, key: Key, number: int, text: str, now_us: int) -> list[Assembled]:
        """Take a part.

        Args:
            key: what the whole is known by.
            number: 1…key.total.
            text: the part's characters, from ``Alphabet.decode_part``.
            now_us: any clock that does not go back.

        Returns: the texts to give out now, oldest first: this one when it is whole, and those that had to make room.
        """
        given = self.expire(now_us)
        waiting = self._open.get(key)
        if waiting is None:
            completed = self._completed.get(key)
            if completed is not None and (number, hash(text)) in completed[1]:
                self._duplicates += 1
                return given
        elif number in waiting.texts:
            if waiting.texts[number] == text:
                self._duplicates += 1
                return given
            given.append(self._give(key))
            waiting = None
        if waiting is None:
            waiting = self._open[key] = _Open(now_us + self._timeout_us)
        octets = len(text.encode("utf-8", "surrogatepass"))
        waiting.texts[number] = text
        waiting.octets += octets
        self._octets += octets
        if len(waiting.texts) == key.total:
            self._remember(key, waiting, now_us)
            given.append(self._give(key))
        while self._open and (len(self._open) > self._max_texts or self._octets > self._max_octets):
            given.append(self._give(next(iter(self._open))))
        return given

    def expire(self, now_us: int) -> list[Assembled]:
        """Give out the texts whose time is over, oldest first."""
        given: list[Assembled] = []
        while self._open:
            key, waiting = next(iter(self._open.items()))
            if waiting.deadline_us > now_us:
                break
            given.append(self._give(key))
        while self._completed:
            key, (until_us, _) = next(iter(self._completed.items()))
            if until_us > now_us and len(self._completed) <= self._max_texts:
                break
            del self._completed[key]
        return given

    def next_deadline_us(self) -> int | None:
        """When ``expire`` should be called next, or None when nothing waits."""
        return next(iter(self._open.values())).deadline_us if self._open else None

    def statistics(self) -> ReassemblerStatistics:
        """A snapshot of the counters."""
        return ReassemblerStatistics(len(self._open), self._octets, self._duplicates, self._incomplete)

    def _give(self, key: Key) -> Assembled:
        waiting = self._open.pop(key)
        self._octets -= waiting.octets
        text, missing = assemble(list(waiting.texts.items()), key.total)
        self._incomplete += bool(missing)
        return Assembled(key, text, missing)

    def _remember(self, key: Key, waiting: _Open, now_us: int) -> None:
        self._completed.pop(key, None)  # so that insertion order stays the order of time
        parts = frozenset((number, hash(text)) for number, text in waiting.texts.items())
        self._completed[key] = (now_us + self._timeout_us, parts)
