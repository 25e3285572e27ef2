"""What becomes of each request is decided by behaviour, seed and time alone."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from ops.simulators.smsc_behaviour import Act, Behaviour, Deed, Dlr, Span, Temper
from smpp.constants import CommandStatus
from smpp.receipt import ReceiptState


def deeds(behaviour: Behaviour, count: int, *, seed: int = 1, every_s: float = 0.0) -> list[Deed]:
    temper = Temper(seed)
    return [temper.judge(behaviour, number, number * every_s) for number in range(1, count + 1)]


def test_a_well_behaved_smsc_accepts_all_at_once() -> None:
    assert deeds(Behaviour(), 3) == [Deed(Act.ACCEPT)] * 3
    assert Behaviour().is_plain


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(delay=Span(0.1, 0.1)),
        Behaviour(drop_rate=0.1),
        Behaviour(error_rate=0.1),
        Behaviour(throttle_per_s=1),
        Behaviour(disconnect_after=1),
    ],
)
def test_whatever_misbehaves_is_not_plain(behaviour: Behaviour) -> None:
    assert not behaviour.is_plain


def test_one_seed_makes_one_series_and_another_seed_another() -> None:
    wild = Behaviour(drop_rate=0.2, error_rate=0.2, delay=Span(0.1, 0.4))
    assert deeds(wild, 200, seed=7) == deeds(wild, 200, seed=7)
    assert deeds(wild, 200, seed=7) != deeds(wild, 200, seed=8)


def test_rates_are_shares_of_the_requests() -> None:
    counts = Counter(deed.act for deed in deeds(Behaviour(drop_rate=0.1, error_rate=0.5), 10_000))
    assert counts[Act.DROP] == pytest.approx(1_000, rel=0.15)
    assert counts[Act.REFUSE] == pytest.approx(4_500, rel=0.1)  # half of those that were not dropped
    assert counts[Act.ACCEPT] == pytest.approx(4_500, rel=0.1)


def test_rates_of_one_spare_nobody() -> None:
    assert {deed.act for deed in deeds(Behaviour(drop_rate=1.0), 500)} == {Act.DROP}
    refused = deeds(Behaviour(error_rate=1.0, error_status=CommandStatus.ESME_RMSGQFUL), 500)
    assert refused == [Deed(Act.REFUSE, CommandStatus.ESME_RMSGQFUL)] * 500


def test_what_is_dropped_does_not_depend_on_delays() -> None:
    """Three sources of chance: a test can be narrowed down without another series of drops."""
    calm, slow = Behaviour(drop_rate=0.3), Behaviour(drop_rate=0.3, delay=Span(0.1, 0.9))
    assert [d.act for d in deeds(calm, 300)] == [d.act for d in deeds(slow, 300)]


def test_delays_lie_between_their_bounds() -> None:
    delays = [deed.delay_s for deed in deeds(Behaviour(delay=Span(0.1, 0.2)), 200)]
    assert 0.1 <= min(delays) < 0.11
    assert 0.19 < max(delays) <= 0.2
    assert {deed.delay_s for deed in deeds(Behaviour(delay=Span(0.3, 0.3)), 5)} == {0.3}


def test_above_the_rate_requests_are_throttled_until_the_second_is_over() -> None:
    acts = [deed.command_status for deed in deeds(Behaviour(throttle_per_s=3), 12, every_s=0.2)]
    busy = CommandStatus.ESME_RTHROTTLED
    # seconds begin at 0.2 s and 1.2 s and 2.2 s: five requests in each
    assert acts == [0, 0, 0, busy, busy, 0, 0, 0, busy, busy, 0, 0]


def test_the_nth_request_of_a_session_cuts_it_whatever_else() -> None:
    behaviour = Behaviour(disconnect_after=3, drop_rate=1.0)
    assert [deed.act for deed in deeds(behaviour, 3)] == [Act.DROP, Act.DROP, Act.CUT]


def test_states_come_by_their_weights() -> None:
    dlr = Dlr(states=((ReceiptState.DELIVERED, 90), (ReceiptState.UNDELIVERABLE, 10)))
    temper = Temper(3)
    counts = Counter(temper.final_state(dlr) for _ in range(5_000))
    assert counts[ReceiptState.UNDELIVERABLE] == pytest.approx(500, rel=0.2)
    assert set(counts) == {ReceiptState.DELIVERED, ReceiptState.UNDELIVERABLE}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drop_rate": 1.1}, "drop_rate is 1.1"),
        ({"error_rate": -0.1}, "error_rate is -0.1"),
        ({"throttle_per_s": -1}, "throttle_per_s is -1"),
        ({"disconnect_after": -1}, "disconnect_after is -1"),
        ({"retries": -1}, "retries is -1"),
    ],
)
def test_what_makes_no_sense_is_refused_also_on_a_change(change: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        msgspec.structs.replace(Behaviour(), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"states": ()},
        {"states": ((ReceiptState.DELIVERED, 0.0),)},
        {"states": ((ReceiptState.DELIVERED, 2.0), (ReceiptState.EXPIRED, -1.0))},
        {"date_digits": 11},
        {"repeats": -1},
        {"unsolicited_rate": 2},
    ],
)
def test_receipts_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has words of its own
        msgspec.structs.replace(Dlr(), **change)


@pytest.mark.parametrize("bounds", [(-1.0, 0.0), (0.2, 0.1), (0.0, float("inf")), (float("nan"), 1.0)])
def test_a_span_is_two_times_in_order(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no span"):
        Span(*bounds)
