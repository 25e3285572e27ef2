"""Transliteration: nothing is touched without need, and what is sent is carried."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from smpp.alphabet import BY_NAME, GSM7, LATIN1, UCS2, Alphabet
from smpp.segmentation import Method, segment
from smpp.transliteration import segment_to_fit

texts = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=st.characters(max_codepoint=0x24F, exclude_categories=["Cs"]), max_size=200),
    st.text(alphabet="abc “”’–…éłşğ\u0301\u00ad7😀я²", max_size=250),
)
allowances = st.sampled_from(
    [(GSM7, UCS2), (GSM7, LATIN1, UCS2), (GSM7, BY_NAME["gsm7-tr"], UCS2), (GSM7, BY_NAME["gsm7-hi"], UCS2)]
)


@given(texts, allowances, st.sampled_from(list(Method)))
def test_a_text_is_changed_only_where_that_spares_ucs2(
    text: str, allowed: tuple[Alphabet, ...], method: Method
) -> None:
    sent, segments = segment_to_fit(text, allowed=allowed, method=method)
    plain = segment(text, allowed=allowed, method=method)
    assert (sent, segments) == segment_to_fit(text, allowed=allowed, method=method)
    assert segments == segment(sent, allowed=allowed, method=method)
    assert len(segments) <= len(plain)
    if sent != text:
        assert any(part.data_coding == UCS2.data_coding for part in plain)
        assert all(part.data_coding != UCS2.data_coding for part in segments)


@given(texts)
def test_what_gsm_has_comes_through_in_its_order(text: str) -> None:
    sent, _ = segment_to_fit(text)
    if sent == text:
        return
    rest = iter(sent)
    for character in unicodedata.normalize("NFC", text):
        if GSM7.encodable(character):
            assert character in rest  # searches on from where the last was found
