"""Transliteration: what may be written differently, and what leaves a text as it is."""

from __future__ import annotations

import unicodedata

import pytest

from smpp.alphabet import ASCII, BY_NAME, GSM7, LATIN1, UCS2, UnencodableText
from smpp.segmentation import Method, TooManyParts, segment
from smpp.transliteration import segment_to_fit, spelling, transliterate

TURKISH = BY_NAME["gsm7-tr"]
BOTH = (GSM7, UCS2)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("“Hello” – it’s ready…", '"Hello" - it\'s ready...'),
        ("„Grüße“ — ‚ja‘", "\"Grüße\" - 'ja'"),  # ü and ß are of GSM and stay
        ("« à bientôt »", "<< à bientot >>"),
        ("Zażółć gęślą jaźń", "Zazolc gesla jazn"),
        ("Tiếng Việt", "Tieng Viet"),
        ("şığ İstanbul", "sig Istanbul"),
        ("ﬁne\u00ad", "fine"),
        ("non\u00a0breaking\u2009thin", "non breaking thin"),
        ("𝐇𝐞𝐥𝐥𝐨 Ｗｏｒｌｄ １２", "Hello World 12"),
        ("№ 5, 3 × 4 − 1, ACME™", "No 5, 3 x 4 - 1, ACMETM"),
        ("`x`\ttab", "'x' tab"),
        ("e\u0301te\u0301", "été"),  # composed, which GSM has
        ("x\u0302", "x"),  # no letter of Unicode is that
        ("2ª, 5º", "2a, 5o"),
        ("Hawaiʻi", "Hawai'i"),
        ("• one\u2028• two", "* one\n* two"),
        ("\u200e+1 617\ufeff", "+1 617"),
    ],
)
def test_typography_and_latin_letters_are_written_in_what_gsm_has(text: str, sent: str) -> None:
    assert transliterate(text, BOTH) == sent
    written, segments = segment_to_fit(text)
    assert (written, segments) == (sent, segment(sent))
    assert GSM7.encodable(written)


@pytest.mark.parametrize(
    "text",
    [
        "“Привет”",  # letters of another script
        "“γειά”",
        "“你好”",
        "“こんにちは”",
        "“हिन्दी”",
        "“שלום”",
        "“مرحبا”",
        "it’s 😀",
        "it’s ☎️",
        "👩‍👩‍👧’",
        "1️⃣ “first”",
        "🇩🇪’",
        "“10²”",  # 102 is another number
        "“1½”",
        "“5‰”",
        "“20°”",
        "“₹500”",
        "“a ≤ b”",
        "“\u0660\u0661”",  # digits of another script
        "“\x01”",
    ],
)
def test_what_would_become_nonsense_leaves_the_whole_text_alone(text: str) -> None:
    assert transliterate(text, BOTH) is None
    assert segment_to_fit(text) == (text, segment(text))
    assert segment(text)[0].data_coding == 8


def test_what_an_alphabet_has_is_never_touched() -> None:
    for text in ("hello", "", "{€}", "Ça va à Århus, Ñandù?"):
        assert segment_to_fit(text) == (text, segment(text))
    assert segment_to_fit("“ğ”", allowed=(GSM7, TURKISH, UCS2))[0] == '"ğ"'
    assert segment_to_fit("“ğ”")[0] == '"g"'
    assert segment_to_fit("“é”", default=ASCII, allowed=(ASCII, UCS2))[0] == '"e"'
    assert segment_to_fit("“é”", default=LATIN1, allowed=(LATIN1, UCS2))[0] == '"é"'


def test_of_several_alphabets_the_one_that_changes_the_least_is_written_in() -> None:
    portuguese = BY_NAME["gsm7-pt"]
    assert transliterate("“ãõ ğ”", (GSM7, TURKISH, portuguese, UCS2)) == '"ãõ ğ"'  # both tables, one of each
    assert transliterate("“ãõ ğ”", (GSM7, TURKISH, UCS2)) == '"ao ğ"'
    assert transliterate("“ãõ ğ”", (GSM7, portuguese, UCS2)) == '"ãõ g"'


def test_a_text_in_an_octet_alphabet_needs_none() -> None:
    assert segment_to_fit("ç", allowed=(GSM7, LATIN1, UCS2)) == ("ç", segment("ç", allowed=(GSM7, LATIN1, UCS2)))


def test_joiners_stay_in_scripts_that_they_shape() -> None:
    hindi = (GSM7, BY_NAME["gsm7-hi"], UCS2)
    assert transliterate("क्\u200dष", hindi) is None
    assert transliterate("“क”", hindi) == '"क"'


def test_only_what_costs_no_more_messages() -> None:
    dots = "…" * 70  # one message of UCS-2, 210 septets
    assert segment_to_fit(dots) == (dots, segment(dots))
    assert len(segment_to_fit("…" * 71)[1]) == 2
    assert segment_to_fit("…" * 71)[0] == "..." * 71


def test_where_ucs2_is_not_allowed_it_makes_a_text_possible() -> None:
    assert segment_to_fit("“a”", allowed=(GSM7,))[0] == '"a"'
    with pytest.raises(UnencodableText):
        segment_to_fit("“я”", allowed=(GSM7,))


def test_where_ucs2_takes_too_many_parts_too() -> None:
    text = "’" + "a" * 300
    assert len(segment_to_fit(text, max_parts=2)[1]) == 2
    with pytest.raises(TooManyParts):
        segment(text, max_parts=2)
    with pytest.raises(TooManyParts):
        segment_to_fit("’" + "a" * 400, max_parts=2)
    with pytest.raises(TooManyParts):
        segment_to_fit("😀" * 400, max_parts=2)


def test_blocks_are_written_as_a_whole() -> None:
    written, blocks = segment_to_fit("a" * 200 + "’", method=Method.BLOCKS)
    assert written.endswith("'")
    assert [block.data_coding for block in blocks] == [0, 0]


@pytest.mark.parametrize(
    ("character", "written"), [("‘", "'"), ("ł", "l"), ("я", None), ("😀", None), ("²", None), ("ⁿ", None), ("Ƨ", None)]
)
def test_spelling(character: str, written: str | None) -> None:
    assert spelling(character) == written


def test_of_all_characters_letters_are_spelt_with_letters_and_no_number_is_touched() -> None:
    """All of Unicode: what the library spells differently in its next version is noticed here."""
    for character in map(chr, range(0x110000)):
        category = unicodedata.category(character)
        spelt = spelling(character) if category[0] in "LNPSZ" else None
        if spelt is None or character in "™©®№\u02bb\u02bc\u02be\u02bf":
            continue
        assert spelt.isascii()
        if category[0] == "L":
            assert spelt.isalpha(), character
        elif category[0] == "N":
            assert unicodedata.digit(spelt) == unicodedata.digit(character), character
        else:
            assert not any(map(str.isalnum, spelt)) or character == "×", character
