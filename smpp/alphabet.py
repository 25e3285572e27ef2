"""Characters to octets and back: the alphabets that data_coding names.

The theory
    *Units.* An alphabet counts in units: septets (7 bits), octets (8) or 16-bit units. A character costs one unit or
    more: '€' is two septets, '😀' two UCS-2 units. How many units fit is arithmetic on bits, whatever the wire carries,
    because 140 octets is what the radio interface has: 160 septets, 140 octets, 70 units.

    *Unpacked is the norm.* ``encode`` gives one octet for each septet, as nearly every SMSC takes it. ``pack`` and
    ``unpack`` are there for the few that want septets packed.

    *Slots.* Python's charmap codec is the fastest way from characters to octets, but it knows one octet for each
    character, and is fast only when octet 0 means NUL. So a septet alphabet first encodes to *slots*: code c of the
    locking table is slot c, code c of the single shift table is slot 0x80|c, and the character with code 0 ('@') takes
    the slot of the escape, which no character has. Slots become septets by one ``replace`` for '@' and one for each
    kind of extension character present. A text of 100 ordinary characters takes well under a microsecond.

    *Lenient in, exact out.* Encoding refuses what it cannot carry exactly. Decoding never fails: what means nothing
    becomes U+FFFD, so that a customer's text arrives even when one octet of it is bad.

Sources: 3GPP TS 23.038 §4, §6; SMPP 3.4 §5.2.19.
"""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

from smpp.alphabet_tables import ESCAPE, LANGUAGES, LOCKING_SHIFT, SINGLE_SHIFT, UNDEFINED
from smpp.errors import SmppError

# Python reads a codec's module when it is first used. That is a file: where descriptors have run out by then, encoding
# a text would fail, and the session with it.
codecs.lookup("utf-16-be")
codecs.lookup("utf-16-le")

REPLACEMENT = "\ufffd"

_ESCAPE_OCTET = bytes((ESCAPE,))
_CARRIAGE_RETURN = 0x0D  # the same code in every locking table
_HOLE = 0xE000  # see SeptetAlphabet._characters
_SINGLE_SHIFT_ELEMENT, _LOCKING_SHIFT_ELEMENT = 0x24, 0x25  # 23.040 §9.2.3.24.15, .16
_SEPTETS = bytes(range(128))
_ESCAPED = re.compile("\x1b(.?)", re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class UnencodableText(SmppError):
    """A text holds a character that none of the alphabets allowed can carry.

    Attributes:
        alphabets: the names of those that were tried.
    """

    def __init__(self, alphabets: Sequence[str]) -> None:
        super().__init__(f"a character of the text is in none of the alphabets {', '.join(alphabets) or '(none)'}")
        self.alphabets = tuple(alphabets)


class Alphabet(ABC):
    """One alphabet.

    Attributes:
        name: its name in configuration.
        data_coding: the value that names it on a link where it is not the default.
        unit_bits: the bits of one unit on the radio interface.
        unit_octets: the octets of one unit on the wire.
        most_units: the units of its costliest character.
        shift_elements: the information elements that must stand in the user data header for it (national tables).
    """

    __slots__ = ("data_coding", "most_units", "name", "shift_elements", "unit_bits", "unit_octets")

    name: str
    data_coding: int
    unit_bits: int
    unit_octets: int
    most_units: int
    shift_elements: bytes

    @abstractmethod
    def try_encode(self, text: str) -> bytes | None:
        """Encode, or say None when a character is not carried."""

    @abstractmethod
    def reach(self, text: str) -> int:
        """Count the leading characters that are carried: ``len(text)`` when all are."""

    @abstractmethod
    def decode(self, octets: bytes) -> str:
        """Decode; whatever means nothing becomes U+FFFD. Never fails."""

    def decode_part(self, octets: bytes) -> str:
        """Decode one part of several: as ``decode``, but half a surrogate pair at either end is kept.

        Some phones cut a text between the halves. ``reassembly.assemble`` puts them together again.
        """
        return self.decode(octets)

    def encode(self, text: str) -> bytes:
        """Encode.

        Raises: UnencodableText.
        """
        octets = self.try_encode(text)
        if octets is None:
            raise UnencodableText((self.name,))
        return octets

    def encodable(self, text: str) -> bool:
        """True when every character is carried."""
        return self.try_encode(text) is not None

    def units(self, text: str) -> int:
        """Count the units that a text costs.

        Raises: UnencodableText.
        """
        return len(self.encode(text)) // self.unit_octets

    def __repr__(self) -> str:
        return f"<Alphabet {self.name}>"


def _name_of(locking: int, single: int) -> str:
    """``gsm7``; ``gsm7-tr`` for all the tables of a language; ``gsm7-tr-single`` or ``gsm7-tr-locking`` for one."""
    if not (locking or single):
        return "gsm7"
    if locking == (single if single in LOCKING_SHIFT else 0):
        return f"gsm7-{LANGUAGES[single]}"
    first = f"-{LANGUAGES[locking]}-locking" if locking else ""
    second = f"-{LANGUAGES[single]}-single" if single else ""
    return f"gsm7{first}{second}"


class SeptetAlphabet(Alphabet):
    """The 7-bit alphabet of GSM: a locking table of 128 codes and a single shift table behind the escape.

    Attributes:
        locking, single: the national language identifiers of its tables, 0 for the default ones.
    """

    __slots__ = ("_characters", "_extension", "_holes", "_slots", "locking", "single")

    def __init__(self, locking: int, single: int) -> None:
        basic, extension = LOCKING_SHIFT[locking], SINGLE_SHIFT[single]
        self.locking, self.single = locking, single
        self.name = _name_of(locking, single)
        self.data_coding = 0xF1  # class 1, default alphabet: 0xF0 would be class 0, a flash message
        self.unit_bits, self.unit_octets, self.most_units = 7, 1, 2
        self.shift_elements = bytes((_SINGLE_SHIFT_ELEMENT, 1, single)) * bool(single)
        self.shift_elements += bytes((_LOCKING_SHIFT_ELEMENT, 1, locking)) * bool(locking)
        slots = ["\0", *basic[1:], *(UNDEFINED for _ in range(128))]
        slots[ESCAPE] = basic[0]
        for code, character in extension.items():
            if character not in basic:
                slots[0x80 | code] = character
        self._slots = codecs.charmap_build("".join(slots))
        # A code without a character still may be one behind the escape, so it decodes to a private code point first.
        holes = {_HOLE + code for code, character in enumerate(basic) if character == UNDEFINED}
        self._characters = "".join(chr(_HOLE + at) if _HOLE + at in holes else basic[at] for at in range(128))
        self._holes = dict.fromkeys(holes, REPLACEMENT)
        self._extension = {self._characters[code]: character for code, character in extension.items()}

    def try_encode(self, text: str) -> bytes | None:
        """Encode to unpacked septets, or say None when a character is not carried."""
        try:
            octets = codecs.charmap_encode(text, "strict", self._slots)[0]
        except UnicodeEncodeError:
            return None
        if 0 in octets:  # slot 0 is the character NUL, which no septet alphabet has
            return None
        octets = octets.replace(_ESCAPE_OCTET, b"\0")
        if not octets.isascii():
            for slot in set(octets.translate(None, _SEPTETS)):
                octets = octets.replace(bytes((slot,)), bytes((ESCAPE, slot & 0x7F)))
        return octets

    def reach(self, text: str) -> int:
        """Count the leading characters that are carried."""
        try:
            octets = codecs.charmap_encode(text, "strict", self._slots)[0]
        except UnicodeEncodeError as refused:
            octets = codecs.charmap_encode(text[: refused.start], "strict", self._slots)[0]
        nul = octets.find(0)
        return len(octets) if nul < 0 else nul

    def units(self, text: str) -> int:
        """Count the septets that a text costs, the escapes included.

        Raises: UnencodableText.
        """
        try:
            slots = codecs.charmap_encode(text, "strict", self._slots)[0]
        except UnicodeEncodeError:
            raise UnencodableText((self.name,)) from None
        if 0 in slots:
            raise UnencodableText((self.name,))
        return len(slots) if slots.isascii() else len(slots) + len(slots.translate(None, _SEPTETS))

    def decode(self, octets: bytes) -> str:
        """Decode unpacked septets. Never fails.

        An escape before a code without extension shows the code's basic character; a second escape, or one at the
        end, shows as a space (23.038 §6.2.1.1 notes 1 and 3). Octets above 0x7F become U+FFFD: they are no septets.
        """
        text: str = codecs.charmap_decode(octets, "replace", self._characters)[0]
        if ESCAPE in octets:
            extension = self._extension
            text = _ESCAPED.sub(lambda match: extension.get(match[1], match[1].strip("\x1b") or " "), text)
        return text.translate(self._holes) if self._holes else text

    def ends_in_escape(self, octets: bytes) -> bool:
        """True when unpacked septets end with an escape whose second septet is not there."""
        return (len(octets) - len(octets.rstrip(_ESCAPE_OCTET))) % 2 == 1

    def behind_escape(self, octets: bytes) -> str:
        """What the first of these septets means when an escape came before it; empty for no more than by itself."""
        return self._extension.get(self._characters[octets[0]], "") if octets and octets[0] < 0x80 else ""


class OctetAlphabet(Alphabet):
    """An alphabet that Python has a codec for, of one or more octets for a character.

    The codecs of many octets write some characters as others (a yen sign as a backslash); such a text is refused, so
    that it goes in an alphabet that carries it exactly.
    """

    __slots__ = ("_codec",)

    def __init__(self, name: str, codec: str, data_coding: int, *, unit_bits: int = 8, most_units: int = 1) -> None:
        self.name, self.data_coding = name, data_coding
        self.unit_bits, self.unit_octets, self.most_units = unit_bits, 1, most_units
        self.shift_elements = b""
        self._codec = codec

    def try_encode(self, text: str) -> bytes | None:
        """Encode, or say None when a character is not carried."""
        try:
            octets = text.encode(self._codec)
        except UnicodeEncodeError:
            return None
        if self.most_units > 1 and octets.decode(self._codec, "replace") != text:
            return None
        return octets

    def reach(self, text: str) -> int:
        """Count the leading characters that are carried."""
        try:
            octets = text.encode(self._codec)
        except UnicodeEncodeError as refused:
            text = text[: refused.start]
            octets = text.encode(self._codec)
        if self.most_units == 1:
            return len(text)
        carried = octets.decode(self._codec, "replace")
        return next((at for at, (sent, read) in enumerate(zip(text, carried, strict=False)) if sent != read), len(text))

    def decode(self, octets: bytes) -> str:
        """Decode; an octet that means nothing becomes U+FFFD."""
        return octets.decode(self._codec, "replace")


class Ucs2Alphabet(Alphabet):
    """UCS-2 as the field has it: UTF-16, big end first, surrogate pairs and all."""

    __slots__ = ()

    def __init__(self) -> None:
        self.name, self.data_coding = "ucs2", 0x08
        self.unit_bits, self.unit_octets, self.most_units = 16, 2, 2
        self.shift_elements = b""

    def try_encode(self, text: str) -> bytes | None:
        """Encode, or say None when the text holds half a surrogate pair, which is no character."""
        try:
            return text.encode("utf-16-be")
        except UnicodeEncodeError:
            return None

    def reach(self, text: str) -> int:
        """Count the characters before the first lone half of a surrogate pair."""
        try:
            text.encode("utf-16-be")
        except UnicodeEncodeError as refused:
            return refused.start
        return len(text)

    def decode(self, octets: bytes) -> str:
        """Decode; lone halves of surrogate pairs and a last odd octet become U+FFFD."""
        return octets.decode("utf-16-be", "replace")

    def decode_part(self, octets: bytes) -> str:
        """Decode one part of several: a low half at the start and a high half at the end are kept."""
        try:
            return octets.decode("utf-16-be")
        except UnicodeDecodeError:
            text = octets[: len(octets) & ~1].decode("utf-16-be", "surrogatepass")
        odd = len(octets) % 2
        first = text[:1] if "\udc00" <= text[:1] <= "\udfff" else ""
        last = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" and not odd else ""
        middle = text[len(first) : len(text) - len(last)]
        return first + _LONE_SURROGATE.sub(REPLACEMENT, middle) + last + REPLACEMENT * odd


_septet_alphabet = lru_cache(maxsize=256)(SeptetAlphabet)


def septet_alphabet(locking: int = 0, single: int = 0) -> SeptetAlphabet:
    """The septet alphabet of two national language identifiers.

    An identifier without a table means the default table, as 23.040 §9.2.3.24.15 wants.
    """
    return _septet_alphabet(locking if locking in LOCKING_SHIFT else 0, single if single in SINGLE_SHIFT else 0)


GSM7 = septet_alphabet()
# SMSCs carry IA5 as septets over the air, so it counts like GSM: 160 characters.
ASCII = OctetAlphabet("ascii", "ascii", 0x01, unit_bits=7)
LATIN1 = OctetAlphabet("latin1", "latin-1", 0x03)
SHIFT_JIS = OctetAlphabet("shift-jis", "shift_jis", 0x05, most_units=2)
CYRILLIC = OctetAlphabet("cyrillic", "iso8859_5", 0x06)
HEBREW = OctetAlphabet("hebrew", "iso8859_8", 0x07)
UCS2 = Ucs2Alphabet()
EUC_JP = OctetAlphabet("euc-jp", "euc_jp", 0x0D, most_units=3)
# cp949 is EUC-KR with all syllables in two octets, as Korean handsets have it; Python's own euc_kr writes eight.
EUC_KR = OctetAlphabet("euc-kr", "cp949", 0x0E, most_units=2)

# All the tables of each language. The single shift table alone costs three octets less of header; that is worth a name
# where the default table has most of the letters, as for Turkish and Portuguese. Spanish has nothing else.
NATIONAL: tuple[SeptetAlphabet, ...] = (
    septet_alphabet(0, 1),
    septet_alphabet(0, 3),
    *(septet_alphabet(language, language) for language in LANGUAGES),
)
"""The alphabets of national language tables. Nobody gets them unasked: many phones do not read them."""

BY_NAME: dict[str, Alphabet] = {
    alphabet.name: alphabet
    for alphabet in (GSM7, ASCII, LATIN1, SHIFT_JIS, CYRILLIC, HEBREW, UCS2, EUC_JP, EUC_KR, *NATIONAL)
}


def _by_data_coding() -> dict[int, Alphabet | None]:
    """What each data_coding says: an alphabet, None for octets that are no text; absent when it is reserved.

    0x00-0x0F are SMPP's own (§5.2.19), the rest is 23.038 §4.
    """
    table: dict[int, Alphabet | None] = {0x02: None, 0x04: None, 0x09: None, 0x0A: None}
    table.update({alphabet.data_coding: alphabet for alphabet in BY_NAME.values() if alphabet.data_coding < 0x10})
    general: tuple[Alphabet | None, ...] = (GSM7, None, UCS2)  # bits 3-2: default alphabet, 8-bit data, UCS-2
    for data_coding in range(0x10, 0x80):
        if data_coding & 0x20:
            table[data_coding] = None  # compressed
        elif data_coding >> 2 & 3 < 3:
            table[data_coding] = general[data_coding >> 2 & 3]
    table.update(dict.fromkeys(range(0xC0, 0xE0), GSM7))  # message waiting, default alphabet
    table.update(dict.fromkeys(range(0xE0, 0xF0), UCS2))  # message waiting, UCS-2
    table.update({data_coding: None if data_coding & 0x04 else GSM7 for data_coding in range(0xF0, 0x100)})
    return table


_BY_DATA_CODING = _by_data_coding()


def alphabet_of(data_coding: int, default: Alphabet) -> Alphabet | None:
    """Tell which alphabet a data_coding names.

    Args:
        data_coding: 0…255.
        default: the link's alphabet for data_coding 0. Reserved values read as it too (23.038 §4).

    Returns: the alphabet, or None when the octets are no text (8-bit data, pictograms, compressed text).
    """
    return _BY_DATA_CODING.get(data_coding, default) if data_coding else default


def shifted(alphabet: Alphabet, elements: Sequence[tuple[int, bytes]]) -> Alphabet:
    """Tell the alphabet of a message whose user data header may name national language tables.

    Args:
        alphabet: what data_coding names.
        elements: ``(identifier, data)`` of the header, ``reassembly.Udh.elements``.

    Returns: the septet alphabet of those tables; ``alphabet`` itself when none is named or it is not of septets. Of
        several elements of a kind the last counts (23.040 §9.2.3.24); an unknown language is the default table.
    """
    if not isinstance(alphabet, SeptetAlphabet):
        return alphabet
    tables = {identifier: data[0] for identifier, data in elements if len(data) == 1}
    locking, single = tables.get(_LOCKING_SHIFT_ELEMENT, 0), tables.get(_SINGLE_SHIFT_ELEMENT, 0)
    return septet_alphabet(locking, single) if locking or single else alphabet


def data_coding_of(alphabet: Alphabet, default: Alphabet) -> int:
    """Tell the data_coding for a text in this alphabet on a link with that default.

    National tables are named by the user data header; where 0 means the default alphabet of GSM, 0 goes with them.
    """
    return 0 if alphabet is default or (alphabet.shift_elements and default is GSM7) else alphabet.data_coding


def looks_like_ucs2(octets: bytes) -> bool:
    """True when octets that came under data_coding 0 are almost surely UCS-2.

    Some clients send UCS-2 and leave data_coding 0. A byte order mark, or a zero before every other octet, would be
    an unlikely text in any alphabet ('@' before every character in GSM). A policy of a link; never applied unasked.
    """
    if len(octets) % 2 or len(octets) < 4:
        return False
    return octets.startswith(b"\xfe\xff") or (not any(octets[::2]) and all(octets[1::2]))


def fill_bits(header_octets: int) -> int:
    """Tell the bits between a user data header and the first septet: septets start on a septet's edge."""
    return -header_octets * 8 % 7


def pack(septets: bytes, fill: int = 0) -> bytes:
    """Pack septets, eight to seven octets, low bits first (23.038 §6.1.2.1).

    Seven bits left over at the end would read as '@', so they are filled with CR; and a CR that is meant, where the
    octets end with it, is doubled, because the reader takes one away (23.038 §6.1.2.3.1).

    Args:
        septets: one in each octet, 0…127.
        fill: 0…6 zero bits first, see ``fill_bits``.
    """
    spare = -(fill + 7 * len(septets)) % 8
    if spare == 7 or (spare == 0 and septets.endswith(b"\r")):
        septets += b"\r"
    bits = int("".join([format(septet, "07b") for septet in reversed(septets)]) or "0", 2) << fill
    return bits.to_bytes((fill + 7 * len(septets) + 7) // 8, "little")


_BLOCK_OCTETS = 140


def unpack(octets: bytes, fill: int = 0) -> bytes:
    """Unpack what ``pack`` packed; one CR that ends with the last octet is padding and goes.

    Returns: the septets, one in each octet.
    """
    count = max(0, (8 * len(octets) - fill) // 7)
    blocks = []
    for start in range(0, len(octets), _BLOCK_OCTETS):  # 160 septets at a time: a shift costs what its number is long
        block = octets[start : start + _BLOCK_OCTETS + 1]
        bits = int.from_bytes(block, "little") >> fill
        septets_here = min(count - start // 7 * 8, _BLOCK_OCTETS // 7 * 8)
        blocks.append(bytes([bits >> 7 * position & 0x7F for position in range(septets_here)]))
    septets = blocks[0] if len(blocks) == 1 else b"".join(blocks)
    if (fill + 7 * count) % 8 == 0 and septets.endswith(b"\r"):
        return septets[:-1]
    return septets
