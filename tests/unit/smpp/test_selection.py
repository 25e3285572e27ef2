"""Which alphabet a text is cut in: the fewest parts, the plainest among equals."""

from __future__ import annotations

import pytest

from smpp.alphabet import (
    ASCII,
    BY_NAME,
    CYRILLIC,
    GSM7,
    LATIN1,
    UCS2,
    Alphabet,
    UnencodableText,
    septet_alphabet,
)
from smpp.segmentation import Method, choose, segment
from smpp.selection import repertoire

TURKISH, SPANISH, PORTUGUESE, HINDI = (BY_NAME[f"gsm7-{language}"] for language in ("tr", "es", "pt", "hi"))
ALL = tuple(alphabet for alphabet in BY_NAME.values() if alphabet.shift_elements)


@pytest.mark.parametrize(
    ("text", "allowed", "default", "chosen"),
    [
        ("hello @ €", (UCS2, LATIN1, GSM7), GSM7, GSM7),
        ("çà", (UCS2, LATIN1, GSM7), GSM7, LATIN1),
        ("я", (UCS2, LATIN1, GSM7), GSM7, UCS2),
        ("я", (UCS2, GSM7, CYRILLIC), GSM7, CYRILLIC),
        ("あ¥", (BY_NAME["shift-jis"], UCS2), GSM7, UCS2),
        ("{{{{", (GSM7, UCS2, ASCII), GSM7, GSM7),  # one part each
        ("{" * 100, (GSM7, UCS2, ASCII), GSM7, ASCII),  # one part, two in GSM
        ("{" * 100, (ASCII, GSM7), GSM7, ASCII),
        ("{" * 400, (GSM7, LATIN1, ASCII), GSM7, ASCII),  # 3 parts; GSM 6, Latin-1 3
        ("plain", (GSM7, ASCII), ASCII, ASCII),
        ("plain", (GSM7, ASCII), GSM7, GSM7),
        ("plain", (ASCII, GSM7), LATIN1, ASCII),
        ("plain", (UCS2,), GSM7, UCS2),
        ("plain", (LATIN1, UCS2), UCS2, LATIN1),
        ("", (UCS2, GSM7), UCS2, UCS2),
        ("", (UCS2, GSM7), LATIN1, GSM7),
    ],
)
def test_without_tables(text: str, allowed: tuple[Alphabet, ...], default: Alphabet, chosen: Alphabet) -> None:
    assert choose(text, allowed, default) is chosen


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("hello", (0, 0)),
        ("ş", (0, 1)),  # the single shift table alone: one header element
        ("ş" * 77, (0, 1)),  # 154 septets with the escapes; 155 fit beside a header of one table
        ("ş" * 78, (1, 0)),
        ("ş" * 140, (1, 0)),  # the locking table alone
        ("ş€" * 70, (1, 0)),  # the euro sign is a basic character of Turkish
        ("ş" * 120 + "{", (1, 0)),  # the default single shift table behind it
        ("ş" * 120 + "ç", (1, 0)),
        ("ş" * 152, (1, 0)),
    ],
)
def test_turkish(text: str, tables: tuple[int, int]) -> None:
    assert choose(text, (GSM7, TURKISH, UCS2)) is septet_alphabet(*tables)


def test_the_fewest_parts_decide_and_plainness_among_equals() -> None:
    # 70 characters of UCS-2 are one part as well: what comes first among equals is national.
    assert choose("ş" * 70, (GSM7, TURKISH, UCS2)) is septet_alphabet(0, 1)
    assert choose("ş" * 70, (GSM7, UCS2)) is UCS2
    # Octets come after national tables: they are UCS-2 on the air.
    assert choose("canción", (GSM7, LATIN1, SPANISH, UCS2)) is SPANISH
    assert choose("canción", (GSM7, LATIN1, UCS2)) is LATIN1
    # A text that no table has whole.
    assert choose("ş😀", (GSM7, TURKISH, UCS2)) is UCS2


def test_a_locking_table_of_one_language_with_the_single_shift_of_another() -> None:
    text = "ãõ" * 60 + "ş"  # Portuguese has these in its locking table, Turkish the last in its single shift table
    chosen = choose(text, (GSM7, PORTUGUESE, TURKISH, UCS2))
    assert chosen is septet_alphabet(3, 1)
    (only,) = segment(text, allowed=(GSM7, PORTUGUESE, TURKISH, UCS2))
    assert only.short_message[:7] == bytes.fromhex("06 240101 250103")
    assert chosen.decode(only.short_message[7:]) == text


def test_the_plainer_of_two_pairs_that_do_is_taken_whatever_is_named_first() -> None:
    # One table of Turkish, or the locking table of Portuguese and an escape into the Turkish one.
    for languages in ((PORTUGUESE, TURKISH), (TURKISH, PORTUGUESE)):
        assert choose("ç" * 140 + "ğ", (GSM7, *languages, UCS2)) is septet_alphabet(1, 0)


def test_of_single_shift_tables_that_do_the_languages_own_is_taken() -> None:
    bengali = BY_NAME["gsm7-bn"]  # has the capitals that Hindi has
    assert choose("क" * 60 + "A", (GSM7, bengali, HINDI, UCS2)) is HINDI


def test_parts_are_counted_as_they_are_cut() -> None:
    # 306 septets are two parts if each can be filled; pairs behind the escape leave the 153rd septet empty.
    assert choose("{" * 153, (GSM7, UCS2)) is GSM7
    assert len(segment("{" * 153)) == 3
    assert choose("{" * 153, (GSM7, LATIN1)) is LATIN1
    assert len(segment("{" * 153, allowed=(GSM7, LATIN1))) == 2


def test_a_name_for_the_single_shift_table_allows_no_more() -> None:
    single = BY_NAME["gsm7-tr-single"]
    assert choose("ş" * 140, (GSM7, single, UCS2)) is single
    assert choose("ş" * 140, (GSM7, TURKISH, UCS2)) is septet_alphabet(1, 0)
    assert choose("ş" * 140, (GSM7, single, UCS2)).shift_elements == bytes.fromhex("240101")


def test_without_the_default_alphabet_even_plain_texts_have_a_header() -> None:
    assert choose("plain", (HINDI,)).shift_elements
    with pytest.raises(UnencodableText) as refusal:
        choose("я", (GSM7, LATIN1))
    assert refusal.value.alphabets == ("gsm7", "latin1")


@pytest.mark.parametrize("language", ["bn", "gu", "hi", "kn", "ml", "or", "pa", "ta", "te", "ur"])
def test_scripts_of_india_and_urdu_take_their_own_tables(language: str) -> None:
    national = BY_NAME[f"gsm7-{language}"]
    letters = national.decode(bytes(range(0x01, 0x0A)) + bytes(range(0x0E, 0x1A))).replace("\ufffd", "")
    text = (letters * 10)[:140]
    chosen = choose(text, (GSM7, UCS2, *ALL))
    assert chosen.shift_elements
    assert chosen.decode(chosen.encode(text)) == text
    assert len(segment(text, allowed=(GSM7, UCS2, *ALL))) == 1
    assert len(segment(text)) == 3


def test_what_may_be_given_is_every_pair_of_the_languages_named() -> None:
    names = [alphabet.name for alphabet in repertoire((GSM7, TURKISH, SPANISH, UCS2)).every]
    assert names == [
        "gsm7",
        "gsm7-tr-single",
        "gsm7-es",
        "gsm7-tr-locking",
        "gsm7-tr",
        "gsm7-tr-locking-es-single",
        "ucs2",
    ]
    assert len(repertoire((GSM7, *ALL)).every) == 13 * 14  # each locking table there is with each single shift table


def test_blocks_take_tables_where_these_carry_farther() -> None:
    text = "ş" * 100 + "😀" * 30
    blocks = segment(text, method=Method.BLOCKS, allowed=(GSM7, TURKISH, UCS2))
    assert [(block.characters, block.data_coding, block.esm_class) for block in blocks] == [
        (100, 0, 0x40),
        (30, 8, 0),
    ]
    assert blocks[0].short_message[:4] == bytes.fromhex("03 250101")


def test_tables_are_named_by_the_header_and_data_coding_says_gsm() -> None:
    (part,) = segment("ş", allowed=(GSM7, TURKISH))
    assert (part.data_coding, part.short_message) == (0, bytes.fromhex("03 240101 1b73"))
    (part,) = segment("ş", default=LATIN1, allowed=(GSM7, TURKISH))
    assert part.data_coding == 0xF1


def test_a_text_for_blocks_has_no_alphabet_of_the_whole() -> None:
    with pytest.raises(ValueError, match="block"):
        choose("a", (GSM7,), method=Method.BLOCKS)
