"""Telephone numbers: reading what people write, E.164 within (H10), toll-free or not (H2).

Pure. Reading costs about 0.1 ms a number (phonenumbers): it belongs where numbers enter, never on the message path.

A number is held twice: as ``+`` and digits for people and messages, and as an integer of the same digits for look-ups.
E.164 numbers have no leading zero, so the two are one to one, and ranges of numbers are ranges of integers.
"""

from __future__ import annotations

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType, ValidationResult

from provisioning.errors import MalformedNumber

MAX_DIGITS = 15  # E.164 §6.2.1, country code included

_REASONS = {
    ValidationResult.TOO_SHORT: "is too short: give the country code and the whole number",
    ValidationResult.TOO_LONG: f"is too long: E.164 has at most {MAX_DIGITS} digits, and this country fewer",
    ValidationResult.INVALID_LENGTH: "has a length that its country does not use",
    ValidationResult.INVALID_COUNTRY_CODE: "begins with a country code that does not exist",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "lacks its area code",
}


def parse_number(text: str, default_region: str | None = None, field: str = "number") -> str:
    """Read a telephone number as people write it.

    Args:
        text: ``"+1 202-555-0143"``; without ``+`` only when ``default_region`` says the country.
        default_region: two letters, ``"US"``, or None.
        field: the name that an error shall carry.

    Returns: ``+`` and at most 15 digits.

    Raises: MalformedNumber.

    Source: E.164, H10.
    """
    try:
        number = phonenumbers.parse(text, default_region)
    except NumberParseException as error:
        if not text.strip().startswith("+") and default_region is None:
            why = "write it in E.164: '+', country code and number, for example +12025550143"
        else:
            why = f"is no telephone number ({str(error).rstrip('.').lower()}); write for example +12025550143"
        raise MalformedNumber(text, why, field) from None
    if number.extension:
        raise MalformedNumber(text, "has an extension, which a text cannot reach: leave it out", field)
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != ValidationResult.IS_POSSIBLE:
        raise MalformedNumber(text, _REASONS.get(possible, "is not possible in its country"), field)
    if not phonenumbers.is_valid_number(number):
        raise MalformedNumber(text, "is in no range that its country's numbering plan assigns: check each digit", field)
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def is_toll_free(e164: str) -> bool:
    """True for the likes of +1 800 and +44 800: numbers that stand for another (H2)."""
    number = phonenumbers.parse(e164)
    return bool(phonenumbers.number_type(number) == PhoneNumberType.TOLL_FREE)


def digits_of(e164: str) -> int:
    """The integer of an E.164 number, for look-ups."""
    return int(e164[1:])


def e164_of(digits: int) -> str:
    """The E.164 number of an integer."""
    return f"+{digits}"
