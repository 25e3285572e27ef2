"""Letters' coverage against the plainest model: a dictionary with every number in it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from provisioning import Loa
from provisioning.coverage import coverage_of, joined, size_of, spans_of, without, written

BASE = 12025550100
TODAY = "2026-11-22"
LIMITS = range(BASE - 1, BASE + 42)

spans = st.tuples(st.integers(BASE, BASE + 40), st.integers(0, 12)).map(lambda each: (each[0], sum(each)))
days = st.sampled_from(["2026-11-20", "2026-11-22", "2026-11-24", "2026-12-31"])


@st.composite
def letters(draw):
    named = draw(st.lists(st.lists(spans, max_size=6), max_size=6))
    return [
        Loa(
            name=f"letter{index}",
            call_centre=draw(st.sampled_from(["a", "a", "b"])),
            owner="Owner",
            designee="Designee",
            contact="Contact",
            numbers=tuple(map(written, each)),
            valid_from=draw(days),
            valid_until=draw(st.just("") | days),
            signed_by=draw(st.sampled_from(["", "Somebody", "Somebody"])),
        )
        for index, each in enumerate(named)
    ]


def counted(found):
    return {digits for first, last in found for digits in range(first, last + 1)}


def in_normal_form(found):
    return all(before[1] + 1 < after[0] for before, after in pairwise(found)) and all(
        first <= last for first, last in found
    )


@given(letters(), st.lists(spans, max_size=8))
def test_coverage_is_what_counting_out_says(loas, wanted):
    best = {}
    for loa in loas:
        valid = loa.signed_by and loa.valid_from <= TODAY and (not loa.valid_until or loa.valid_until >= TODAY)
        if loa.call_centre != "a" or not valid:
            continue
        for text in loa.numbers:
            first, _, last = text.partition("-")
            for digits in range(int(first), int(last or first) + 1):
                rank = (not loa.valid_until, loa.valid_until, loa.valid_from, loa.name)
                best[digits] = max(best.get(digits, (rank, loa)), (rank, loa), key=lambda each: each[0])
    coverage = coverage_of(loas, "a", TODAY)
    assert {digits: found for digits in LIMITS if (found := coverage.letter(digits))} == {
        digits: loa for digits, (_, loa) in best.items() if digits in LIMITS
    }
    assert counted(coverage.spans) == set(best)
    assert in_normal_form(coverage.spans)
    missing = coverage.missing(wanted)
    assert counted(missing) == counted(wanted) - set(best)
    assert in_normal_form(missing)


@given(st.lists(spans, max_size=8), st.lists(spans, max_size=8))
def test_spans_are_sets_of_numbers(some, others):
    assert counted(joined(some)) == counted(some)
    assert in_normal_form(joined(some))
    assert counted(without(some, others)) == counted(some) - counted(others)
    assert in_normal_form(without(some, others))
    assert size_of(joined(some)) == len(counted(some))
    assert spans_of([*map(written, some)]) == joined(some)
