"""``smshub text count``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ops.cli_text import MOST_SHOWN, text_group
from smpp.alphabet import BY_NAME
from smpp.segmentation import Method


def count(*words: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(text_group, ["count", *words], input=stdin)


def counted(*words: str, stdin: bytes | None = None) -> Any:
    result = count("--json", *words, stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("text", "method", "alphabets", "units", "parts"),
    [
        ("a" * 160, "udh8", ["gsm7"], 160, [(160, 160, 0)]),
        ("a" * 161, "udh8", ["gsm7"], 161, [(153, 153, 6), (8, 8, 6)]),
        ("a" * 161, "udh16", ["gsm7"], 161, [(152, 152, 7), (9, 9, 7)]),
        ("a" * 161, "sar", ["gsm7"], 161, [(153, 153, 0), (8, 8, 0)]),
        ("a" * 161, "payload", ["gsm7"], 161, [(161, 161, 0)]),
        ("€" * 10, "udh8", ["gsm7"], 20, [(10, 20, 0)]),
        ("ш" * 71, "udh8", ["ucs2"], 71, [(67, 67, 6), (4, 4, 6)]),
        ("😀", "udh8", ["ucs2"], 2, [(1, 2, 0)]),
        ("", "udh8", ["gsm7"], 0, [(0, 0, 0)]),
    ],
)
def test_what_texts_cost(
    text: str, method: str, alphabets: list[str], units: int, parts: list[tuple[int, int, int]]
) -> None:
    told = counted("--method", method, text)
    assert (told["alphabets"], told["characters"], told["units"]) == (alphabets, len(text), units)
    assert [(part["characters"], part["units"], part["header_octets"]) for part in told["parts"]] == parts


def test_the_characters_that_made_it_ucs2_are_named() -> None:
    result = count("Merhaba ışıκ")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "alphabet: ucs2",
        "characters: 12",
        "units: 12 16-bit units",
        "parts: 1",
        "  1: 12 characters, 12 of 70 16-bit units",
        "not in gsm7:",
        "  ı U+0131 LATIN SMALL LETTER DOTLESS I (2 times)",
        "  ş U+015F LATIN SMALL LETTER S WITH CEDILLA",
        "  κ U+03BA GREEK SMALL LETTER KAPPA",
    ]


def test_many_characters_are_summed_up() -> None:
    letters = "".join(map(chr, range(0x430, 0x430 + MOST_SHOWN + 2)))
    assert count(letters).stdout.splitlines()[-1] == "  and 2 more"
    assert len(counted(letters)["not_carried"]["gsm7"]) == MOST_SHOWN + 2


def test_national_tables_are_counted_with_their_header() -> None:
    told = counted("--alphabets", "gsm7,ucs2,gsm7-tr", "ığş" * 30)
    assert told["parts"] == [
        {
            "alphabet": "gsm7-tr-locking",
            "characters": 90,
            "units": 90,
            "units_at_most": 155,
            "header_octets": 4,
            "octets": 94,
        }
    ]


def test_blocks_may_be_of_several_alphabets() -> None:
    told = counted("--method", "blocks", "a" * 160 + "ш")
    assert [part["alphabet"] for part in told["parts"]] == told["alphabets"] == ["gsm7", "ucs2"]
    assert "  2: 1 characters, 1 of 70 16-bit units, ucs2" in count("--method", "blocks", "a" * 160 + "ш").stdout


@pytest.mark.parametrize(
    ("text", "octets"), [("a" * 160, [140]), ("a" * 161, [140, 14]), ("ш" * 3, [6]), ("hellohello", [9])]
)
def test_packed_septets_take_fewer_octets_and_count_the_same(text: str, octets: list[int]) -> None:
    told = counted("--packed", text)
    assert [part["octets"] for part in told["parts"]] == octets
    assert [part["units"] for part in told["parts"]] == [part["units"] for part in counted(text)["parts"]]


def test_the_messages_that_an_smsc_cuts_a_payload_into_are_told() -> None:
    told = counted("--method", "payload", "a" * 400)
    assert (told["messages"], len(told["parts"])) == (3, 1)
    assert "messages: 3, into which the SMSC cuts it" in count("--method", "payload", "a" * 400).stdout
    assert counted("--method", "payload", "a")["messages"] == 1
    assert "messages" not in count("a" * 400).stdout


def test_what_is_transliterated_is_shown() -> None:
    text = "it’s “ok”…" + "a" * 100
    assert counted(text)["sent"] is None
    told = counted("--transliterate", text)
    assert told["sent"] == 'it\'s "ok"...' + "a" * 100
    assert (told["alphabets"], told["characters"], len(told["parts"])) == (["gsm7"], 112, 1)
    assert len(counted(text)["parts"]) == 2
    lines = count("--transliterate", "it’s\u00ad").stdout.splitlines()
    assert lines[-3:] == [
        "sent as: it's",
        '  ’ U+2019 RIGHT SINGLE QUOTATION MARK becomes "\'"',
        "  U+00AD SOFT HYPHEN becomes nothing",
    ]
    assert counted("--transliterate", "it’s 😀")["sent"] is None


def test_data_coding_0_may_mean_something_else() -> None:
    assert counted("--alphabets", "latin1,ucs2", "--default", "latin1", "ã" * 140)["parts"][0]["octets"] == 140


def test_the_text_of_standard_input_is_without_its_last_line_feed() -> None:
    assert counted("-", stdin="grün\n\n".encode())["characters"] == 5


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("--alphabets", "gsm7", "aş"), None, "U+015F"),
        (("a" * 40_000,), None, "parts"),
        (("-",), b"\xff", "not UTF-8"),
        (("--alphabets", "gsm9", "a"), None, "gsm9"),
        (("--alphabets", ",", "a"), None, "none given"),
    ],
)
def test_refusals_say_why(words: tuple[str, ...], stdin: bytes | None, said: str) -> None:
    result = count(*words, stdin=stdin)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_the_reference_page_names_every_alphabet_and_method_and_shows_what_the_command_says() -> None:
    page = Path(__file__).parents[3].joinpath("docs/reference/text.md").read_text()
    assert [name for name in BY_NAME if f"`{name}`" not in page] == []
    assert [method.value for method in Method if f"`{method.value}`" not in page] == []
    told = count("--transliterate", "It’s ready – “ok”?").stdout
    assert f"$ smshub text count --transliterate 'It’s ready – “ok”?'\n{told}```" in page
