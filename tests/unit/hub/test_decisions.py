"""The pure decisions of the message path: retry, routing, parts, cursors, receipts' small print, rows and bodies."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hub.hub
from hub import journal, routing
from hub.cursors import Alarm, Cursor
from hub.model import Arrival, Concatenation, Kind, Message, Reason, Receipt, ReceiptState, ReceiptWanted, State
from hub.parts import MISSING, Whole, mended, storable, whole_of
from hub.receipts import make_receipts, upstream_ids, usable_id, wants
from hub.retry import RetryWaits, decide_retry
from tests.fixtures_hub import (
    CUSTOMER,
    FAR_AWAY,
    NUMBER,
    OTHER_NUMBER,
    SUSPENDED,
    inbound,
    make_directory,
    reply,
    transit,
)
from threading_tokens import Thread

NOW = 1_767_225_600_000_000
SECOND = 1_000_000
FAR = NOW + 10**15
DIRECTORY = make_directory()


# --- retry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "wait_s"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 320), (8, 600), (40, 600)]
)
def test_waits_double_up_to_ten_minutes(attempt: int, wait_s: int) -> None:
    middle = 20  # of the spread of 41
    assert decide_retry(attempt, 99, middle, FAR, NOW) == NOW + wait_s * SECOND


@given(
    attempt=st.integers(1, 200),
    most=st.integers(1, 200),
    message_id=st.integers(0, 2**63 - 1),
    left_us=st.integers(-SECOND, 2_000 * SECOND),
    least_us=st.integers(0, 3_000 * SECOND),
    first_us=st.integers(1, 10 * SECOND),
    longest_us=st.integers(1, 1_000 * SECOND),
)
def test_a_retry_is_within_its_bounds_or_none(
    attempt: int, most: int, message_id: int, left_us: int, least_us: int, first_us: int, longest_us: int
) -> None:
    waits = RetryWaits(first_us, longest_us)
    due = decide_retry(attempt, most, message_id, NOW + left_us, NOW, least_us, waits)
    again = decide_retry(attempt, most, message_id, NOW + left_us, NOW, least_us, waits)
    assert due == again, "no randomness"
    if due is None:
        assert attempt >= most or left_us <= max(longest_us * 1.2, least_us)
    else:
        assert attempt < most
        assert NOW + least_us <= due < NOW + left_us
        assert due - NOW <= max(longest_us * 1.2, least_us)


def test_neighbours_are_spread() -> None:
    assert len({decide_retry(1, 9, message_id, FAR, NOW) for message_id in range(1_000)}) == 41


# --- routing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrival", "answer"),
    [
        (inbound(), routing.Route("desk:help", "acme", NUMBER, CUSTOMER)),
        (inbound(destination=OTHER_NUMBER), routing.Route("desk:shy", "other", OTHER_NUMBER, CUSTOMER)),
        (inbound(destination="+16175551234"), routing.Route("desk:help", "acme", "+16175551234", CUSTOMER)),
        (inbound(destination=SUSPENDED), Reason.NO_ROUTE),
        (inbound(destination="+16185551234"), Reason.NO_ROUTE),  # in a suspended block, though a route covers it
        (inbound(source="ACME"), routing.Route("desk:help", "acme", NUMBER, "ACME")),
        (inbound(source="77377"), routing.Route("desk:help", "acme", NUMBER, "77377")),
        (inbound(source=""), Reason.BAD_SOURCE),
        (inbound(source="   "), Reason.BAD_SOURCE),
        (inbound(source="x" * 22), Reason.BAD_SOURCE),
        (inbound(source="a\nb"), Reason.BAD_SOURCE),
        (transit(), routing.Route("link:one")),
        (transit(destination="+18885550100"), routing.Route("link:two")),
        (transit(destination="77377"), routing.Route("link:one")),
        (transit(destination="+123"), Reason.BAD_DESTINATION),
        (transit(destination="+1234567890123456"), Reason.BAD_DESTINATION),
        (transit(destination="²³"), Reason.BAD_DESTINATION),
        (transit(destination="ACME"), Reason.BAD_DESTINATION),
    ],
)
def test_where_things_from_the_network_go(arrival: Arrival, answer: object) -> None:
    assert routing.decide_from_network(arrival, DIRECTORY, NOW) == answer


def thread(**fields: object) -> Thread:
    made = Thread(1, "acme", NUMBER, CUSTOMER, "token", "link:two", NOW, NOW)
    return msgspec.structs.replace(made, **fields)


@pytest.mark.parametrize(
    ("arrival", "of", "answer"),
    [
        (reply(), thread(), "link:two"),  # the way the customer came (H22)
        (reply(), thread(network_endpoint="link:gone"), "link:one"),  # a link that was removed
        (reply(), thread(network_endpoint="account:agg"), "account:agg"),
        (reply(), None, "link:one"),  # the call centre's own
        (reply(destination=FAR_AWAY), thread(), Reason.BAD_DESTINATION),
        (reply(destination="x"), None, Reason.BAD_DESTINATION),
        (reply(source=OTHER_NUMBER), None, Reason.NOT_ALLOWED),
        (reply(source=OTHER_NUMBER), thread(), "link:two"),  # the thread knows better
        (reply(source=SUSPENDED), None, Reason.BAD_SOURCE),
        (reply(source="+19995550000"), None, Reason.BAD_SOURCE),
        (reply(), thread(number=SUSPENDED), Reason.BAD_SOURCE),
    ],
)
def test_where_things_from_a_desk_go(arrival: Arrival, of: Thread | None, answer: object) -> None:
    found = routing.decide_from_desk(arrival, "acme", of, DIRECTORY, NOW)
    assert (found.endpoint if isinstance(found, routing.Route) else found) == answer


def test_a_desk_without_a_way_out() -> None:
    directory = make_directory(routes=[])
    assert routing.decide_from_desk(reply(), "other", None, directory, NOW) is Reason.NO_ROUTE
    assert routing.decide_from_desk(reply(), "nobody's", None, directory, NOW) is Reason.BAD_SOURCE


@pytest.mark.parametrize("address", ["+1", "+12345a", "12345", "+１２３４５６", "+1234567890123456", "", "+"])
def test_what_is_no_e164(address: str) -> None:
    assert not routing.is_e164(address)


# --- parts -----------------------------------------------------------------------------------------------------------


def group(texts: dict[int, str], **fields: object) -> dict[int, list[tuple[int, Arrival]]]:
    total = max(texts)
    return {
        n: [(100 + n, inbound(text, concatenation=Concatenation(1, total, n), **fields))] for n, text in texts.items()
    }


@given(st.text(st.characters(), max_size=60), st.lists(st.integers(0, 59), max_size=6))
def test_a_text_cut_anywhere_is_whole_again(text: str, cuts: list[int]) -> None:
    """Between the halves of a pair too: that is where handsets cut."""
    units = text.encode("utf-16-le", "surrogatepass")
    bounds = [0, *sorted({min(cut * 2, len(units)) for cut in cuts}), len(units)]
    pieces = [units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(bounds)]
    whole = whole_of(group(dict(enumerate(pieces, 1))), len(pieces))
    assert whole.text == mended(text)
    assert whole.concatenation is None
    whole.text.encode()


def test_missing_parts_are_marked_one_by_one() -> None:
    whole = whole_of(group({2: "b", 4: "d"}), 5)
    assert whole.text == f"{MISSING}b{MISSING}d{MISSING}"
    assert whole.attributes["missing"] == "1,3,5"


def test_every_id_of_a_part_is_told_and_the_first_text_counts() -> None:
    parts = group({1: "a", 2: "b"}, receipt_wanted=ReceiptWanted.FAILURE)
    parts[2].append((300, parts[2][0][1]))
    whole = whole_of(parts, 2)
    assert whole.text == "ab"
    assert whole.attributes["arrived"] == "101,102,300"
    assert whole.receipt_wanted is ReceiptWanted.FAILURE


def test_a_whole_knows_its_parts() -> None:
    parts = group({1: "a", 2: "b"})
    whole = Whole(("o", "s", "d", 1, 2), 9, parts, NOW)
    assert whole.has_all(parts)
    assert whole.has_all({2: parts[2]})
    assert not whole.has(1, inbound("b"))
    assert not whole.has(3, inbound("a"))


@given(st.text(st.characters()))
def test_every_text_becomes_storable(text: str) -> None:
    made = storable(inbound(text)).text
    made.encode()
    if max(text, default="") < "\ud800" or min(text, default="") > "\udfff":
        assert made == text


# --- cursors ---------------------------------------------------------------------------------------------------------


def test_a_rewound_cursor_is_behind_until_it_is_where_it_was() -> None:
    cursor = Cursor()
    cursor.resuming = False
    cursor.at = cursor.tail = 100
    assert not cursor.behind
    cursor.rewind(50)
    assert (cursor.at, cursor.tail) == (49, 100)
    assert cursor.behind
    assert cursor.readable
    cursor.rewind(70)
    assert cursor.at == 49


def test_an_alarm_rings_for_the_first_and_forgets_none() -> None:
    alarm = Alarm()
    assert not alarm.rings(10**18)
    alarm.note(5, 300)
    alarm.note(6, 200)
    assert not alarm.rings(199)
    assert alarm.rings(200)
    alarm.begin()
    alarm.note(7, 150)  # journalled while what is due was being read: not in the reading
    alarm.end((200, 6), 300)
    assert alarm.at_us == 150
    assert alarm.seen == (150, 6), "it is to be read again from before"
    alarm.note(8, 1_000)
    assert alarm.seen == (150, 6)


# --- receipts --------------------------------------------------------------------------------------------------------


def message(**fields: object) -> Message:
    settings: dict[str, object] = {
        "id": 7,
        "kind": Kind.TEXT,
        "origin": "account:agg",
        "endpoint": "link:one",
        "source": CUSTOMER,
        "destination": FAR_AWAY,
        "text": "x" * 50,
        "receipt_wanted": ReceiptWanted.FINAL,
        "received_us": NOW,
        "expires_us": FAR,
    }
    return Message(**(settings | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({}, ["7"]),
        ({"upstream_id": "stanza"}, ["stanza"]),
        ({"attributes": {"arrived": "4,5"}}, ["4", "5"]),
    ],
)
def test_the_sender_is_told_under_the_ids_it_knows(fields: dict[str, object], ids: list[str]) -> None:
    told = make_receipts(message(**fields), ReceiptState.DELIVERED, "000", NOW, iter(range(1, 9)).__next__, lambda _: 5)
    assert upstream_ids(message(**fields)) == ids
    assert [m.receipt.message_id for m in told if m.receipt] == ids
    assert [(m.endpoint, m.source, m.destination, m.kind) for m in told] == [
        ("account:agg", FAR_AWAY, CUSTOMER, Kind.RECEIPT)
    ] * len(ids)
    assert all(m.receipt and m.receipt.text == "x" * 20 and m.expires_us == NOW + 5 for m in told)


@pytest.mark.parametrize("state", list(ReceiptState))
@pytest.mark.parametrize("wanted", list(ReceiptWanted))
def test_who_wants_what(state: ReceiptState, wanted: ReceiptWanted) -> None:
    expected = wanted is ReceiptWanted.FINAL or (
        wanted is ReceiptWanted.FAILURE and state is not ReceiptState.DELIVERED
    )
    assert wants(message(receipt_wanted=wanted), state) == expected
    assert not wants(message(receipt_wanted=wanted, kind=Kind.RECEIPT), state)


@pytest.mark.parametrize(
    ("carrier_id", "kept"),
    [("abc", "abc"), ("", ""), ("a\x00b", ""), ("\udc80", ""), ("x" * 100, "x" * 80), ("é", "é")],
)
def test_which_ids_are_kept(carrier_id: str, kept: str) -> None:
    assert usable_id(carrier_id) == kept


# --- rows and bodies -------------------------------------------------------------------------------------------------

stored_text = st.text(st.characters(exclude_categories=["Cs"]))
words = st.dictionaries(stored_text, stored_text, max_size=3)
receipt_values = st.builds(
    Receipt,
    stored_text,
    st.sampled_from(ReceiptState),
    stored_text,
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    stored_text,
)


@given(
    st.builds(
        Message,
        id=st.integers(1, 2**63 - 1),
        kind=st.sampled_from(Kind),
        origin=stored_text,
        endpoint=stored_text,
        source=stored_text,
        destination=stored_text,
        text=stored_text,
        data=st.none() | st.binary(),
        receipt=st.none() | receipt_values,
        receipt_wanted=st.sampled_from(ReceiptWanted),
        upstream_id=stored_text,
        received_us=st.integers(0, 2**62),
        expires_us=st.integers(0, 2**62),
        not_before_us=st.integers(0, 2**62),
        call_centre=stored_text,
        thread_id=st.integers(0, 2**63 - 1),
        token=stored_text,
        designation=stored_text,
        thread_news=stored_text,
        attributes=words,
    )
)
def test_a_message_is_the_same_after_its_row(made: Message) -> None:
    row = journal.row_of(made, State.QUEUED)
    assert len(row) == len(journal.MESSAGE_COLUMNS)
    assert "\x00" not in row[20], "PostgreSQL takes no NUL"
    assert journal.message_of(row) == made
    assert journal.standing_of(row).next_us == made.not_before_us


@given(
    st.builds(
        Arrival,
        source=stored_text,
        destination=stored_text,
        text=st.text(st.characters()),  # a part may end in half a pair
        concatenation=st.none()
        | st.builds(Concatenation, st.integers(0, 65_535), st.integers(1, 255), st.integers(1, 255)),
        receipt_wanted=st.sampled_from(ReceiptWanted),
        attributes=words,
    )
)
def test_an_arrival_is_the_same_after_its_body(made: Arrival) -> None:
    body = journal.arrival_body(made)
    body.encode()
    assert "\x00" not in body
    assert journal.arrival_of(body) == made


# --- time ------------------------------------------------------------------------------------------------------------


def test_the_hubs_clock_goes_on_when_the_machines_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes wait for times: an hour back must not be an hour's standstill. Forward it follows."""
    wall, steady = [NOW * 1_000], [0]

    class Times:
        time_ns = staticmethod(lambda: wall[0])
        monotonic_ns = staticmethod(lambda: steady[0])

    monkeypatch.setattr(hub.hub, "time", Times)
    clock = hub.hub.Clock()
    assert clock() == NOW
    steady[0] += 5_000_000_000
    wall[0] -= 3_600_000_000_000
    assert clock() == NOW + 5 * SECOND
    steady[0] += 1_000_000_000
    assert clock() == NOW + 6 * SECOND
    wall[0] = (NOW + 100 * SECOND) * 1_000
    assert clock() == NOW + 100 * SECOND
