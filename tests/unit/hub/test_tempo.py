"""How fast an endpoint takes what it is given."""

from __future__ import annotations

from hub.tempo import Tempo

LONG = 10_000_000


def test_it_is_not_swift_before_it_has_shown_it() -> None:
    tempo = Tempo(parts=10, within_us=100)
    assert not tempo.is_swift(LONG)
    tempo.took(10, LONG)  # nobody knows since when
    assert not tempo.is_swift(LONG)


def test_it_is_swift_when_it_took_as_many_within_the_time() -> None:
    tempo = Tempo(parts=10, within_us=100)
    tempo.took(10, LONG)
    tempo.took(4, LONG + 50)
    assert not tempo.is_swift(LONG + 50)
    tempo.took(6, LONG + 100)
    assert tempo.is_swift(LONG + 100)


def test_it_is_not_when_they_took_longer() -> None:
    tempo = Tempo(parts=10, within_us=100)
    tempo.took(10, LONG)
    tempo.took(10, LONG + 101)
    assert not tempo.is_swift(LONG + 101)


def test_what_it_did_is_soon_forgotten() -> None:
    tempo = Tempo(parts=10, within_us=100)
    tempo.took(10, LONG)
    tempo.took(10, LONG + 60)
    assert tempo.is_swift(LONG + 160)
    assert not tempo.is_swift(LONG + 161)
