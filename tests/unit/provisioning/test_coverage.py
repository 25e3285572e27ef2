"""Letters' coverage: spans, which letter, what is missing, what expires."""

import pytest

from provisioning import Loa, WhiteList
from provisioning.authority import days_left, is_signed, is_valid, state_of
from provisioning.coverage import (
    coverage_of,
    expiring,
    joined,
    size_of,
    spans_of,
    told,
    white_listing_of,
    without,
    written,
)

TODAY = "2026-11-22"


def letter(name="first", numbers=("+12025550100-+12025550199",), **settings):
    settings = {
        "call_centre": "helpline",
        "owner": "Example Corp",
        "designee": "Hub Ltd",
        "contact": "A. Person",
        "valid_from": "2026-01-01",
        "signed_by": "A. Person",
        "signed_on": "2026-01-01",
        "digest": "sha256:" + 64 * "0",
        **settings,
    }
    return Loa(name=name, numbers=tuple(numbers), **settings)


def test_spans_are_sorted_and_joined_where_they_meet_or_touch():
    texts = ["+12025550107", "+12025550100-+12025550103", "+12025550102-+12025550104", "+12025550105"]
    assert spans_of(texts) == [(12025550100, 12025550105), (12025550107, 12025550107)]
    assert spans_of([]) == []


def test_a_span_is_written_as_letters_hold_it():
    texts = ["+12025550100", "+12025550102-+12025550104"]
    assert [written(span) for span in spans_of(texts)] == texts


def test_told_names_some_and_counts_the_rest():
    spans = spans_of([f"+1202555010{digit}" for digit in (0, 2, 4, 6)])
    assert told(spans, 2) == "+12025550100, +12025550102 and 2 more"
    assert told(spans) == "+12025550100, +12025550102, +12025550104, +12025550106"
    assert told([]) == ""


def test_without_leaves_what_lies_before_between_and_behind():
    assert without([(10, 20)], [(12, 13), (15, 15)]) == [(10, 11), (14, 14), (16, 20)]
    assert without([(1, 4), (6, 9)], [(3, 7)]) == [(1, 2), (8, 9)]
    assert without([(1, 4)], [(0, 9)]) == []
    assert without([(1, 4)], []) == [(1, 4)]


def test_a_draft_and_another_call_centres_letter_cover_nothing():
    drafted = letter("drafted", signed_by="", signed_on="", digest="")
    others = letter("others", call_centre="sales")
    coverage = coverage_of([drafted, others], "helpline", TODAY)
    assert coverage.letter(12025550100) is None
    assert coverage.letters == ()
    assert coverage.spans == []


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "covered"),
    [
        (TODAY, TODAY, True),
        ("2026-01-01", "", True),
        ("2026-11-23", "", False),
        ("2026-01-01", "2026-11-21", False),
    ],
)
def test_a_letter_covers_from_its_first_day_to_its_last(valid_from, valid_until, covered):
    coverage = coverage_of([letter(valid_from=valid_from, valid_until=valid_until)], "helpline", TODAY)
    assert (coverage.letter(12025550150) is not None) is covered
    assert coverage.missing([(12025550150, 12025550150)]) == ([] if covered else [(12025550150, 12025550150)])


def test_the_letter_that_lasts_longest_wins_where_two_meet():
    short = letter("short", ["+12025550100-+12025550149"], valid_until="2026-12-31")
    long = letter("long", ["+12025550140-+12025550160"], valid_until="2027-12-31")
    endless = letter("endless", ["+12025550145"])
    coverage = coverage_of([short, long, endless], "helpline", TODAY)
    named = {digits: coverage.letter(digits).name for digits in (12025550139, 12025550140, 12025550144, 12025550160)}
    assert named == {12025550139: "short", 12025550140: "long", 12025550144: "long", 12025550160: "long"}
    assert coverage.letter(12025550145).name == "endless"
    assert coverage.letter(12025550146).name == "long"
    assert coverage.letter(12025550161) is None
    assert [loa.name for loa in coverage.letters] == ["endless", "long", "short"]
    assert coverage.spans == [(12025550100, 12025550160)]


def test_missing_names_only_what_no_letter_covers():
    coverage = coverage_of([letter(), letter("second", ["+12025550250"])], "helpline", TODAY)
    wanted = spans_of(["+12025550190-+12025550205", "+12025550249-+12025550251"])
    assert told(coverage.missing(wanted)) == "+12025550200-+12025550205, +12025550249, +12025550251"


def test_ten_million_numbers_are_one_span():
    block = letter(numbers=["+12020000000-+12029999999"])
    coverage = coverage_of([block], "helpline", TODAY)
    assert size_of(coverage.spans) == 10_000_000
    assert len(coverage.spans) == 1
    assert size_of(coverage.missing([(12019999999, 12030000000)])) == 2


@pytest.mark.parametrize(
    ("settings", "state", "left"),
    [
        ({"signed_by": "", "signed_on": "", "digest": ""}, "draft", None),
        ({"signed_by": "", "valid_until": "2026-11-21"}, "expired", -1),
        ({"valid_from": "2026-11-23"}, "not yet valid", None),
        ({}, "valid", None),
        ({"valid_until": "2026-12-23"}, "valid", 31),
        ({"valid_until": "2026-12-22"}, "expires in 30 days", 30),
        ({"valid_until": "2026-11-23"}, "expires in 1 day", 1),
        ({"valid_until": TODAY}, "expires today", 0),
        ({"valid_until": "2026-11-21"}, "expired", -1),
    ],
)
def test_a_letter_says_where_it_stands(settings, state, left):
    loa = letter(**settings)
    assert state_of(loa, TODAY) == state
    assert days_left(loa, TODAY) == left
    assert is_valid(loa, TODAY) is (is_signed(loa) and state.partition(" ")[0] in ("valid", "expires"))


def test_letters_that_expire_are_told_of_the_first_to_go_first():
    loas = [
        letter("later", ["+12025550100"], valid_until="2026-12-20"),
        letter("gone", ["+12025550101"], valid_until="2026-11-01"),
        letter("sooner", ["+12025550102"], valid_until="2026-11-30"),
        letter("far", ["+12025550103"], valid_until="2027-11-30"),
        letter("endless", ["+12025550104"]),
        letter("drafted", ["+12025550105"], valid_until="2026-11-30", signed_by=""),
    ]
    assert [loa.name for loa in expiring(loas, TODAY)] == ["gone", "sooner", "later"]
    assert [loa.name for loa in expiring(loas, TODAY, 10)] == ["gone", "sooner"]


def test_a_letter_that_was_renewed_in_time_is_not_told_of():
    old = letter("old", valid_until="2026-11-30")
    assert expiring([old, letter("new", valid_from="2026-12-01")], TODAY) == []
    assert expiring([old, letter("late", valid_from="2026-12-02")], TODAY) == [old]
    assert expiring([old, letter("half", ["+12025550100-+12025550198"])], TODAY) == [old]
    assert expiring([old, letter("sales", call_centre="sales")], TODAY) == [old]
    short = letter("short", valid_until="2026-12-10")
    assert expiring([old, short], TODAY) == [old, short]


def test_joined_makes_one_of_spans_that_touch():
    assert joined([(5, 6), (1, 2), (3, 4), (9, 9)]) == [(1, 6), (9, 9)]


def white_list(name, numbers, texts_per_day, **settings):
    return WhiteList(
        name=name, numbers=tuple(numbers), texts_per_day=texts_per_day, **{"call_centre": "helpline", **settings}
    )


def test_of_several_white_lists_the_one_counts_that_expects_most():
    listing = white_listing_of(
        [
            white_list("block", ["+12025550100-+12025550199"], 100),
            white_list("sale", ["+12025550150"], 5000, valid_until=TODAY),
            white_list("gone", ["+12025550160"], 9000, valid_until="2026-11-21"),
            white_list("others", ["+12025550170"], 9000, call_centre="sales"),
        ],
        "helpline",
        TODAY,
    )
    named = {digits: listing.white_list(digits).name for digits in (12025550149, 12025550150, 12025550160, 12025550170)}
    assert named == {12025550149: "block", 12025550150: "sale", 12025550160: "block", 12025550170: "block"}
    assert listing.white_list(12025550200) is None
    assert white_listing_of([], "helpline", TODAY).white_list(12025550100) is None
