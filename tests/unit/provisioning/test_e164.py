"""Telephone numbers: H2, H10."""

import pytest

from provisioning import MalformedNumber, is_toll_free, parse_number
from provisioning.e164 import digits_of, e164_of


@pytest.mark.parametrize(
    ("text", "region", "e164"),
    [
        ("+12025550143", None, "+12025550143"),
        ("+1 (202) 555-0143", None, "+12025550143"),
        ("202-555-0143", "US", "+12025550143"),
        ("+44 20 7946 0018", None, "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("+1 800 253 0000", None, "+18002530000"),
    ],
)
def test_what_people_write_becomes_e164(text, region, e164):
    assert parse_number(text, region) == e164


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("2025550143", "country code"),
        ("", "E.164"),
        ("+", "no telephone number"),
        ("+1 202 555", "short"),
        ("+1 202 555 0143 99", "long"),
        ("+1234567890123456", ""),
        ("+1 555 123 4567", "range"),
        ("+1 822 253 0000", "range"),
        ("+999 123 456", ""),
        ("+1 202 555 0143 ext. 7", "extension"),
        ("helpline", "E.164"),
    ],
)
def test_what_is_no_number_is_refused_with_the_value_and_a_hint(text, hint):
    with pytest.raises(MalformedNumber) as caught:
        parse_number(text, None, "alias_of")
    assert caught.value.value == text
    assert caught.value.field == "alias_of"
    assert repr(text) in str(caught.value)
    assert hint in caught.value.why


def test_a_region_does_not_make_nonsense_a_number():
    with pytest.raises(MalformedNumber):
        parse_number("12", "US")


@pytest.mark.parametrize("e164", ["+18002530000", "+18882530000", "+18772530000", "+18332530000", "+448001111"])
def test_toll_free(e164):
    assert is_toll_free(e164)


@pytest.mark.parametrize("e164", ["+12025550143", "+16175550001", "+442079460018"])
def test_not_toll_free(e164):
    assert not is_toll_free(e164)


def test_digits_and_back():
    assert e164_of(digits_of("+12025550143")) == "+12025550143"
