"""Who is locked out after wrong passwords, and who must not be. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp.admission import source_of
from translators import lock_out as module
from translators.lock_out import GOOD_US, PEER_FAILURES, SIEGE, LockOut, LockRules

S = 1_000_000
NOW = 1_767_225_600 * S
RULES = LockRules(3, 60 * S)
OWNER, ATTACKER = "192.0.2.1", "198.51.100.9"


def fail(
    lock: LockOut, account: str, address: str, times: int, now_us: int = NOW, rules: LockRules = RULES
) -> list[bool]:
    return [lock.failed(account, address, rules, now_us) for _ in range(times)]


def test_so_many_wrong_passwords_in_a_row_lock_the_pair_and_nothing_else() -> None:
    lock = LockOut()
    assert fail(lock, "agg", ATTACKER, 3) == [False, False, True]
    assert not lock.admits("agg", ATTACKER, RULES, NOW)
    assert lock.admits("agg", OWNER, RULES, NOW)
    assert lock.admits("other", ATTACKER, RULES, NOW)
    assert lock.admits("", ATTACKER, RULES, NOW)


def test_a_lock_ends_and_the_next_wrong_password_locks_again() -> None:
    lock = LockOut()
    fail(lock, "agg", ATTACKER, 3)
    assert not lock.admits("agg", ATTACKER, RULES, NOW + 60 * S - 1)
    assert lock.admits("agg", ATTACKER, RULES, NOW + 60 * S)
    assert fail(lock, "agg", ATTACKER, 1, NOW + 60 * S) == [True]
    assert not lock.admits("agg", ATTACKER, RULES, NOW + 61 * S)


def test_a_right_password_begins_anew() -> None:
    lock = LockOut()
    for _ in range(20):
        fail(lock, "agg", OWNER, 2)
        lock.succeeded("agg", OWNER, NOW)
        assert lock.admits("agg", OWNER, RULES, NOW)


def test_an_address_that_never_failed_gets_in_whatever_others_do() -> None:
    lock = LockOut()
    for number in range(200):
        fail(lock, "agg", f"198.51.100.{number}", 5)
    assert lock.admits("agg", OWNER, RULES, NOW)


def test_during_a_siege_every_address_has_one_guess() -> None:
    lock = LockOut()
    for number in range(SIEGE * RULES.after):
        assert fail(lock, "agg", f"198.51.100.{number}", 1) == [False]
    assert fail(lock, "agg", "203.0.113.1", 1) == [True]
    assert not lock.admits("agg", "203.0.113.1", RULES, NOW)
    assert fail(lock, "other", "203.0.113.2", 1) == [False]  # another account is not under siege
    later = NOW + RULES.lock_us + 1
    assert fail(lock, "agg", "203.0.113.3", 1, later) == [False]  # and a siege ends


def test_an_address_that_tries_many_names_is_locked_but_for_who_was_right_there() -> None:
    lock = LockOut()
    lock.succeeded("neighbour", ATTACKER, NOW)
    locked = [lock.failed("", ATTACKER, LockRules(), NOW) for _ in range(PEER_FAILURES)]
    assert locked == [False] * (PEER_FAILURES - 1) + [True]
    assert not lock.admits("", ATTACKER, LockRules(), NOW)
    assert not lock.admits("agg", ATTACKER, RULES, NOW)
    assert lock.admits("neighbour", ATTACKER, RULES, NOW)  # one ESME of several behind one address
    assert lock.admits("agg", OWNER, RULES, NOW)
    fail(lock, "neighbour", ATTACKER, 3)
    assert not lock.admits("neighbour", ATTACKER, RULES, NOW)


def test_who_was_right_long_ago_is_a_stranger_again() -> None:
    lock = LockOut()
    lock.succeeded("neighbour", ATTACKER, NOW)
    fail(lock, "", ATTACKER, PEER_FAILURES, NOW + GOOD_US - 1)
    assert lock.admits("neighbour", ATTACKER, RULES, NOW + GOOD_US - 1)
    assert not lock.admits("neighbour", ATTACKER, RULES, NOW + GOOD_US)


def test_zero_locks_nobody() -> None:
    lock, rules = LockOut(), LockRules(0)
    assert not any(fail(lock, "agg", ATTACKER, 500, rules=rules))
    assert lock.admits("agg", ATTACKER, rules, NOW)
    assert len(lock) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "", True),
        ("", "192.0.2.1", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    assert (source_of(one) == source_of(other)) is same


def test_memory_is_bounded_and_what_is_in_use_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES", 100)
    lock = LockOut()
    for number in range(5_000):
        fail(lock, "agg", f"10.0.{number // 250}.{number % 250}", 1)
        fail(lock, "agg", ATTACKER, 1)
    assert not lock.admits("agg", ATTACKER, RULES, NOW)
    assert len(lock) <= 201


@given(st.lists(st.tuples(st.sampled_from([ATTACKER, "203.0.113.7", "2001:db8::1"]), st.integers(0, 30)), max_size=60))
def test_nothing_that_others_fail_at_locks_an_address_that_never_failed(tries: list[tuple[str, int]]) -> None:
    lock, now = LockOut(), NOW
    for address, wait_s in tries:
        now += wait_s * S
        if lock.admits("agg", address, RULES, now):
            lock.failed("agg", address, RULES, now)
        assert lock.admits("agg", OWNER, RULES, now)


@given(st.lists(st.integers(0, 90), min_size=1, max_size=80))
def test_a_guesser_has_so_many_guesses_and_then_one_for_each_lock(waits: list[int]) -> None:
    """Whatever it waits between: guesses ≤ ``after`` + one for each ``lock_us`` that has passed."""
    lock, now, guesses = LockOut(), NOW, 0
    for wait_s in waits:
        now += wait_s * S
        if lock.admits("agg", ATTACKER, RULES, now):
            guesses += 1
            lock.failed("agg", ATTACKER, RULES, now)
        assert guesses <= RULES.after + (now - NOW) // RULES.lock_us
