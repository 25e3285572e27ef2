"""Who gets a place among the connections that have not bound. Pure."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from smpp.admission import BURST_S, PATIENCE_S, Admission, Bounds, Refusal, Standing, Visit, source_of


def let_in(door: Admission, source: str, now: float = 0.0, *, known: bool = False) -> Visit:
    visit = door.admit(source, not known, now)
    assert isinstance(visit, Visit), visit
    return visit


def test_one_address_has_what_is_empty_and_makes_room_for_another() -> None:
    door = Admission(Bounds(places=3))
    flood = [let_in(door, "192.0.2.1") for _ in range(3)]
    assert door.admit("192.0.2.1", True, 100.0) is Refusal.FULL, "who has the most gets no more"
    honest = let_in(door, "192.0.2.2")
    assert honest.instead_of is flood[0], "the one that came first"
    assert len(door) == 3
    assert let_in(door, "192.0.2.3").instead_of is flood[1]
    # One each: only patience that has come to its end makes room.
    assert door.admit("192.0.2.4", True, PATIENCE_S / 2) is Refusal.FULL
    assert let_in(door, "192.0.2.4", PATIENCE_S).instead_of is flood[2]


def test_a_flood_from_everywhere_keeps_nobody_out_who_has_bound_before() -> None:
    door = Admission(Bounds(places=50))
    strangers = [let_in(door, f"198.51.100.{at}") for at in range(50)]
    assert door.admit("203.0.113.1", True, 0.0) is Refusal.FULL
    assert let_in(door, "192.0.2.1", known=True).instead_of is strangers[0]
    for stranger in strangers[1:]:
        door.asks(stranger)
    assert door.admit("203.0.113.1", True, 100.0) is Refusal.FULL, "binds that are looked at are not lost to strangers"
    assert let_in(door, "192.0.2.2", known=True).instead_of is strangers[1]


def test_those_known_are_never_lost_to_strangers() -> None:
    door = Admission(Bounds(places=2))
    for at in range(2):
        let_in(door, f"192.0.2.{at}", known=True)
    assert door.admit("203.0.113.1", True, 100.0) is Refusal.FULL
    assert door.admit("192.0.2.9", False, 100.0) is Refusal.FULL, "nor to each other, one each"


def test_who_was_refused_and_lingers_goes_first() -> None:
    door = Admission(Bounds(places=2))
    first, second = let_in(door, "192.0.2.1"), let_in(door, "192.0.2.2")
    door.asks(second)
    door.is_over(second)
    assert let_in(door, "192.0.2.3").instead_of is second
    door.leave(second)  # as its connection ends: nothing is counted twice
    assert len(door) == 2
    door.leave(first)
    assert len(door) == 1


def test_an_address_and_all_strangers_have_rates() -> None:
    door = Admission(Bounds(places=10_000, address_per_s=10, strangers_per_s=30))
    for _ in range(int(10 * BURST_S)):
        let_in(door, "192.0.2.1")
    assert door.admit("192.0.2.1", True, 0.0) is Refusal.TOO_OFTEN
    let_in(door, "192.0.2.1", 0.1)  # a tenth of a second later there is one more
    assert door.admit("192.0.2.1", True, 0.1) is Refusal.TOO_OFTEN
    taken = [door.admit(f"198.51.100.{at}", True, 0.1) for at in range(200)]
    assert sum(isinstance(each, Visit) for each in taken) == 30 * BURST_S - 10 * BURST_S - 1 + 3
    let_in(door, "203.0.113.1", 0.1, known=True)
    assert isinstance(door.admit("", False, 0.1), Visit), "nobody's address has no rate"


def test_what_is_remembered_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smpp.admission.ADDRESSES", 10)
    door = Admission(Bounds(places=1, address_per_s=1, strangers_per_s=0))
    for at in range(100):
        door.admit(f"192.0.2.{at}", True, 0.0)
    assert len(door._buckets) == 10


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1%eth0", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("no:address", "no:address", True),
        ("", "", True),
    ],
)
def test_whose_an_address_is(one: str, other: str, same: bool) -> None:
    assert (source_of(one) == source_of(other)) is same


class AdmissionMachine(RuleBasedStateMachine):
    """Whatever comes and goes, in any order: places are kept to, and nobody is counted twice."""

    def __init__(self) -> None:
        super().__init__()
        self.door = Admission(Bounds(places=5, address_per_s=20, strangers_per_s=40))
        self.inside: list[Visit] = []
        self.now = 0.0

    @rule(source=st.sampled_from("abcdef"), known=st.booleans(), later=st.sampled_from([0.0, 0.01, 0.6, 5.0]))
    def come(self, source: str, known: bool, later: float) -> None:
        self.now += later
        before = {visit.source: sum(v.source == visit.source for v in self.inside) for visit in self.inside}
        full = len(self.inside) >= 5
        visit = self.door.admit(source, not known, self.now)
        if isinstance(visit, Refusal):
            assert visit is Refusal.TOO_OFTEN or full
            return
        victim = visit.instead_of
        assert (victim is not None) == full
        if victim is not None:
            assert victim in self.inside
            self.inside.remove(victim)
            if victim.standing is not Standing.OVER and not victim.is_stranger:
                assert before[victim.source] > before.get(source, 0) + 1, "those known yield to who has far fewer only"
        self.inside.append(visit)

    @precondition(lambda self: self.inside)
    @rule(data=st.data(), what=st.sampled_from(["asks", "is_over", "leave"]))
    def change(self, data: st.DataObject, what: str) -> None:
        visit = data.draw(st.sampled_from(self.inside))
        getattr(self.door, what)(visit)
        if what == "leave":
            self.inside.remove(visit)
            self.door.leave(visit)
            self.door.asks(visit)  # late news of who is gone

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.door) == len(self.inside) <= 5
        assert {name: source.count for name, source in self.door._sources.items()} == {
            visit.source: sum(v.source == visit.source for v in self.inside) for visit in self.inside
        }
        assert self.door._most == max((source.count for source in self.door._sources.values()), default=0)


TestAdmissionMachine = AdmissionMachine.TestCase
TestAdmissionMachine.settings = settings(max_examples=60, stateful_step_count=40)
