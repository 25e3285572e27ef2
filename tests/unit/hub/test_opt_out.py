"""The words of opting out: which texts they are, what they come to, what is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub import opt_out
from hub.opt_out import (
    DEFAULT_TEXTS,
    EVERYWHERE,
    WORDS,
    Answer,
    Decision,
    Entry,
    Verb,
    decide,
    fold,
    out_since,
    read_word,
)
from smpp.alphabet import GSM7

LANGUAGES = tuple(WORDS)


def entry(*, is_out: bool, since_us: int = 1, number: str = "+1") -> Entry:
    return Entry(number, "+2", is_out, since_us, "keyword")


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("STOP", Verb.STOP),
        ("stop", Verb.STOP),
        ("Stop.", Verb.STOP),
        ("  ¡STOP!!! \n", Verb.STOP),
        ("“Stop”", Verb.STOP),
        ("stop 🛑️🙏🏽", Verb.STOP),
        ("ＳＴＯＰ", Verb.STOP),
        ("S\u200bTOP", Verb.STOP),
        ("Stöp", Verb.STOP),
        ("unsubscribe", Verb.STOP),
        ("CANCEL", Verb.STOP),
        ("End", Verb.STOP),
        ("quit", Verb.STOP),
        ("OPTOUT", Verb.STOP),
        ("Opt-out", Verb.STOP),
        ("opt  out", Verb.STOP),
        ("revoke", Verb.STOP),
        ("STOPALL", Verb.STOP_ALL),
        ("stop all!", Verb.STOP_ALL),
        ("Stop-All", Verb.STOP_ALL),
        ("START", Verb.START),
        ("unstop", Verb.START),
        ("yes", Verb.YES),
        ("HELP", Verb.HELP),
        ("help?", Verb.HELP),
        ("Info", Verb.HELP),
    ],
)
def test_english_words(text: str, verb: Verb) -> None:
    word = read_word(text, ("en",))
    assert word is not None
    assert word.verb is verb


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "!!!",
        "please stop",
        "stop it",
        "stop the printer",
        "I can't stop laughing",
        "stop stop",
        "stop 1",
        "1 stop",
        "st op",
        "s t o p",
        "stopp",
        "nonstop",
        "the end",
        "yes please",
        "help me",
        "cancel my order",
        "can you help",
        "Don't stop",
        "stop" + "!" * 61,  # nobody types so many; the whole of such a text is not looked at
    ],
)
def test_no_sentence_is_a_word(text: str) -> None:
    assert read_word(text, ("en",)) is None


@pytest.mark.parametrize(
    ("language", "text", "verb"),
    [
        ("fr", "ARRET", Verb.STOP),
        ("fr", "Arrêt", Verb.STOP),
        ("fr", "aide", Verb.HELP),
        ("es", "BAJA", Verb.STOP),
        ("es", "no mas", Verb.STOP),
        ("es", "Sí", Verb.YES),
        ("de", "Stopp!", Verb.STOP),
        ("it", "si'", Verb.YES),
        ("pt", "SAIR", Verb.STOP),
        ("tr", "İPTAL", Verb.STOP),
        ("tr", "IPTAL", Verb.STOP),
        ("tr", "ıptal", Verb.STOP),
        ("tr", "YARDIM", Verb.HELP),
        ("tr", "yardim", Verb.HELP),
        ("hi", "बंद", Verb.STOP),
        ("hi", "बंद करो।", Verb.STOP),
        ("hi", "हाँ", Verb.YES),
        ("hi", "मदद", Verb.HELP),
        ("nl", "Afmelden", Verb.STOP),
    ],
)
def test_words_of_other_languages(language: str, text: str, verb: Verb) -> None:
    word = read_word(text, (language,))
    assert word is not None
    assert word.verb is verb
    if text.casefold() not in ("info",):
        assert read_word(text, ()) is None, "it is not a word of every language"


def test_the_networks_own_words_count_in_every_language() -> None:
    for language in (*LANGUAGES, "xx"):
        for verb, spellings in EVERYWHERE.items():
            for spelling in spellings.split(", "):
                word = read_word(spelling.upper(), (language,))
                assert word is not None
                assert word.verb is verb


def test_each_word_of_the_table_is_read_in_its_language_as_what_it_is() -> None:
    for language, words in WORDS.items():
        for verb, spellings in words.items():
            for spelling in spellings.split(", "):
                assert len(spelling) <= 32
                assert len(fold(spelling)) <= opt_out.MAX_WORD_CHARACTERS
                for form in (spelling, spelling.upper(), f"{spelling.title()}!"):
                    word = read_word(form, (language,))
                    assert word is not None, (language, form)
                    assert word.verb is verb, (language, form)


def test_the_first_language_decides_what_two_languages_share() -> None:
    assert read_word("ja", ("de", "nl")) == read_word("JA", ("nl", "de"))
    assert read_word("baja", ("en",)) is None


OUT, IN = True, False


@pytest.mark.parametrize(
    ("own", "everywhere", "since"),
    [
        (None, None, 0),
        ((OUT, 5), None, 5),
        ((IN, 5), None, 0),
        (None, (OUT, 5), 5),
        (None, (IN, 5), 0),
        ((OUT, 5), (IN, 9), 0),
        ((OUT, 9), (IN, 5), 9),
        ((IN, 9), (OUT, 5), 0),
        ((IN, 5), (OUT, 9), 9),
        ((IN, 7), (OUT, 7), 7),
        ((OUT, 7), (IN, 7), 7),
        ((OUT, 5), (OUT, 9), 9),
    ],
)
def test_the_later_of_two_entries_says_who_is_out(
    own: tuple[bool, int] | None, everywhere: tuple[bool, int] | None, since: int
) -> None:
    entries = [entry(is_out=each[0], since_us=each[1]) if each else None for each in (own, everywhere)]
    assert out_since(*entries) == since


def test_what_words_come_to() -> None:
    out, back = entry(is_out=True), entry(is_out=False)
    stopped, started = Decision("stop", True, answer=Answer.OUT), Decision("start", False, answer=Answer.IN)
    everywhere = Decision("stop", True, for_all=True, answer=Answer.OUT)
    for own in (None, back):
        assert decide(Verb.STOP, own, None) == stopped
        assert decide(Verb.STOP_ALL, own, None) == everywhere
        assert decide(Verb.START, own, None) == Decision("start")
        assert decide(Verb.YES, own, None) == Decision()
    assert decide(Verb.STOP, out, None) == Decision("stop")
    assert decide(Verb.STOP, None, out) == Decision("stop")
    assert decide(Verb.STOP_ALL, out, None) == everywhere, "out of one number is not out of all"
    assert decide(Verb.STOP_ALL, None, out) == Decision("stop")
    again = entry(is_out=False, since_us=2)
    assert decide(Verb.STOP_ALL, None, out, [again]) == everywhere, "another number is in again"
    assert decide(Verb.STOP_ALL, again, out) == everywhere
    assert decide(Verb.STOP_ALL, None, out, [entry(is_out=False, since_us=0)]) == Decision("stop")
    for verb in (Verb.START, Verb.YES):
        assert decide(verb, out, None) == started
        assert decide(verb, None, out) == started
    for own in (None, out, back):
        assert decide(Verb.HELP, own, None) == Decision("help", answer=Answer.HELP)


def test_a_change_is_later_than_what_it_beats() -> None:
    assert opt_out.since_after(10, None, None) == 10
    assert opt_out.since_after(10, entry(is_out=True, since_us=3), entry(is_out=True, since_us=10)) == 11
    assert opt_out.since_after(10, entry(is_out=True, since_us=400), None) == 401, "also where clocks differ"


def test_answers() -> None:
    def answer(kind: Answer, languages: tuple[str, ...] = ("en",), own: tuple[str, str, str] = ("", "", "")) -> str:
        return opt_out.answer_text(kind, "Acme {x}", languages, own)

    assert set(DEFAULT_TEXTS) == set(WORDS)
    for language in WORDS:
        texts = [answer(kind, (language,)) for kind in Answer]
        assert len(set(texts)) == 3
        for text in texts:
            assert text.startswith("Acme {x}")
            assert len(text) <= 160
            assert language in ("hi", "tr") or GSM7.encodable(text)
        for kind, said in zip(Answer, texts, strict=True):
            named = {Answer.OUT: "START", Answer.IN: "STOP", Answer.HELP: "STOP"}[kind]
            assert named in said, "who reads it knows how to undo it"
    assert answer(Answer.OUT, ("xx", "fr")) == answer(Answer.OUT, ("fr",))
    assert answer(Answer.OUT, ("xx",)) == answer(Answer.OUT)
    assert answer(Answer.IN, own=("a", "b", "c")) == "b"
    assert answer(Answer.HELP, own=("a", "b", "")) == answer(Answer.HELP)


def test_the_words_are_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "howto" / "opt-out.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    told = {row[0]: row[1:] for row in rows if row[0] in WORDS or row[0] == "every language"}
    columns = (Verb.STOP, Verb.STOP_ALL, Verb.START, Verb.YES, Verb.HELP)
    for language, words in (("every language", EVERYWHERE), *WORDS.items()):
        assert told[language] == [words.get(verb, "") for verb in columns]
