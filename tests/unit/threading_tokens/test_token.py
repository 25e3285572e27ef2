"""Tokens are spelt in one way, and shown in part only."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threading_tokens.errors import ExpiredToken, ForeignToken, UnknownToken
from threading_tokens.token import is_token, new_token, redacted, same_token


@given(st.binary(min_size=16, max_size=16))
def test_a_token_is_base32_of_rfc_4648(random_octets: bytes) -> None:
    token = new_token(random_octets)
    assert token == base64.b32encode(random_octets).decode().rstrip("=").lower()
    assert base64.b32decode(token.upper() + "======") == random_octets
    assert is_token(token)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_token_is_made_of_sixteen_octets(size: int) -> None:
    with pytest.raises(ValueError, match="16 octets"):
        new_token(b"x" * size)


@pytest.mark.parametrize(
    "text",
    ["", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "b", "a" * 25 + "1", "a" * 13 + " " + "a" * 12, "a" * 26 + "\n"],
)
def test_what_is_no_token(text: str) -> None:
    assert not is_token(text)


def test_same_token() -> None:
    assert same_token("a" * 26, "a" * 26)
    assert not same_token("a" * 26, "a" * 25 + "e")
    assert not same_token("a" * 26, "ä")


@pytest.mark.parametrize("error", [UnknownToken, ExpiredToken, ForeignToken])
def test_no_error_shows_a_token(error: type[UnknownToken]) -> None:
    token = new_token(bytes(range(16)))
    assert redacted(token) == token[:6] + "…"
    shown = f"{error(token)} {error(token)!r} {vars(error(token))}"
    assert token[:6] in shown
    assert token[:7] not in shown
