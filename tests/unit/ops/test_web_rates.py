"""The rates of an HTTP port. Pure."""

from __future__ import annotations

import pytest

from ops.web_rates import (
    ADDRESS_UNWANTED_PER_S,
    BURST_S,
    LONGEST_S,
    OCTETS_PER_S,
    UNWANTED_PER_S,
    PortRates,
    Rate,
)


def test_a_rate() -> None:
    rate = Rate(10.0, burst_s=1.0)
    for _ in range(10):
        assert rate.wait_s(0.0) == 0.0
        rate.count(1, 0.0)
    rate.count(5, 0.0)
    assert rate.wait_s(0.0) == pytest.approx(0.5)
    assert rate.wait_s(0.5) == pytest.approx(0.0)
    rate.count(10, 100.0)
    assert rate.wait_s(100.0) == 0.0, "what was saved is a burst, and no more"
    rate.count(1, 100.0)
    assert rate.wait_s(100.0) == pytest.approx(0.1)


def test_an_address_waits_for_its_own_refusals() -> None:
    rates = PortRates()
    for _ in range(round(ADDRESS_UNWANTED_PER_S * (BURST_S + 1))):
        rates.answered("192.0.2.1", False, 0.0)
    assert rates.wait_s("192.0.2.1", 0.0) == pytest.approx(1.0)
    assert rates.wait_s("192.0.2.2", 0.0) == 0.0


def test_who_had_a_good_answer_does_not_wait_for_all_others() -> None:
    rates = PortRates()
    rates.answered("192.0.2.1", True, 0.0)
    for at in range(round(UNWANTED_PER_S * (BURST_S + 2))):
        rates.answered(f"10.0.{at // 250}.{at % 250}", False, 0.0)
    assert rates.wait_s("192.0.2.1", 0.0) == 0.0
    assert rates.wait_s("192.0.2.2", 0.0) == pytest.approx(2.0)
    rates.answered("192.0.2.1", False, 0.0)
    assert rates.wait_s("192.0.2.1", 0.0) == 0.0


def test_octets_wait() -> None:
    rates = PortRates()
    assert rates.octets_wait_s(round(OCTETS_PER_S * BURST_S), 0.0) == 0.0
    assert rates.octets_wait_s(round(OCTETS_PER_S), 0.0) == 0.0, "what has come is taken; the next one waits"
    assert rates.octets_wait_s(1, 0.0) == pytest.approx(1.0)
    rates.octets_wait_s(round(OCTETS_PER_S) * 100, 0.0)
    assert rates.octets_wait_s(1, 0.0) == LONGEST_S


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.web_rates.ADDRESSES", 10)
    rates = PortRates()
    for at in range(100):
        rates.answered(f"a{at}", False, 0.0)
        rates.answered(f"b{at}", True, 0.0)
    assert len(rates._of) == len(rates._welcome) == 10
