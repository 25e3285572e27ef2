"""What handsets know: texts that come in parts and are shown whole, and addresses. Pure.

A phone shows a text when its last part is there, whatever the order. It knows parts that belong together by sender,
reference and number of parts. A part that is there already counts as a repetition, and so does the last-but-never-first
part of a text that was just shown: a sender in doubt sends that one again. The first part of an equal text begins a new
one, since eight-bit references soon come again.

Texts without a concatenation header (H30's blocks) are texts of their own.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Final

import msgspec

from smpp.alphabet import Alphabet, alphabet_of
from smpp.constants import Npi, Ton
from smpp.pdu import DataSm, SubmitSm
from smpp.reassembly import assemble, user_data
from smpp.receipt import Receipt

WAIT_FOR_PARTS_US: Final = 600_000_000
"""How long a phone waits for the rest of a text; then what there is of it is put aside."""

KEPT_SHOWN: Final = 64
"""Texts shown that a phone can tell a repetition of: a sender has one in doubt at a time."""

KEPT_INCOMPLETE: Final = 1_000

Message = SubmitSm | DataSm


class PartArrival(msgspec.Struct, frozen=True, gc=False):
    """One short message as it reached a handset.

    Attributes:
        at_us: when.
        from_: who sent it.
        number, total: which part of how many; 1 of 1 for a text of its own.
        text: its characters; empty when it was no text.
        octets: of its payload, headers included.
        message_id: what it was answered with; empty when it was not.
    """

    at_us: int
    from_: str
    number: int
    total: int
    text: str
    octets: int
    message_id: str


class Reception(msgspec.Struct, frozen=True):
    """A text as a handset shows it.

    Attributes:
        at_us: when it was whole.
        from_, to: addresses.
        text: the characters; empty when it was no text.
        data: the octets when it was no text, else None.
        parts: how it came, in the order of numbers.
        data_coding: of its first part.
        wants_receipt: its sender asked for one.
    """

    at_us: int
    from_: str
    to: str
    text: str
    data: bytes | None
    parts: tuple[PartArrival, ...]
    data_coding: int
    wants_receipt: bool

    @property
    def gaps_us(self) -> list[int]:
        """The times between its parts, in the order in which they came."""
        times = sorted(part.at_us for part in self.parts)
        return [after - before for before, after in pairwise(times)]


class Acknowledgement(msgspec.Struct, frozen=True):
    """News from the ESME of a text that a handset sent.

    Attributes:
        at_us: when it came.
        from_, to: addresses; ``to`` is the handset.
        receipt: what it says.
        esm_class: of the PDU.
    """

    at_us: int
    from_: str
    to: str
    receipt: Receipt
    esm_class: int


class _Open(msgspec.Struct):
    began_us: int
    data_coding: int
    wants_receipt: bool
    parts: dict[int, PartArrival]


_Key = tuple[str, int, int]


class Phone:
    """One handset's side of concatenation.

    Args:
        number: its address.

    Attributes:
        repetitions: parts that came again.
        incomplete: texts whose rest never came, oldest first.
    """

    def __init__(self, number: str) -> None:
        self.number = number
        self.repetitions = 0
        self.incomplete: deque[tuple[PartArrival, ...]] = deque(maxlen=KEPT_INCOMPLETE)
        self._open: dict[_Key, _Open] = {}
        self._shown: dict[_Key, dict[int, str]] = {}

    @property
    def waiting(self) -> int:
        """Texts that are not whole yet."""
        return len(self._open)

    def take(
        self, message: Message, now_us: int, message_id: str, default: Alphabet
    ) -> tuple[PartArrival, Reception | None]:
        """Take a short message.

        Args:
            message: as it came.
            now_us: a clock that does not go back.
            message_id: what it is answered with.
            default: what data_coding 0 means.

        Returns: the part, and the text when it is whole now.
        Raises: BadHeader: its user data header is longer than it.
        """
        octets = b"" if isinstance(message, DataSm) else message.short_message
        data = user_data(octets, message.esm_class, message.tlvs)
        size = len(data.octets) + (data.udh.header_octets if data.udh is not None else 0)
        alphabet = alphabet_of(message.data_coding, default)
        from_ = address_of(message.source_addr_ton, message.source_addr)
        wanted = bool(message.registered_delivery & 0x03)
        found = data.concatenation
        if found is None or alphabet is None:
            text = "" if alphabet is None else alphabet.decode(data.octets)
            part = PartArrival(now_us, from_, 1, 1, text, size, message_id)
            raw = data.octets if alphabet is None else None
            return part, Reception(now_us, from_, self.number, text, raw, (part,), message.data_coding, wanted)
        text = alphabet.decode_part(data.octets)
        part = PartArrival(now_us, from_, found.number, found.total, text, size, message_id)
        return part, self._join((from_, found.reference, found.total), part, message.data_coding, wanted)

    def _join(self, key: _Key, part: PartArrival, data_coding: int, wanted: bool) -> Reception | None:
        now_us = part.at_us
        self._expire(now_us)
        waiting = self._open.get(key)
        if waiting is None:
            if part.number > 1 and self._shown.get(key, {}).get(part.number) == part.text:
                self.repetitions += 1
                return None
            waiting = self._open[key] = _Open(now_us, data_coding, wanted, {})
        elif part.number in waiting.parts:
            self.repetitions += 1
            return None
        waiting.parts[part.number] = part
        if len(waiting.parts) < part.total:
            return None
        del self._open[key]
        parts = tuple(waiting.parts[number] for number in sorted(waiting.parts))
        self._shown.pop(key, None)
        self._shown[key] = {each.number: each.text for each in parts}
        if len(self._shown) > KEPT_SHOWN:
            del self._shown[next(iter(self._shown))]
        text, _ = assemble([(each.number, each.text) for each in parts], part.total)
        return Reception(
            now_us, key[0], self.number, text, None, parts, waiting.data_coding, waiting.wants_receipt or wanted
        )

    def _expire(self, now_us: int) -> None:
        for key, waiting in list(self._open.items()):
            if now_us - waiting.began_us < WAIT_FOR_PARTS_US:
                break  # they stand in the order in which they began
            del self._open[key]
            self.incomplete.append(tuple(waiting.parts.values()))


class Handset:
    """One handset, as a test or a terminal sees it.

    Args:
        number: its address.
        kept: how much it remembers.

    Attributes:
        phone: joins parts.
        count: texts that became whole, since the start.
        arrivals: the short messages as they came, oldest first.
    """

    def __init__(self, number: str, kept: int) -> None:
        self.number = number
        self.phone = Phone(number)
        self.count = 0
        self.arrivals: deque[PartArrival] = deque(maxlen=kept)
        self._received: deque[Reception] = deque(maxlen=kept)

    @property
    def received(self) -> list[Reception]:
        """The texts that became whole, oldest first."""
        return list(self._received)

    def gaps_us(self, from_: str) -> list[int]:
        """The times between the short messages from one sender, whatever texts they belong to."""
        times = [arrival.at_us for arrival in self.arrivals if arrival.from_ == from_]
        return [after - before for before, after in pairwise(times)]

    def take(self, arrival: PartArrival, reception: Reception | None) -> None:
        """A short message came, and made a text whole or did not."""
        self.arrivals.append(arrival)
        if reception is not None:
            self.count += 1
            self._received.append(reception)


def address_of(ton: int, digits: str) -> str:
    """An SMPP address in words: ``+`` and digits when it is international, else as it stands."""
    return "+" + digits if ton == Ton.INTERNATIONAL and digits.isdigit() else digits


def address_to(address: str) -> tuple[int, int, str]:
    """TON, NPI and digits of an address: ``+16175550101``, a short code, or letters."""
    if address.startswith("+"):
        return int(Ton.INTERNATIONAL), int(Npi.ISDN), address[1:]
    if address.isdigit():
        return int(Ton.UNKNOWN), int(Npi.ISDN), address
    return int(Ton.ALPHANUMERIC), int(Npi.UNKNOWN), address
