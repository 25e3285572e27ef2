"""Shares follow the weights, and a member that comes or goes moves nobody else's customers."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from translators.preference import Preference

CUSTOMERS = 4_000
NAMES = st.lists(st.text("abcdefghij", min_size=1, max_size=8), min_size=1, max_size=6, unique=True)


def firsts(members: list[tuple[str, float]], customers: int = CUSTOMERS) -> list[str]:
    preference = Preference(members)
    return [members[preference.order("+12025550100", f"+44770{n:07}")[0]][0] for n in range(customers)]


@given(names=NAMES, data=st.data())
@settings(max_examples=30, deadline=None)
def test_shares_are_near_the_weights(names: list[str], data: st.DataObject) -> None:
    members = [(name, data.draw(st.integers(1, 20))) for name in names]
    total = sum(weight for _, weight in members)
    counts = Counter(firsts([(name, float(weight)) for name, weight in members]))
    for name, weight in members:
        share = weight / total
        # Six standard deviations of a binomial: a fair draw is outside of that once in 500 million.
        assert abs(counts[name] - share * CUSTOMERS) <= 6 * (CUSTOMERS * share * (1 - share)) ** 0.5 + 1


@given(names=NAMES, weights=st.lists(st.integers(1, 1_000), min_size=6, max_size=6), gone=st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_only_the_customers_of_one_that_goes_are_moved(names: list[str], weights: list[int], gone: int) -> None:
    members = [(name, float(weight)) for name, weight in zip(names, weights, strict=False)]
    left = [member for at, member in enumerate(members) if at != gone % len(members)]
    if not left:
        return
    lost = members[gone % len(members)][0]
    with_it, without = Preference(members), Preference(left)
    for n in range(200):
        pair = ("+12025550100", f"+44770{n:07}")
        before = [members[at][0] for at in with_it.order(*pair)]
        after = [left[at][0] for at in without.order(*pair)]
        assert after == [name for name in before if name != lost]


@given(
    members=st.lists(
        st.tuples(st.text(max_size=5), st.floats(1, 1_000)), min_size=1, max_size=8, unique_by=lambda m: m[0]
    ),
    source=st.text(max_size=20),
    destination=st.text(max_size=20),
)
def test_every_member_is_in_the_order_once(members: list[tuple[str, float]], source: str, destination: str) -> None:
    assert sorted(Preference(members).order(source, destination)) == list(range(len(members)))


def test_the_second_choices_are_spread_as_well() -> None:
    """When a link goes, its customers do not all fall upon one other."""
    members = [(name, 1.0) for name in "abcd"]
    preference = Preference(members)
    seconds = Counter(order[1] for n in range(CUSTOMERS) if (order := preference.order("+1", f"+44770{n:07}"))[0] == 0)
    assert set(seconds) == {1, 2, 3}
    assert max(seconds.values()) < 1.3 * min(seconds.values())
