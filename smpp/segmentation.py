"""Cut a text into what short messages carry.

The theory
    A short message has 140 octets on the radio interface. What fits is counted in units of the alphabet (see
    ``smpp.alphabet``) after the user data header that the part will have there; the SMSC adds that header itself when
    the link says it by sar_* TLVs. A part is cut at the last place that fits and that is between two *clusters*: what a
    reader sees as one character. A letter and its combining marks, an emoji and its variation selector, skin tone or
    ZWJ companions, the two letters of a flag, CR and LF stay together. A cluster that is longer than a whole part is
    cut between characters; a character (its escape pair, its surrogate pair) is never cut.

    The clusters are those of Unicode's UAX #29 with three liberties, each of which joins more, never less: nothing is
    cut after a ZWJ, before a Hangul vowel or final, or between a virama and the letter that follows.

    Methods: UDH8 and UDH16 put the concatenation element (3GPP TS 23.040 §9.2.3.24.1 and .8) in front of each part. SAR
    says the same in TLVs. PAYLOAD leaves the cutting to the SMSC. BLOCKS is H30's: independent messages, front to back,
    without any header; each block is in the alphabet that carries it furthest, so one emoji does not make three
    messages of all the rest.

    Of the alphabets that carry a text, that one is taken which needs the fewest parts, the plainest among equals (see
    ``smpp.selection``). What decides is the parts as they are cut, not an estimate: clusters and escape pairs leave
    parts a little empty, and a header of shift tables makes each part smaller.

    The parts decoded one by one and joined are the text again, for every method and alphabet. The same arguments give
    the same parts, at any time: a restart may cut again and go on in the middle.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from smpp.alphabet import (
    GSM7,
    UCS2,
    Alphabet,
    SeptetAlphabet,
    UnencodableText,
    data_coding_of,
    fill_bits,
    pack,
)
from smpp.constants import EsmClass
from smpp.errors import SmppError
from smpp.selection import Repertoire, repertoire
from smpp.tlv import Tag

MAX_OCTETS: Final = 140
"""The octets of a short message on the radio interface (3GPP TS 23.040 §9.2.3.16)."""

MAX_PARTS: Final = 255
"""The parts that one octet can count."""

MAX_SHORT_MESSAGE: Final = 254
"""The octets of short_message (SMPP 3.4 §5.2.22), which unpacked septets may reach before the air is full."""

MAX_PAYLOAD: Final = 0xFFFF
"""The octets of a TLV's value."""

_SAR_MSG_REF_NUM: Final = int(Tag.SAR_MSG_REF_NUM)
_SAR_TOTAL_SEGMENTS: Final = int(Tag.SAR_TOTAL_SEGMENTS)
_SAR_SEGMENT_SEQNUM: Final = int(Tag.SAR_SEGMENT_SEQNUM)
_MESSAGE_PAYLOAD: Final = int(Tag.MESSAGE_PAYLOAD)

_UDHI: Final = int(EsmClass.UDHI)
_ZWJ: Final = "\u200d"
_VIRAMA: Final = 9  # Unicode's canonical combining class of all viramas


class Method(StrEnum):
    """How a link carries a text that one message does not hold."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"
    BLOCKS = "blocks"


class TooManyParts(SmppError):
    """A text needs more parts than can be counted.

    Attributes:
        parts: how many it needs, at least.
        max_parts: how many there may be.
    """

    def __init__(self, parts: int, max_parts: int) -> None:
        super().__init__(f"the text needs {parts} parts or more, {max_parts} are allowed")
        self.parts = parts
        self.max_parts = max_parts


class Segment(msgspec.Struct, frozen=True, gc=False):
    """One part of a text, ready for submit_sm or deliver_sm.

    Attributes:
        data_coding: names the alphabet, 0 for the link's default.
        short_message: the octets, the user data header included.
        characters: how many characters (code points) of the text it carries.
        esm_class: 0x40 (UDHI) when a header is in front, else 0; for the caller to add to its own bits.
        tlvs: ``(tag, value)`` for sar_* or message_payload.
    """

    data_coding: int
    short_message: bytes
    characters: int
    esm_class: int = 0
    tlvs: tuple[tuple[int, bytes], ...] = ()


Segments = tuple[Segment, ...]


def is_boundary(text: str, at: int, start: int = 0) -> bool:
    """True when no cluster stands across a place.

    Args:
        text: any text.
        at: the place before ``text[at]``.
        start: a place before it that is a boundary; flags are paired off from there on.
    """
    if at <= start or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if before == _ZWJ:
        return False
    if after.isascii():
        return after != "\n" or before != "\r"
    if _extends(after):
        return False
    if "\U0001f1e6" <= after <= "\U0001f1ff":
        letters = 0
        while at - letters > start and "\U0001f1e6" <= text[at - 1 - letters] <= "\U0001f1ff":
            letters += 1
        return letters % 2 == 0
    return not (unicodedata.combining(before) == _VIRAMA and unicodedata.category(after) == "Lo")


def _extends(character: str) -> bool:
    """True when a character belongs to the one before it."""
    return (
        unicodedata.category(character) in ("Mn", "Me", "Mc")
        or character in "\u200c\u200d\uff9e\uff9f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tags: the flags of Scotland, Wales, England
        or "\u1160" <= character <= "\u11ff"  # Hangul vowels and finals
        or "\ud7b0" <= character <= "\ud7fb"
    )


def capacity(alphabet: Alphabet, header_octets: int, max_octets: int = MAX_OCTETS) -> int:
    """Count the units of an alphabet that fit beside a header: 160, 153, 70 or 67 in the usual cases."""
    on_air = (max_octets - header_octets) * 8 // alphabet.unit_bits
    return min(on_air, (MAX_SHORT_MESSAGE - header_octets) // alphabet.unit_octets)


def segment(
    text: str,
    *,
    method: Method = Method.UDH8,
    default: Alphabet = GSM7,
    allowed: Sequence[Alphabet] = (GSM7, UCS2),
    reference: int = 0,
    max_octets: int = MAX_OCTETS,
    max_parts: int = MAX_PARTS,
    packed: bool = False,
) -> Segments:
    """Cut a text into short messages. Pure: equal arguments, equal parts.

    Args:
        text: any text; empty makes one empty part.
        method: what to do when one message does not hold it.
        default: the link's alphabet of data_coding 0.
        allowed: the alphabets the link may be given; of those that carry the text exactly the one that needs the fewest
            parts is taken, the plainest among equals.
        reference: the number that the parts share, cut to 8 bits for UDH8 and to 16 for UDH16 and SAR.
        max_octets: of one message on the air, its header included.
        max_parts: above it the text is refused; never above 255 where the parts are counted in an octet.
        packed: pack the septets of the GSM alphabet (few links want it); octets of ASCII stay octets.

    Raises:
        UnencodableText: none of the allowed alphabets carries it.
        TooManyParts: it does not fit in ``max_parts`` parts, or in one message_payload.
    """
    if default.unit_bits == 7 and default in allowed and not packed and not default.shift_elements:
        octets = default.try_encode(text)  # the common case, before anything else is looked at
        if octets is not None and len(octets) * 7 <= max_octets * 8 and len(octets) <= MAX_SHORT_MESSAGE:
            return (Segment(0, octets, len(text)),)
    could_be_given = repertoire(allowed, default)
    if text and not packed:  # the next most common
        for bare in could_be_given.bare:
            octets = bare.try_encode(text)
            if octets is not None:
                bits = len(octets) // bare.unit_octets * bare.unit_bits
                if bits <= max_octets * 8 and len(octets) <= MAX_SHORT_MESSAGE:
                    return (Segment(0 if bare is default else bare.data_coding, octets, len(text)),)
    cutter = _Cutter(text, method, default, max_octets, max_parts, packed)
    alphabet = cutter.choose(could_be_given)
    if alphabet is None:
        return cutter.blocks(could_be_given)
    if cutter.fits_one(alphabet):
        return (cutter.carry(alphabet, 0, len(text)),)
    if method is Method.PAYLOAD:
        return (cutter.payload(alphabet),)
    return cutter.concatenated(alphabet, reference)


def choose(
    text: str,
    allowed: Sequence[Alphabet],
    default: Alphabet = GSM7,
    *,
    method: Method = Method.UDH8,
    max_octets: int = MAX_OCTETS,
    packed: bool = False,
) -> Alphabet:
    """Choose the alphabet that ``segment`` takes for a text that is not cut into blocks.

    Args: see ``segment``.

    Raises: UnencodableText.
    """
    if method is Method.BLOCKS:
        raise ValueError("each block has an alphabet of its own")
    alphabet = _Cutter(text, method, default, max_octets, MAX_PARTS, packed).choose(repertoire(allowed, default))
    assert alphabet is not None  # noqa: S101 - only blocks need none
    return alphabet


class _Cutter:
    """The rare part of ``segment``: all but a text of plain septets that one message holds."""

    __slots__ = ("default", "max_octets", "max_parts", "method", "packed", "text")

    def __init__(
        self, text: str, method: Method, default: Alphabet, max_octets: int, max_parts: int, packed: bool
    ) -> None:
        self.text = text
        self.method = method
        self.default = default
        self.max_octets = max_octets
        self.max_parts = max_parts
        self.packed = packed

    def choose(self, alphabets: Repertoire) -> Alphabet | None:
        """The alphabet that needs the fewest parts, the plainest among equals.

        Returns: None when the text has to be cut into blocks: no alphabet carries the whole in one message.
        Raises: UnencodableText.
        """
        text = self.text
        if not text and self.default in alphabets.allowed:
            return self.default
        carrying: list[Alphabet] = []  # the plainest first, so the first that one message holds is the one
        for alphabet in alphabets.plain:
            octets = alphabet.try_encode(text)
            if octets is not None:
                if self._holds(alphabet, len(octets)):
                    return alphabet
                if len(octets) == len(text) and not carrying and self.method is not Method.BLOCKS:
                    return alphabet  # nothing is smaller than seven bits a character
                carrying.append(alphabet)
        for alphabet in alphabets.national(text) if alphabets.has_tables else ():
            if self.fits_one(alphabet):
                return alphabet
            carrying.append(alphabet)
        for alphabet in alphabets.wider:
            octets = alphabet.try_encode(text)
            if octets is not None:
                if self._holds(alphabet, len(octets) // alphabet.unit_octets):
                    return alphabet
                carrying.append(alphabet)
        if self.method is Method.BLOCKS:
            return None
        if not carrying:
            raise UnencodableText([alphabet.name for alphabet in alphabets.allowed])
        return carrying[0] if len(carrying) == 1 else self._fewest(carrying)

    def _fewest(self, carrying: Sequence[Alphabet]) -> Alphabet:
        """Of alphabets that need several parts, the one that needs the fewest, the first among equals."""
        header_octets = self._concatenation_octets()
        promised = sorted(
            (
                -(-alphabet.units(self.text) // self._capacity(alphabet, header_octets + len(alphabet.shift_elements))),
                at,
            )
            for at, alphabet in enumerate(carrying)
        )
        best: tuple[int, int] | None = None
        for at_least, at in promised:
            if best is not None and (at_least, at) >= best:
                break
            if self.method is Method.PAYLOAD:
                parts = at_least  # as near as can be told: the SMSC cuts it
            else:
                try:
                    parts = len(self._ends_of(carrying[at]))
                except TooManyParts as error:
                    parts = error.parts
            best = min(best, (parts, at)) if best is not None else (parts, at)
        return carrying[best[1] if best is not None else 0]

    def _least_parts(self, alphabet: Alphabet) -> int:
        """The parts that an alphabet needs if each can be filled."""
        header_octets = self._concatenation_octets() + len(alphabet.shift_elements)
        return -(-alphabet.units(self.text) // self._capacity(alphabet, header_octets))

    def fits_one(self, alphabet: Alphabet) -> bool:
        """True when one message without a concatenation header holds the whole."""
        return self._holds(alphabet, alphabet.units(self.text))

    def _holds(self, alphabet: Alphabet, units: int) -> bool:
        """The same, told by the units of the whole."""
        header_octets = len(self._header(alphabet, b""))
        return self._excess(alphabet, self.text, header_octets, header_octets, units) <= 0

    def carry(
        self,
        alphabet: Alphabet,
        start: int,
        end: int,
        element: bytes = b"",
        tlvs: tuple[tuple[int, bytes], ...] = (),
    ) -> Segment:
        """Make the part of some characters."""
        header = self._header(alphabet, element)
        octets = alphabet.encode(self.text[start:end])
        if self.packed and isinstance(alphabet, SeptetAlphabet):
            octets = pack(octets, fill_bits(len(header)))
        esm_class = _UDHI if header else 0
        return Segment(data_coding_of(alphabet, self.default), header + octets, end - start, esm_class, tlvs)

    def concatenated(self, alphabet: Alphabet, reference: int) -> Segments:
        """Cut into parts that say which of how many they are."""
        ends = self._ends_of(alphabet, reference)
        sar = self._by_sar(alphabet)
        wide = self._is_wide(reference)
        total, start = len(ends), 0
        segments: list[Segment] = []
        for number, end in enumerate(ends, 1):
            if sar:
                part = self.carry(alphabet, start, end, tlvs=sar_tlvs(reference, total, number))
            elif wide:
                element = bytes((0x08, 4, reference >> 8 & 0xFF, reference & 0xFF, total, number))
                part = self.carry(alphabet, start, end, element)
            else:
                part = self.carry(alphabet, start, end, bytes((0x00, 3, reference & 0xFF, total, number)))
            segments.append(part)
            start = end
        return tuple(segments)

    def _by_sar(self, alphabet: Alphabet) -> bool:
        """Whether the parts say so in TLVs.

        A header and sar_* in one message is an error, so a text that needs a header says all of it there.
        """
        return self.method is Method.SAR and not alphabet.shift_elements

    def _is_wide(self, reference: int) -> bool:
        """Whether the concatenation element has a reference of 16 bits."""
        return self.method is Method.UDH16 or (self.method is Method.SAR and reference > 0xFF)

    def _concatenation_octets(self, reference: int = 0) -> int:
        """The header of a part that has no shift tables, the length octet included."""
        return 7 if self._is_wide(reference) else 6

    def _ends_of(self, alphabet: Alphabet, reference: int = 0) -> list[int]:
        """Where each part ends, in the whole of them.

        Raises: TooManyParts.
        """
        # The SMSC turns SAR into a header of the same size, so room is left for it.
        header_octets = self._concatenation_octets(reference) + len(alphabet.shift_elements)
        own_octets = 0 if self._by_sar(alphabet) else header_octets
        return self._ends(alphabet, header_octets, own_octets, min(self.max_parts, MAX_PARTS))

    def payload(self, alphabet: Alphabet) -> Segment:
        """Put the whole into message_payload; the SMSC cuts it."""
        whole = self.carry(alphabet, 0, len(self.text))
        units = alphabet.units(self.text)
        parts = -(-units // capacity(alphabet, 6 + len(alphabet.shift_elements), self.max_octets))
        if parts > min(self.max_parts, MAX_PARTS) or len(whole.short_message) > MAX_PAYLOAD:
            raise TooManyParts(parts, min(self.max_parts, MAX_PARTS))
        tlvs = ((_MESSAGE_PAYLOAD, whole.short_message),)
        return Segment(whole.data_coding, b"", whole.characters, whole.esm_class, tlvs)

    def blocks(self, alphabets: Repertoire) -> Segments:
        """Cut into messages of their own, each in the alphabet that carries it furthest.

        Taking the longest block first makes the fewest blocks: what fits from a place on, fits from a later one too.
        """
        segments: list[Segment] = []
        start = 0
        while start < len(self.text):
            if len(segments) == self.max_parts:
                raise TooManyParts(len(segments) + 1, self.max_parts)
            best, best_end = None, start
            for whole_clusters in (True, False):
                for alphabet in alphabets.every:
                    end = self._block_end(alphabet, start, whole_clusters, best_end)
                    if end > best_end:
                        best, best_end = alphabet, end
                if best is not None:
                    break
            if best is None:
                raise UnencodableText([alphabet.name for alphabet in alphabets.allowed])
            segments.append(self.carry(best, start, best_end))
            start = best_end
        return tuple(segments)

    def _block_end(self, alphabet: Alphabet, start: int, whole_clusters: bool, beyond: int) -> int:
        """Where the block from ``start`` on ends in an alphabet, told exactly when that is after ``beyond``."""
        header_octets = len(self._header(alphabet, b""))
        window = self.text[start : start + self._capacity(alphabet, header_octets)]
        reach = alphabet.reach(window)
        end = start + reach
        if end <= beyond:
            return end
        if reach:
            end = self._last_fitting(alphabet, start, end, header_octets, header_octets)
        if whole_clusters:
            while not is_boundary(self.text, end, start):
                end -= 1
        return end

    def _ends(self, alphabet: Alphabet, header_octets: int, own_octets: int, max_parts: int) -> list[int]:
        """Where each part ends."""
        text = self.text
        room = self._capacity(alphabet, header_octets)
        if len(text) > room * max_parts:  # before work is done that grows with the text
            raise TooManyParts(-(-len(text) // room), max_parts)
        ends: list[int] = []
        start = 0
        while start < len(text):
            if len(ends) == max_parts:
                raise TooManyParts(max_parts + 1, max_parts)
            fitting = self._last_fitting(alphabet, start, min(start + room, len(text)), header_octets, own_octets)
            end = fitting
            while not is_boundary(text, end, start):
                end -= 1
            if end == start:  # one cluster longer than a part
                end = fitting
            ends.append(end)
            start = end
        return ends

    def _last_fitting(self, alphabet: Alphabet, start: int, end: int, header_octets: int, own_octets: int) -> int:
        """The last place up to ``end`` so that the characters from ``start`` on fit in one part.

        ``header_octets`` is the header on the air, ``own_octets`` the one we write: 0 under SAR.
        """
        text = self.text
        excess = self._excess(alphabet, text[start:end], header_octets, own_octets)
        while excess > 0:
            # No character costs more than most_units, so at least this many must go; never one too many.
            end -= -(-excess // alphabet.most_units)
            excess = self._excess(alphabet, text[start:end], header_octets, own_octets)
        return end

    def _excess(
        self, alphabet: Alphabet, piece: str, header_octets: int, own_octets: int, units: int | None = None
    ) -> int:
        """How many units a piece is too long; ``units`` are its own, where they are known."""
        if units is None:
            units = alphabet.units(piece)
        if self.packed and piece.endswith("\r") and isinstance(alphabet, SeptetAlphabet):
            # ``pack`` doubles a CR that ends with an octet.
            units += (fill_bits(own_octets) + 7 * units) % 8 == 0
        return units - self._capacity(alphabet, header_octets)

    def _capacity(self, alphabet: Alphabet, header_octets: int) -> int:
        """The units of one part; at least the costliest character has to fit."""
        room = capacity(alphabet, header_octets, self.max_octets)
        if room < alphabet.most_units:
            raise ValueError(f"max_octets {self.max_octets} has no room for a character after {header_octets} octets")
        return room

    def _header(self, alphabet: Alphabet, element: bytes) -> bytes:
        """The user data header of a part: the concatenation element, then the shift tables', or nothing."""
        elements = element + alphabet.shift_elements
        return bytes((len(elements),)) + elements if elements else b""


def sar_tlvs(reference: int, total: int, number: int) -> tuple[tuple[int, bytes], ...]:
    """The TLVs that say which part of what a message is (SMPP 3.4 §5.3.2.22-24)."""
    return (
        (_SAR_MSG_REF_NUM, (reference & 0xFFFF).to_bytes(2, "big")),
        (_SAR_TOTAL_SEGMENTS, bytes((total,))),
        (_SAR_SEGMENT_SEQNUM, bytes((number,))),
    )
