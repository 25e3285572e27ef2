"""Addresses of SMPP and of the hub, and which type of number and numbering plan is written with which. Pure.

The hub writes E.164 with a ``+``, short codes as digits, names as letters. SMPP has three fields for the same: TON, NPI
and the digits. What the usual values are, an address tells by itself (``address_to``); what a peer wants otherwise, its
settings do: first the rules by number (``TonNpiRule``), then what they say for all sources or all destinations.

Sources: SMPP 3.4 §5.2.5, §5.2.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from smpp.constants import Npi, Ton

LONGEST_NATIONAL: Final = 10
"""Digits; more of them, the first no zero, are an international number even where TON says nothing."""

_INTERNATIONAL: Final = int(Ton.INTERNATIONAL)
_NATIONAL: Final = int(Ton.NATIONAL)
_ALPHANUMERIC: Final = int(Ton.ALPHANUMERIC)
_ISDN: Final = int(Npi.ISDN)
_RULE: Final = re.compile(r"(source|destination) +(\S+) +([0-6])/([0-9]{1,2})")


class TonNpiRule(msgspec.Struct, frozen=True, gc=False):
    """What is written with some addresses.

    Attributes:
        of_source: True when it is for sources, False when it is for destinations.
        beginning: the address as the hub writes it, or how it begins.
        whole: True when ``beginning`` is the whole address.
        ton, npi: what is written.
    """

    of_source: bool
    beginning: str
    whole: bool
    ton: int
    npi: int

    def fits(self, address: str) -> bool:
        """True when the rule is for this address."""
        return address == self.beginning if self.whole else address.startswith(self.beginning)


def read_ton_npi_rule(text: str) -> TonNpiRule:
    """Read a rule: ``"source 77377 3/0"``, ``"destination +1* 1/1"``; ``*`` ends a beginning.

    Raises: ValueError: it is none.
    """
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not 'source' or 'destination', an address or its beginning with '*', TON/NPI")
    side, pattern, ton, npi = found.groups()
    return TonNpiRule(side == "source", pattern.removesuffix("*"), not pattern.endswith("*"), int(ton), int(npi))


def address_of(ton: int, digits: str, country_code: str = "") -> str:
    """An SMPP address as the hub writes it (E.164 with ``+``, a short code's digits, or letters).

    Peers often send international numbers with TON unknown; digits alone, more than a national number has, that begin
    with no zero are taken as such.
    """
    if not digits or ton == _ALPHANUMERIC:
        return digits
    if digits[0] == "+":
        return digits
    if not digits.isdigit():
        return digits
    if ton == _INTERNATIONAL:
        return "+" + digits
    if ton == _NATIONAL and country_code:
        return "+" + country_code + digits
    if len(digits) > LONGEST_NATIONAL and digits[0] != "0" and ton == 0:
        return "+" + digits
    return digits


def address_to(address: str) -> tuple[int, int, str]:
    """TON, NPI and digits of one of the hub's addresses.

    Source: SMPP 3.4 §5.2.5, §5.2.6; GSMA's usual values: short codes are TON 3 or 0 (0 here), letters TON 5 NPI 0.
    """
    if address[:1] == "+":
        return _INTERNATIONAL, _ISDN, address[1:]
    if address.isdigit():
        return 0, _ISDN, address
    return _ALPHANUMERIC, 0, address


def address_by_rules(
    address: str, plus: bool, ton: int, npi: int, rules: Iterable[TonNpiRule] = (), of_source: bool = True
) -> tuple[int, int, str]:
    """TON, NPI and digits of one of the hub's addresses, as a peer wants them.

    Args:
        address: the hub's.
        plus: whether E.164 addresses keep their ``+``.
        ton, npi: what is written where no rule fits, -1 to let the address decide.
        rules: the first that fits decides TON and NPI.
        of_source: which rules are meant.
    """
    own_ton, own_npi, digits = address_to(address)
    if plus:
        digits = address
    for rule in rules:
        if rule.of_source is of_source and rule.fits(address):
            return rule.ton, rule.npi, digits
    return own_ton if ton < 0 else ton, own_npi if npi < 0 else npi, digits
