"""What a key looks like, and whose one is."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.api.keys import KeyRing, bearer_of, digest_of, is_key, make_key
from provisioning import ApiKey, built

KEY = make_key(bytes(range(32)))


def key_of(**settings: object) -> ApiKey:
    return built(ApiKey, **{"name": "a", "call_centre": "acme", "digest": digest_of(KEY), **settings})


@given(st.binary(min_size=32, max_size=32))
def test_a_key_is_one_and_two_are_two(octets: bytes) -> None:
    key = make_key(octets)
    assert is_key(key)
    assert len(key) == 65
    assert bearer_of(f"Bearer {key}") == key
    assert make_key(bytes([octets[0] ^ 1]) + octets[1:]) != key


def test_a_key_that_was_mistyped_is_none() -> None:
    chosen = random.Random(1)
    for at in range(len("smshub_"), len(KEY)):
        other = chosen.choice([c for c in string.ascii_lowercase + "234567" if c != KEY[at]])
        assert not is_key(KEY[:at] + other + KEY[at + 1 :]), at
        assert (
            at + 1 == len(KEY) or KEY[at] == KEY[at + 1] or not is_key(KEY[:at] + KEY[at + 1] + KEY[at] + KEY[at + 2 :])
        )


@given(st.text())
def test_other_words_are_no_key(words: str) -> None:
    assert not is_key(words)
    assert KeyRing([key_of()]).find(words, "2026-11-22") is None


def test_too_few_octets_make_none() -> None:
    with pytest.raises(ValueError, match="32"):
        make_key(b"short")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  ", "Basic x", "Bearer a b", "Bearer é", f"X Bearer {KEY}"])
def test_headers_without_a_key(header: str) -> None:
    assert bearer_of(header) is None


def test_the_scheme_is_written_as_one_likes() -> None:
    assert bearer_of(f"bEARER   {KEY} ") == KEY


@pytest.mark.parametrize(
    ("settings", "opens"),
    [
        ({}, True),
        ({"valid_until": "2026-11-22"}, True),
        ({"valid_until": "2026-11-21"}, False),
        ({"state": "suspended"}, False),
        ({"digest": digest_of(make_key(bytes(32)))}, False),
    ],
)
def test_what_a_key_opens(settings: dict[str, str], opens: bool) -> None:
    found = KeyRing([key_of(**settings)]).find(KEY, "2026-11-22")
    assert (found is not None) == opens
