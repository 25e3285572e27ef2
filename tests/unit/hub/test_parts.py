"""The whole of a text in parts, where a sender has cut it in the middle of a character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import Arrival
from hub.parts import whole_of
from smpp.alphabet import GSM7, SeptetAlphabet, septet_alphabet
from smpp.constants import EsmClass
from smpp.pdu import SubmitSm
from translators.smpp_messages import Dialect, read_message

TURKISH = septet_alphabet(1, 1)


def parts_of(pieces: list[bytes], alphabet: SeptetAlphabet = GSM7) -> dict[int, list[tuple[int, Arrival]]]:
    """Septets as they come in the parts of one text."""
    group = {}
    for number, septets in enumerate(pieces, 1):
        elements = bytes((0, 3, 7, len(pieces), number)) + alphabet.shift_elements
        pdu = SubmitSm(
            source_addr="1",
            destination_addr="2",
            esm_class=int(EsmClass.UDHI),
            short_message=bytes((len(elements),)) + elements + septets,
        )
        group[number] = [(number, read_message(pdu, Dialect(), 0))]
    return group


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([b"5 \x1b", b"e!"], "5 €!"),
        ([b"a\x1b", b"(b\x1b", b")"], "a{b}"),  # open at both ends
        ([b"a\x1b", b"b"], "ab"),  # an escape before what has no extension shows that
        ([b"a\x1b", b""], "a "),
        ([b"a", b"e"], "ae"),
        ([b"a\x1b\x1b", b"e"], "a e"),  # the escape of another table, and whole
    ],
)
def test_an_escape_pair_cut_between_parts_is_whole_again(pieces: list[bytes], text: str) -> None:
    whole = whole_of(parts_of(pieces), len(pieces))
    assert (whole.text, dict(whole.attributes)) == (text, {})


def test_half_an_escape_pair_alone_is_what_it_was() -> None:
    group = parts_of([b"5 \x1b", b"e!", b"\x1b", b"e"])
    del group[2], group[3]
    assert whole_of(group, 4).text == "5  […][…]e"


@given(
    septets=st.lists(st.sampled_from([*b"ae(\x1b\x1b\x0a<i"]), min_size=2, max_size=12).map(bytes),
    cut=st.integers(1, 11),
    alphabet=st.sampled_from([GSM7, TURKISH]),
)
def test_wherever_a_text_is_cut_the_whole_is_the_same(septets: bytes, cut: int, alphabet: SeptetAlphabet) -> None:
    cut = min(cut, len(septets) - 1)
    if alphabet.ends_in_escape(septets[:cut]) and septets[cut] == 0x1B:
        return  # two escapes, cut apart: the second could begin a pair of its own
    whole = whole_of(parts_of([septets[:cut], septets[cut:]], alphabet), 2)
    assert whole.text == alphabet.decode(septets)
