"""The layout of ids, and that they rise."""

import pytest

from store.ids import EPOCH_US, MAX_ID, MAX_NODE, IdClock, id_time_us

NOW_US = EPOCH_US + 1_000_000_000


def test_an_id_holds_time_node_and_number():
    clock = IdClock(node=5)
    assert clock.next(NOW_US) == 1_000_000 << 22 | 5 << 12
    assert clock.next(NOW_US + 999) == 1_000_000 << 22 | 5 << 12 | 1
    assert clock.next(NOW_US + 1000) == 1_000_001 << 22 | 5 << 12


def test_the_time_can_be_read_back():
    assert id_time_us(IdClock(1023).next(NOW_US + 123_456)) == NOW_US + 123_000


def test_more_than_4096_in_a_millisecond_run_ahead_of_time():
    clock = IdClock(node=MAX_NODE)
    ids = clock.take(4096, NOW_US) + clock.take(4097, NOW_US) + [clock.next(NOW_US)]
    assert ids == sorted(set(ids))
    assert id_time_us(ids[4095]) == NOW_US
    assert id_time_us(ids[4096]) == NOW_US + 1000
    assert id_time_us(ids[-1]) == NOW_US + 2000
    assert {identity >> 12 & MAX_NODE for identity in ids} == {MAX_NODE}
    # Time catches up.
    assert id_time_us(clock.next(NOW_US + 5000)) == NOW_US + 5000


def test_a_clock_that_steps_back_changes_nothing():
    clock = IdClock()
    first = clock.next(NOW_US)
    assert clock.next(NOW_US - 10**9) == first + 1
    assert clock.next(0) == first + 2
    assert clock.next(-(10**18)) == first + 3


def test_ids_go_on_after_a_known_one():
    clock = IdClock(node=3)
    known = IdClock(node=9).next(NOW_US + 10**9)
    clock.advance_past(known)
    assert clock.next(NOW_US) > known
    clock.advance_past(5)
    assert clock.next(NOW_US) > known


def test_two_nodes_never_give_the_same_id():
    first, second = IdClock(0), IdClock(1)
    assert not set(first.take(10_000, NOW_US)) & set(second.take(10_000, NOW_US))


def test_the_ends_of_time():
    assert IdClock().next(0) == 0
    last = IdClock(MAX_NODE).next(EPOCH_US + ((1 << 41) - 1) * 1000)
    assert 0 < last <= MAX_ID


def test_none_are_none():
    clock = IdClock()
    assert clock.take(0, NOW_US) == []
    assert clock.next(NOW_US) == 1_000_000 << 22


@pytest.mark.parametrize("node", [-1, MAX_NODE + 1])
def test_a_node_has_ten_bits(node):
    with pytest.raises(ValueError, match=str(node)):
        IdClock(node)
