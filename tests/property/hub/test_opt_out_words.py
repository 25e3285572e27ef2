"""Properties of opting out: a word is the whole text or none; who is out follows from what was said, in its order."""

from __future__ import annotations

import unicodedata

from hypothesis import assume, example, given
from hypothesis import strategies as st

from hub import opt_out
from hub.opt_out import EVERYWHERE, WORDS, Entry, Verb, decide, out_since, read_word, scope_of, since_after

LANGUAGES = tuple(WORDS)
SPELLINGS = {
    spelling: verb
    for words in (EVERYWHERE, *WORDS.values())
    for verb, spellings in words.items()
    for spelling in spellings.split(", ")
}
AROUND = st.text(st.characters(categories=("Po", "Ps", "Pe", "Pi", "Pf", "Zs", "So", "Sk", "Cc")), max_size=6)


def letters(text: str) -> str:
    """What is left of a text without case, accents and everything that is neither letter, digit, nor sign of one."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).replace("ı", "i")
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "Mc")


KNOWN = {letters(spelling) for spelling in SPELLINGS}


@given(st.text(max_size=80))
@example("stop sign")
@example("St. Op")
def test_a_word_is_made_of_the_letters_of_the_table_and_of_no_others(text: str) -> None:
    if read_word(text, LANGUAGES) is not None:
        assert letters(text) in KNOWN


@given(
    st.sampled_from(sorted(SPELLINGS)),
    st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12),
    st.sampled_from([" ", ", ", "\n", " - ", "/", "... ", ""]),
    st.booleans(),
)
def test_no_sentence_with_a_word_in_it_is_one(spelling: str, more: str, between: str, before: bool) -> None:
    text = more + between + spelling if before else spelling + between + more
    assume(letters(text) not in KNOWN)
    assert read_word(text, LANGUAGES) is None


@given(st.sampled_from(sorted(SPELLINGS)), st.data(), AROUND, AROUND)
def test_case_and_what_stands_around_a_word_do_not_matter(
    spelling: str, data: st.DataObject, before: str, after: str
) -> None:
    cases = data.draw(st.lists(st.booleans(), min_size=len(spelling), max_size=len(spelling)))
    written = "".join(c.upper() if upper else c for c, upper in zip(spelling, cases, strict=True))
    text = before + written + after
    assume(len(text) <= opt_out.MAX_TEXT_CHARACTERS)
    found, plain = read_word(text, LANGUAGES), read_word(spelling, LANGUAGES)
    assert found == plain
    assert found is not None


@given(st.text(st.characters(max_codepoint=127), max_size=70) | st.sampled_from([s for s in SPELLINGS if s.isascii()]))
def test_the_quick_way_of_ascii_is_the_way_of_all_texts(text: str) -> None:
    assume(len(text) < opt_out.MAX_TEXT_CHARACTERS)
    assert read_word(text, LANGUAGES) == read_word(text + "\u200b", LANGUAGES)


NUMBERS = ("+1800", "+1801", "+1802")
SAID = st.lists(
    st.tuples(st.sampled_from([v for v in Verb if v is not Verb.HELP]), st.sampled_from(NUMBERS), st.integers(0, 3)),
    max_size=25,
)


@given(SAID)
def test_who_is_out_follows_from_what_was_said(said: list[tuple[Verb, str, int]]) -> None:
    """Against a set of numbers: STOP adds one, STOPALL all of them, START and a YES take one away."""
    ledger: dict[str, Entry] = {}
    model: set[str] = set()
    everywhere = scope_of("acme")
    now_us = 1
    for verb, number, step in said:
        now_us += step  # several may be said in one microsecond
        own, all_of_them = ledger.get(number), ledger.get(everywhere)
        others = [entry for key, entry in ledger.items() if key not in (number, everywhere)]
        decision = decide(verb, own, all_of_them, others)
        if verb is Verb.STOP:
            changes = number not in model
            model.add(number)
        elif verb is Verb.STOP_ALL:
            changes = all_of_them is None or model != set(NUMBERS)
            model.update(NUMBERS)
        else:
            changes = number in model
            model.discard(number)
        assert (decision.becomes_out is not None) == changes
        assert (decision.answer is not None) == changes, "one answer for each change"
        if decision.becomes_out is not None:
            key = everywhere if decision.for_all else number
            since_us = since_after(now_us, own, all_of_them, *(others if decision.for_all else ()))
            ledger[key] = Entry(key, "+2", decision.becomes_out, since_us, "keyword")
        assert {n for n in NUMBERS if out_since(ledger.get(n), ledger.get(everywhere))} == model
