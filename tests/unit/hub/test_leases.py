"""Who holds what: all nodes decide alike, and it comes to rest evenly, together, and where it is bound."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.leases import NOBODY, Lease, NodeRow, Unit, Watch, decide

LINKS = [Unit("link", (f"link:{at}",)) for at in range(5)]
GROUP = Unit("link", ("group:g", "link:x", "link:y"))
DESKS = [Unit("desk", (f"desk:{at}",)) for at in range(3)]
ACCOUNTS = [Unit("account", (f"account:{at}",), follows=True) for at in range(4)]
SERVICE = Unit("service", ("service:upkeep",))
ALL = [SERVICE, *LINKS, GROUP, *DESKS, *ACCOUNTS]


def nobody(_: str) -> bool:
    return False


def leased(**nodes: int) -> dict[str, Lease]:
    return {name.replace("_", ":"): Lease(name.replace("_", ":"), node) for name, node in nodes.items()}


def test_a_node_that_is_alone_takes_all() -> None:
    found = decide(3, [3], ALL, {}, nobody)
    assert sorted(found.take) == sorted(endpoint for unit in ALL for endpoint in unit.endpoints)
    assert not found.give
    assert not found.drop


def test_two_that_come_at_once_take_different_halves() -> None:
    first, second = decide(1, [1, 2], ALL, {}, nobody), decide(2, [1, 2], ALL, {}, nobody)
    assert not set(first.take) & set(second.take)
    assert len(first.take) + len(second.take) == sum(len(unit.endpoints) for unit in ALL)


def test_a_group_and_its_links_stay_together() -> None:
    leases = leased(group_g=2, link_y=1)
    assert decide(2, [1, 2], [GROUP], leases, nobody).take == ("link:x",)
    assert decide(1, [1, 2], [GROUP], leases, nobody).give == (("link:y", 2),)


def test_who_has_two_more_gives_one() -> None:
    leases = leased(link_0=1, link_1=1, link_2=1)
    found = decide(1, [1, 2], LINKS[:3], leases, nobody)
    assert found.give == (("link:2", 2),)
    assert decide(2, [1, 2], LINKS[:3], leases, nobody) == decide(2, [1, 2], [], {}, nobody)


def test_one_more_is_no_reason_to_move() -> None:
    assert not decide(1, [1, 2], LINKS[:3], leased(link_0=1, link_1=1, link_2=2), nobody).give


def test_an_account_goes_where_it_is_bound() -> None:
    leases = {"account:0": Lease("account:0", 1)}
    assert decide(2, [1, 2], ACCOUNTS[:1], leases, lambda _: True).want == ("account:0",)
    wanted = {"account:0": Lease("account:0", 1, wanted_by=2)}
    assert decide(2, [1, 2], ACCOUNTS[:1], wanted, lambda _: True).want == ()
    assert decide(1, [1, 2], ACCOUNTS[:1], wanted, nobody).give == (("account:0", 2),)
    assert decide(1, [1, 2], ACCOUNTS[:1], wanted, lambda _: True).give == ()


def test_a_wish_of_a_node_that_is_gone_counts_for_nothing() -> None:
    wanted = {"account:0": Lease("account:0", 1, wanted_by=2)}
    assert decide(1, [1], ACCOUNTS[:1], wanted, nobody).give == ()


def test_a_lease_of_what_is_no_more_is_dropped_by_its_holder() -> None:
    leases = leased(link_gone=1, link_0=2)
    assert decide(1, [1, 2], LINKS[:1], leases, nobody).drop == ("link:gone",)
    assert decide(2, [1, 2], LINKS[:1], leases, nobody).drop == ()


def test_what_the_dead_hold_is_left_alone_until_they_are_fenced() -> None:
    found = decide(1, [1], LINKS[:2], leased(link_0=2), nobody)
    assert found.take == ("link:1",)
    assert not found.give


@settings(deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=6),
    st.dictionaries(st.sampled_from([unit.endpoints[0] for unit in ACCOUNTS]), st.integers(0, 5)),
    st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=10),
)
def test_it_comes_to_rest_whoever_comes_and_goes(eras: list[set[int]], bound: dict[str, int], stale: list[int]) -> None:
    """Each node acts on what it saw some rounds ago; the database refuses what is not so any more."""
    leases: dict[str, Lease] = {}
    for era in eras:
        leases = {name: lease for name, lease in leases.items() if lease.node in era}  # the others were fenced
        seen = [dict(leases)] * 3
        for turn in range(60):
            for node in sorted(era):
                view = {n: x for n, x in seen[-1 - stale[turn % len(stale)]].items() if x.node in era}
                found = decide(node, sorted(era), ALL, view, lambda name, node=node: bound.get(name) == node)  # type: ignore[misc]
                for name in found.take:
                    leases.setdefault(name, Lease(name, node))
                for name, to in found.give:
                    if leases.get(name, Lease("", NOBODY)).node == node:
                        leases[name] = Lease(name, to)
                for name in found.want:
                    if leases[name].node != node:
                        leases[name] = msgspec.structs.replace(leases[name], wanted_by=node)
            seen = [*seen[1:], dict(leases)]
        assert set(leases) == {endpoint for unit in ALL for endpoint in unit.endpoints}
        for unit in ALL:
            assert len({leases[endpoint].node for endpoint in unit.endpoints}) == 1
            if unit.follows and bound.get(unit.endpoints[0]) in era:
                assert leases[unit.endpoints[0]].node == bound[unit.endpoints[0]]
        for same in ([*LINKS, GROUP], DESKS):
            counts = Counter(dict.fromkeys(era, 0))
            counts.update(leases[unit.endpoints[0]].node for unit in same)
            assert max(counts.values()) - min(counts.values()) <= 1


def row(node: int, beat: int, state: str = "up", epoch: int = 1) -> NodeRow:
    return NodeRow(node, epoch, beat, state, "", "", 0, 0, 0)


def test_a_node_whose_beat_stands_still_is_dead() -> None:
    watch = Watch(1, 100)
    for at in range(0, 100, 10):
        assert watch.look([row(1, 0), row(2, 7), row(3, at)], at) == []
    assert [dead.id for dead in watch.look([row(1, 0), row(2, 7), row(3, 99)], 100)] == [2]


def test_who_could_not_look_begins_anew() -> None:
    watch = Watch(1, 100)
    assert watch.look([row(2, 7)], 0) == []
    assert watch.look([row(2, 7)], 100) == []  # a hundred without a look: nobody knows what was between
    for at in range(110, 200, 10):
        assert watch.look([row(2, 7)], at) == []
    assert watch.look([row(2, 7)], 200) != []


def test_a_new_process_of_the_node_and_one_that_left_are_not_dead() -> None:
    watch = Watch(1, 100)
    for at in range(0, 300, 10):
        assert watch.look([row(2, 7, epoch=1 + at // 50), row(3, 7, "left"), row(4, 7, "dead")], at) == []
