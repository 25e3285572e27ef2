"""The registry over real databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from store import Store, Transaction
from threading_tokens import (
    AlreadyDesignated,
    BadChannel,
    Designation,
    ExpiredToken,
    ForeignToken,
    History,
    Resolution,
    Thread,
    ThreadArrival,
    ThreadRules,
    TokenError,
    UnknownToken,
    is_token,
    registry,
)

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 1_700_000_000_000_000
NUMBER = "+18005550100"
CUSTOMER = "+16175551212"
ALICE = Designation("address", "alice@desk.example")
BOB = Designation("login", "bob")
RULES = {
    "acme": ThreadRules(products=("Router", "Modem")),
    "other": ThreadRules(idle_us=0),
    "aged": ThreadRules(idle_us=0, max_age_us=HOUR),
}


def text(
    body: str = "hello", customer: str = CUSTOMER, call_centre: str = "acme", endpoint: str = "link:one"
) -> ThreadArrival:
    return ThreadArrival(call_centre, NUMBER, customer, endpoint, body)


class Desk:
    """The registry with a store and a clock, so that a test reads as what happens."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_us = NOW

    async def __call__(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        return await self.store.transact(lambda tx: function(tx, *arguments, **more))

    async def resolve(self, *arrivals: ThreadArrival) -> list[Resolution]:
        found: list[Resolution] = await self(registry.resolve, arrivals, RULES, self.now_us, self.store.new_id)
        return found

    async def do(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        return await self(function, *arguments, by="director", now_us=self.now_us, new_id=self.store.new_id, **more)

    async def token(self, token: str, call_centre: str = "acme") -> Thread | TokenError:
        (found,) = await self(registry.by_token, call_centre, [token])
        assert isinstance(found, Thread | TokenError)
        return found

    async def history(self, call_centre: str = "acme", **more: Any) -> History:
        found: History = await self.store.read(lambda tx: registry.history(tx, call_centre, **more))
        return found

    async def listed(self, call_centre: str | None = "acme", **more: Any) -> list[Thread]:
        return await self.store.read(lambda tx: registry.list_threads(tx, call_centre, **more))

    async def call(self, direction: str = "in", call_centre: str = "acme", **more: Any) -> Resolution:
        resolution: Resolution = await self.do(
            registry.note_call,
            call_centre,
            NUMBER,
            CUSTOMER,
            direction=direction,
            started_us=self.now_us - MINUTE,
            rules=RULES[call_centre],
            **more,
        )
        return resolution

    async def expire(self, limit: int = 100, rules: dict[str, ThreadRules] | None = None) -> list[Thread]:
        closed: list[Thread] = await self(registry.expire, rules or RULES, self.now_us, limit, self.store.new_id)
        return closed


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


# --- Messages -------------------------------------------------------------------------------------------------------


async def test_a_thread_lives_from_the_first_text_to_its_release(desk: Desk) -> None:
    (first,) = await desk.resolve(text())
    assert first.news == "new:new-address"
    assert is_token(first.thread.token)
    assert await desk.token(first.thread.token) == first.thread

    desk.now_us += HOUR
    (second,) = await desk.resolve(text(endpoint="link:two"))
    assert (second.news, second.closed) == ("", None)
    assert second.thread.id == first.thread.id
    # H22: where the customer was last, kept for the way back
    found = await desk.token(first.thread.token)
    assert isinstance(found, Thread)
    assert (found.network_endpoint, found.last_us) == ("link:two", desk.now_us)

    released = await desk.do(registry.release, "acme", first.thread.token, reason="solved")
    assert (released.closed_us, released.close_reason, released.network_endpoint) == (desk.now_us, "solved", "")
    assert isinstance(await desk.token(first.thread.token), ExpiredToken)
    assert await desk(registry.open_thread, "acme", NUMBER, CUSTOMER) is None

    (third,) = await desk.resolve(text())
    assert third.news == "new:new-address"
    assert third.thread.token != first.thread.token
    assert await desk(registry.open_thread, "acme", NUMBER, CUSTOMER) == third.thread


async def test_what_resolve_answers_is_what_is_stored(desk: Desk) -> None:
    before = await desk.resolve(text(), text("a new problem"), text("Router", customer="+16175550000"))
    after = await desk.resolve(text("modem"), text("modem", customer="+16175550000"), text("hi", customer="+1617"))
    stored = {thread.id: thread for thread in await desk.listed(open_only=False)}
    last = {resolution.thread.id: resolution.thread for resolution in [*before, *after]}
    last |= {resolution.closed.id: resolution.closed for resolution in [*before, *after] if resolution.closed}
    assert stored == last
    assert sorted(thread.close_reason for thread in stored.values()) == ["", "", "", "key-phrase", "product"]


@pytest.mark.parametrize(("later_us", "news"), [(DAY, ""), (DAY + 1, "new:elapsed")])
async def test_idle_is_exact_from_the_last_text(desk: Desk, later_us: int, news: str) -> None:
    await desk.resolve(text())
    desk.now_us += 13 * HOUR
    await desk.resolve(text())
    desk.now_us += later_us
    (resolution,) = await desk.resolve(text())
    assert resolution.news == news


async def test_an_answer_of_the_desk_begins_the_idle_time_anew(desk: Desk) -> None:
    (first,) = await desk.resolve(text())
    desk.now_us += 13 * HOUR
    await desk(registry.touch, [first.thread, first.thread], desk.now_us)
    desk.now_us += 13 * HOUR
    (second,) = await desk.resolve(text())
    assert second.thread.id == first.thread.id


async def test_touching_brings_no_thread_back_in_time_or_to_life(desk: Desk) -> None:
    (first,) = await desk.resolve(text())
    await desk(registry.touch, [first.thread], NOW - HOUR)
    await desk.do(registry.release, "acme", first.thread.token)
    await desk(registry.touch, [first.thread], NOW + HOUR)
    (thread,) = await desk.listed(open_only=False)
    assert (thread.last_us, thread.closed_us) == (NOW, NOW)


async def test_a_large_batch_of_many_pairs(desk: Desk) -> None:
    arrivals = [text(customer=f"+1617{number % 700:07}") for number in range(2_000)]
    first = await desk.resolve(*arrivals)
    assert sum(resolution.news != "" for resolution in first) == 700
    assert len({resolution.thread.token for resolution in first}) == 700
    second = await desk.resolve(*arrivals)
    assert [r.thread.id for r in second] == [r.thread.id for r in first]
    assert not any(resolution.news for resolution in second)


async def test_one_customer_with_many_numbers(desk: Desk) -> None:
    arrivals = [ThreadArrival("acme", f"+1800555{number:04}", CUSTOMER, "link:one") for number in range(50)]
    first = await desk.resolve(*arrivals)
    (again,) = await desk.resolve(arrivals[7])
    assert again.thread.id == first[7].thread.id
    assert again.news == ""


async def test_nothing_arrives(desk: Desk) -> None:
    assert await desk.resolve() == []
    assert await desk(registry.by_token, "acme", []) == []


# --- Tenants --------------------------------------------------------------------------------------------------------


async def test_call_centres_do_not_see_each_other(desk: Desk) -> None:
    mine, theirs = await desk.resolve(text(), text(call_centre="other"))
    assert mine.thread.id != theirs.thread.id
    assert isinstance(await desk.token(theirs.thread.token), ForeignToken)
    # H13: that a foreign token is closed is not told either
    await desk.do(registry.release, "other", theirs.thread.token)
    assert isinstance(await desk.token(theirs.thread.token), ForeignToken)
    for function, arguments in [
        (registry.designate, (ALICE,)),
        (registry.transfer, (ALICE,)),
        (registry.switch_channel, ("voice",)),
        (registry.release, ()),
    ]:
        with pytest.raises(ForeignToken):
            await desk.do(function, "other", mine.thread.token, *arguments)
    with pytest.raises(ForeignToken):
        await desk.history("other", token=mine.thread.token)
    assert {event.thread_id for event in (await desk.history("other", customer=CUSTOMER)).events} == {theirs.thread.id}
    assert [thread.id for thread in await desk.listed("other", open_only=False)] == [theirs.thread.id]
    assert await desk.token(mine.thread.token) == mine.thread
    assert {thread.id for thread in await desk.listed(None, open_only=False)} == {mine.thread.id, theirs.thread.id}
    assert await desk.do(registry.release_number, "other", NUMBER, reason="moved") == []
    assert await desk(registry.forget, "other", desk.now_us + 1, 10) == 1
    assert await desk.token(mine.thread.token) == mine.thread


async def test_tokens_that_name_nothing(desk: Desk) -> None:
    (resolution,) = await desk.resolve(text())
    token = resolution.thread.token
    unknown = "a" * 26
    found = await desk(registry.by_token, "acme", [unknown, token, "", "x'; --", token, token.upper()])
    assert [type(each) for each in found] == [UnknownToken, Thread, UnknownToken, UnknownToken, Thread, UnknownToken]
    with pytest.raises(UnknownToken) as caught:
        await desk.do(registry.release, "acme", unknown)
    assert unknown not in str(caught.value)


# --- The desk -------------------------------------------------------------------------------------------------------


async def test_designate_transfer_and_later_texts(desk: Desk) -> None:
    (first,) = await desk.resolve(text("Router"))
    token = first.thread.token
    given = await desk.do(registry.designate, "acme", token, ALICE, desk_label="Alice", place="Boston")
    assert given.designation == ALICE
    # H26
    (second,) = await desk.resolve(text("hello?"))
    assert (second.thread.designation, second.thread.address) == (ALICE, "alice@desk.example")
    # the same again changes nothing; somebody else has to ask for a transfer
    await desk.do(registry.designate, "acme", token, ALICE)
    with pytest.raises(AlreadyDesignated) as caught:
        await desk.do(registry.designate, "acme", token, BOB)
    assert (caught.value.kind, caught.value.value) == ("address", "alice@desk.example")
    desk.now_us += MINUTE
    moved = await desk.do(registry.transfer, "acme", token, BOB)
    assert (moved.designation, moved.desk_label, moved.address) == (BOB, "bob", "")
    await desk.do(registry.transfer, "acme", token, BOB)
    desk.now_us += MINUTE
    await desk.do(registry.release, "acme", token)

    past = await desk.history(customer=CUSTOMER)
    assert [event.kind for event in past.events] == ["released", "transferred", "designated", "opened"]
    assert past.events[1].detail == ALICE.value
    # H24: CSR, customer, product, place, time
    bob, alice = past.pairings
    assert (alice.designation, alice.desk_label, alice.product, alice.place) == (ALICE, "Alice", "Router", "Boston")
    assert (alice.customer, alice.number, alice.since_us, alice.until_us) == (CUSTOMER, NUMBER, NOW, NOW + MINUTE)
    assert (bob.designation, bob.since_us, bob.until_us) == (BOB, NOW + MINUTE, NOW + 2 * MINUTE)


async def test_transferring_what_nobody_has_designates(desk: Desk) -> None:
    (resolution,) = await desk.resolve(text())
    await desk.do(registry.transfer, "acme", resolution.thread.token, BOB)
    past = await desk.history(token=resolution.thread.token)
    assert [event.kind for event in past.events] == ["designated", "opened"]
    assert past.pairings[0].until_us == 0


async def test_one_token_over_channels(desk: Desk) -> None:
    (first,) = await desk.resolve(text())
    token = first.thread.token
    switched = await desk.do(registry.switch_channel, "acme", token, "voice")
    assert (switched.channel, switched.token) == ("voice", token)
    with pytest.raises(BadChannel):
        await desk.do(registry.switch_channel, "acme", token, "telex")
    (second,) = await desk.resolve(text())
    assert (second.thread.channel, second.thread.token) == ("sms", token)
    past = await desk.history(token=token)
    assert [(event.kind, event.channel, event.detail) for event in past.events][:2] == [
        ("channel", "sms", "voice"),
        ("channel", "voice", "sms"),
    ]


async def test_an_inbound_call_finds_the_earlier_thread(desk: Desk) -> None:
    (first,) = await desk.resolve(text())
    desk.now_us += HOUR
    call = await desk.call(csr=BOB, desk_label="Bob", duration_s=61, place="Lynn", detail="answered")
    assert call.news == ""
    assert (call.thread.id, call.thread.channel, call.thread.designation) == (first.thread.id, "voice", BOB)
    assert call.thread.network_endpoint == "link:one"
    assert await desk.token(first.thread.token) == call.thread
    past = await desk.history(token=first.thread.token)
    event = past.events[0]
    assert (event.kind, event.direction, event.duration_s, event.place, event.detail) == (
        "call",
        "in",
        61,
        "Lynn",
        "answered",
    )
    assert event.started_us == desk.now_us - MINUTE
    assert [pairing.designation for pairing in past.pairings] == [BOB]


async def test_a_call_first_and_then_a_text(desk: Desk) -> None:
    call = await desk.call("out", csr=ALICE)
    assert call.news == "new:call"
    (resolution,) = await desk.resolve(text(endpoint="link:two"))
    thread = resolution.thread
    assert (thread.id, thread.channel, thread.network_endpoint) == (call.thread.id, "sms", "link:two")
    assert thread.designation == ALICE
    with pytest.raises(ValueError, match="sideways"):
        await desk.call("sideways")


async def test_a_call_after_the_idle_time_opens_anew(desk: Desk) -> None:
    (first,) = await desk.resolve(text())
    desk.now_us += 2 * DAY
    call = await desk.call()
    assert call.news == "new:elapsed"
    assert call.closed is not None
    assert call.closed.id == first.thread.id


async def test_a_number_that_leaves_takes_its_threads_along(desk: Desk) -> None:
    first = await desk.resolve(text(), text(customer="+16175550000"))
    other = ThreadArrival("acme", "+18005550199", CUSTOMER, "link:one")
    (kept,) = await desk.resolve(other)
    closed = await desk.do(registry.release_number, "acme", NUMBER, reason="moved")
    assert {thread.id for thread in closed} == {resolution.thread.id for resolution in first}
    assert [thread.id for thread in await desk.listed()] == [kept.thread.id]


# --- Time -----------------------------------------------------------------------------------------------------------


async def test_the_sweep_closes_what_is_idle_and_leaves_what_was_touched(desk: Desk) -> None:
    idle, busy = await desk.resolve(text(), text(customer="+16175550000"))
    desk.now_us += DAY
    assert await desk.expire() == []
    await desk(registry.touch, [busy.thread], desk.now_us)
    desk.now_us += 1
    (closed,) = await desk.expire()
    assert (closed.id, closed.close_reason, closed.closed_us) == (idle.thread.id, "elapsed", desk.now_us)
    assert closed.network_endpoint == ""
    assert isinstance(await desk.token(idle.thread.token), ExpiredToken)
    assert await desk.expire() == []
    desk.now_us += DAY
    (closed,) = await desk.expire()
    assert closed.id == busy.thread.id
    assert [event.kind for event in (await desk.history(customer=CUSTOMER)).events] == ["expired", "opened"]


async def test_the_sweep_takes_the_oldest_first_and_no_more_than_it_may(desk: Desk) -> None:
    opened = []
    for number in range(7):
        desk.now_us += 1
        opened += await desk.resolve(text(customer=f"+1617555000{number}"))
    # five of them were busy since: they must not hide the others from a small sweep
    await desk(registry.touch, [resolution.thread for resolution in opened[:5]], desk.now_us + DAY)
    desk.now_us += DAY + HOUR
    closed = await desk.expire(limit=1)
    while len(closed) < 2:
        more = await desk.expire(limit=1)
        assert len(more) <= 1
        closed += more
    assert [thread.id for thread in closed] == [resolution.thread.id for resolution in opened[5:]]
    assert await desk.expire() == []


async def test_max_age_and_no_times_at_all(desk: Desk) -> None:
    aged, endless = await desk.resolve(text(call_centre="aged"), text(call_centre="other"))
    desk.now_us += HOUR
    await desk.resolve(text(call_centre="aged"))
    assert await desk.expire() == []
    desk.now_us += 1
    (closed,) = await desk.expire()
    assert (closed.id, closed.close_reason) == (aged.thread.id, "max-age")
    desk.now_us += 1_000 * DAY
    assert await desk.expire() == []
    # H38
    (resolution,) = await desk.resolve(text(call_centre="other"))
    assert resolution.thread.id == endless.thread.id


async def test_a_thread_that_is_too_old_and_idle_is_closed_once(desk: Desk) -> None:
    await desk.resolve(text(call_centre="aged"))
    desk.now_us += 3 * HOUR
    closed = await desk.expire(rules={"aged": ThreadRules(idle_us=HOUR, max_age_us=HOUR)})
    assert [thread.close_reason for thread in closed] == ["max-age"]
    assert len((await desk.history("aged", customer=CUSTOMER)).events) == 2


async def test_forgetting_keeps_what_is_open_or_young(desk: Desk) -> None:
    old, kept = await desk.resolve(text(), text(customer="+16175550000"))
    await desk.do(registry.release, "acme", old.thread.token)
    assert await desk(registry.forget, "acme", desk.now_us, 10) == 0
    assert await desk(registry.forget, "acme", desk.now_us + 1, 10) == 1
    assert isinstance(await desk.token(old.thread.token), UnknownToken)
    assert (await desk.history(customer=CUSTOMER)).events == []
    assert await desk.token(kept.thread.token) == kept.thread
    assert len((await desk.history(customer="+16175550000")).events) == 1


# --- The past -------------------------------------------------------------------------------------------------------


async def test_history_of_a_customer_over_threads_and_pages(desk: Desk) -> None:
    for body in ("one", "new problem", "a new problem", "yet a new problem"):
        desk.now_us += MINUTE
        (resolution,) = await desk.resolve(text(body))
        await desk.do(registry.designate, "acme", resolution.thread.token, ALICE)
    whole = await desk.history(customer=CUSTOMER, number=NUMBER)
    assert len(whole.events) == 11
    assert len(whole.threads) == len(whole.pairings) == 4
    assert whole.pairings[0].until_us == 0
    assert all(pairing.until_us for pairing in whole.pairings[1:])
    seen: list[int] = []
    while page := (await desk.history(customer=CUSTOMER, limit=3, before=seen[-1] if seen else 0)).events:
        assert len(page) <= 3
        seen += [event.id for event in page]
    assert seen == [event.id for event in whole.events] == sorted(seen, reverse=True)
    assert (await desk.history(customer=CUSTOMER, number="+1800")).events == []
    # of a token: its own thread only
    assert {thread.id for thread in (await desk.history(token=resolution.thread.token)).threads} == {
        resolution.thread.id
    }
    with pytest.raises(ValueError, match="token or of a customer"):
        await desk.history()


async def test_a_pairing_ends_with_the_next_even_when_that_is_on_another_page(desk: Desk) -> None:
    (resolution,) = await desk.resolve(text())
    await desk.do(registry.designate, "acme", resolution.thread.token, ALICE)
    desk.now_us += MINUTE
    await desk.do(registry.transfer, "acme", resolution.thread.token, BOB)
    newest = (await desk.history(customer=CUSTOMER)).events[0]
    page = await desk.history(customer=CUSTOMER, before=newest.id)
    assert [(pairing.designation, pairing.until_us) for pairing in page.pairings] == [(BOB, 0), (ALICE, desk.now_us)]


async def test_listing_pages(desk: Desk) -> None:
    opened = await desk.resolve(*[text(customer=f"+1617555000{number}") for number in range(5)])
    await desk.do(registry.release, "acme", opened[2].thread.token)
    ids = [resolution.thread.id for resolution in reversed(opened)]
    assert [thread.id for thread in await desk.listed(open_only=False)] == ids
    assert [thread.id for thread in await desk.listed(limit=2)] == ids[:2]
    assert [thread.id for thread in await desk.listed(limit=2, before=ids[1])] == [ids[3], ids[4]]


async def test_an_operator_finds_a_thread_by_its_id(desk: Desk) -> None:
    (resolution,) = await desk.resolve(text())
    assert await desk(registry.thread_by_id, resolution.thread.id) == resolution.thread
    assert await desk(registry.thread_by_id, 1) is None


async def test_work_that_fails_leaves_nothing(desk: Desk) -> None:
    def work(tx: Transaction) -> None:
        registry.resolve(tx, [text()], RULES, NOW, desk.store.new_id)
        raise RuntimeError("the rest of the work failed")

    with pytest.raises(RuntimeError):
        await desk.store.transact(work)
    assert await desk.listed(open_only=False) == []
    (resolution,) = await desk.resolve(text())
    assert resolution.news == "new:new-address"
