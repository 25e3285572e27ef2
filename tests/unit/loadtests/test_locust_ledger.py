"""The account of a flow: what is lost, doubled, out of order, or only in doubt."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.locust.books import Books
from loadtests.locust.ledger import Flow
from loadtests.locust.pdus import ANSWER, QUESTION, TEXT, write_label


def flow_of(count: int) -> Flow:
    flow = Flow("texts")
    assert [flow.offer() for _ in range(count)] == list(range(count))
    return flow


def counts(flow: Flow) -> dict[str, Any]:
    """What is not zero."""
    return {name: value for name, value in msgspec.structs.asdict(flow.account()).items() if value and name != "flow"}


def test_what_is_acknowledged_and_arrives_once_is_well() -> None:
    flow = flow_of(2)
    flow.acknowledge(0)
    assert flow.waiting == 1
    assert flow.arrive(0, 7)
    assert flow.arrive(1, 7)  # before its acknowledgement
    flow.acknowledge(1)
    assert flow.waiting == 0
    assert counts(flow) == {"offered": 2, "acknowledged": 2, "arrived": 2}


def test_acknowledged_and_gone_is_lost() -> None:
    flow = flow_of(2)
    flow.acknowledge(0)
    flow.acknowledge(0)
    assert flow.waiting == 1
    assert counts(flow) == {"offered": 2, "acknowledged": 1, "open": 2, "lost": 1}


def test_what_was_never_acknowledged_may_go_missing() -> None:
    flow = flow_of(3)
    flow.refuse(0)
    flow.doubt([1])
    assert flow.waiting == 0
    assert counts(flow) == {"offered": 3, "refused": 1, "doubtful": 1, "open": 2}


def test_told_to_have_failed_is_not_lost() -> None:
    flow = flow_of(1)
    flow.acknowledge(0)
    flow.fail(0)
    assert flow.waiting == 0
    assert counts(flow) == {"offered": 1, "acknowledged": 1, "failed": 1}


def test_twice_is_doubled_unless_it_was_in_doubt() -> None:
    flow = flow_of(2)
    flow.doubt([1])
    assert [flow.arrive(key, None) for key in (0, 0, 1, 1, 1)] == [True, False, True, False, False]
    assert counts(flow) == {"offered": 2, "doubtful": 1, "arrived": 2, "again": 2, "doubled": 1}


def test_order_counts_within_a_lane_and_for_the_first_arrival() -> None:
    flow = flow_of(5)
    flow.doubt([0])
    for key, lane in ((0, 1), (2, 1), (1, 2), (0, 1), (4, 2), (3, 2)):
        flow.arrive(key, lane)
    account = flow.account()
    assert (account.disordered, account.again) == (1, 1)  # 3 after 4; the 0 that came again says nothing


def test_without_a_lane_order_does_not_count() -> None:
    flow = flow_of(2)
    flow.arrive(1, None)
    flow.arrive(0, None)
    assert flow.account().disordered == 0


def test_what_nobody_offered_is_strange() -> None:
    flow = flow_of(1)
    assert not flow.arrive(1, 0)
    receipts = Flow("receipts")
    receipts.offer_as(3)
    receipts.offer_as(3)
    assert not receipts.arrive(2, None)
    assert receipts.arrive(3, None)
    assert flow.account().strange == receipts.account().strange == 1
    assert counts(receipts) == {"offered": 1, "arrived": 1, "strange": 1}


_steps = st.lists(
    st.tuples(st.sampled_from(["acknowledge", "refuse", "fail", "doubt", "arrive"]), st.integers(0, 4)), max_size=40
)


@given(_steps)
def test_what_waits_is_always_what_would_be_lost_now(steps: list[tuple[str, int]]) -> None:
    flow = flow_of(5)
    for what, key in steps:
        if what == "doubt":
            flow.doubt([key])
        elif what == "arrive":
            flow.arrive(key, None)
        else:
            getattr(flow, what)(key)
        assert flow.waiting == flow.account().lost


def test_books_know_their_own_texts() -> None:
    books = Books(run=0xBEEF, hub_window=10)
    text = books.write(TEXT, 42, 60)
    assert len(text) == 60
    assert books.read(text, TEXT, ANSWER) == (TEXT, 42)
    assert books.read(text, QUESTION) is None
    assert books.read(b"STOP", TEXT) is None
    assert (books.strange, books.leftovers) == (2, 0)
    assert books.read(write_label(TEXT, 0xBEEE, 42), TEXT) is None
    assert (books.strange, books.leftovers) == (2, 1)


def test_books_count_from_the_first_time_and_once() -> None:
    books = Books(run=1, hub_window=10)
    books.begin(QUESTION, 1, 5.0)
    books.begin(QUESTION, 1, 9.0)
    assert books.since(QUESTION, 1) == 5.0
    assert books.since(QUESTION, 1) is None
    assert books.accounts() == []
    books.texts.acknowledge(books.texts.offer())
    assert (books.waiting, [account.flow for account in books.accounts()]) == (1, ["texts"])
    with pytest.raises(KeyError):
        books.receipts_of(QUESTION)
