"""Whatever a record says, reading it ends, soon, in words; and what we write is read as it was."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from provisioning.enum_records import (
    MAX_URI_CHARACTERS,
    Naptr,
    Unbelievable,
    name_of,
    read_records,
    records_of,
    split_zone,
    substitute,
)

numbers = st.from_regex(r"\+[1-9][0-9]{5,14}", fullmatch=True)
pieces = st.sampled_from(
    ["^", "$", "(", ")", ".*", r"\+", r"\+?", "1", "61", "!", "\\", r"\1", r"\2", "tel:", ";spn=6006"]
)
regexps = st.one_of(
    st.text(max_size=260),
    st.lists(pieces, max_size=30).map("".join),
    st.lists(pieces).map(lambda p: f"!^{''.join(p)}$!x:!"),
)


@given(number=numbers, regexp=regexps, flags=st.sampled_from(["u", "U", "", "s"]), service=st.text(max_size=40))
def test_any_record_is_read_in_words(number: str, regexp: str, flags: str, service: str) -> None:
    for each in (service, "E2U+pstn:tel"):
        reading = read_records(number, [Naptr(0, 0, flags, each, regexp)])
        assert all(
            len(uri) <= MAX_URI_CHARACTERS and uri.isascii() and uri.isprintable() for _, uri in reading.services
        )
        assert all(why.isascii() and why.isprintable() and len(why) < 300 for why in reading.disbelieved)


# An oracle for the expressions that are read: the standard library's engine, on patterns that hypothesis made of the
# same pieces; only here, where they are short.
expressions = st.lists(st.sampled_from(["(", ")", ".*", r"\+", r"\+?", "1", "6", "61", "0"]), max_size=8).map("".join)


@given(number=st.from_regex(r"\+[016]{1,6}", fullmatch=True), expression=expressions)
def test_a_match_is_what_a_real_engine_finds(number: str, expression: str) -> None:
    groups = expression.count("(")
    replacement = "".join(f"<\\{place}>" for place in range(1, groups + 1)) or "x"
    try:
        found = substitute(f"!^{expression}$!{replacement}!", number)
    except Unbelievable as problem:
        if "other numbers" in str(problem):
            assert re.fullmatch(expression, number) is None
        return
    real = re.fullmatch(expression, number)
    assert real is not None
    assert found == ("".join(f"<{words}>" for words in real.groups()) or "x")


@given(number=numbers, depth=st.integers(0, 20))
def test_a_number_has_one_name_whatever_the_zone(number: str, depth: int) -> None:
    labels = [*reversed(number[1 : 1 + depth]), "e164", "arpa"]
    name = name_of(number, ".".join(labels))
    if depth >= len(number) - 1:
        assert name is None
        return
    assert name == name_of(number, "e164.arpa")
    assert split_zone(name) == ("e164.arpa", number[1:])


@given(
    number=numbers,
    element=st.sampled_from(["", "SPID:6006", "eSPID:ABC123", "sip:a.b@example.net"]),
    words=st.text(max_size=8),
)
def test_what_is_written_is_read(number: str, element: str, words: str) -> None:
    reading = read_records(number, records_of(number, "gw.example.net", element=element, network_id=words))
    assert reading.element == element
    assert reading.disbelieved == ()
