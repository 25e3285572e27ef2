"""Intake over both stores: parts, threads, tokens, tenants, refusals, a store that does not take it."""

from __future__ import annotations

import itertools

import pytest
import trio

from hub import (
    Accepted,
    Concatenation,
    Outcome,
    Reason,
    ReceiptState,
    ReceiptWanted,
    Rejected,
    Result,
    State,
    TryLater,
    Verdict,
)
from provisioning import CallCentre
from store import StoreFull, StoreUnavailable
from tests.fixtures_hub import (
    CUSTOMER,
    EPOCH_US,
    FAR_AWAY,
    NUMBER,
    OTHER_NUMBER,
    SECOND,
    SUSPENDED,
    Clock,
    World,
    inbound,
    make_directory,
    replaced,
    reply,
    transit,
)

# A character of every plane that has any, what JSON and C treat apart, and combining sequences.
EVERY_PLANE = "\x00\x01\x1f\x7f\x85\u2028\ufeff\ufffe\uffff" + "".join(chr(plane << 16 | 0x1234) for plane in range(17))
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


def part(text: str, number: int, total: int, reference: int = 7, **fields: object) -> object:
    return inbound(text, concatenation=Concatenation(reference, total, number), **fields)


def tokens(verdicts: list[Verdict]) -> list[str]:
    assert all(isinstance(verdict, Accepted) for verdict in verdicts), verdicts
    return [verdict.token for verdict in verdicts if isinstance(verdict, Accepted)]


def reasons(verdicts: list[Verdict]) -> list[Reason]:
    assert all(isinstance(verdict, Rejected) for verdict in verdicts), verdicts
    return [verdict.reason for verdict in verdicts if isinstance(verdict, Rejected)]


def with_all(world: World) -> World:
    for name in ("link:one", "link:two", "account:agg", "desk:help", "desk:shy"):
        world.add(name)
    return world


# --- texts in parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
@pytest.mark.parametrize("at_once", [True, False])
async def test_parts_in_any_order_make_one_text(
    world: World, fast_clock: Clock, order: tuple[int, ...], at_once: bool
) -> None:
    with_all(world)
    texts = {1: "Hello ", 2: "cruel ", 3: "world"}
    arrivals = [part(texts[n], n, 3) for n in order]
    async with world.running():
        await world.settled()
        if at_once:
            verdicts = await world.receive("link:one", *arrivals)
        else:
            verdicts = [(await world.receive("link:one", arrival))[0] for arrival in arrivals]
        assert len({v.message_id for v in verdicts if isinstance(v, Accepted)}) == 3
        desk = world.endpoints["desk:help"]
        await world.until(desk.texts)
        await trio.sleep(1)
    assert desk.texts() == ["Hello cruel world"]


async def test_repetitions_of_a_part_count_once(any_world: World, fast_clock: Clock) -> None:
    world = with_all(any_world)
    async with world.running(part_wait_us=20 * SECOND):
        await world.settled()
        await world.receive("link:one", part("a", 1, 2), part("a", 1, 2))
        await world.receive("link:one", part("a", 1, 2))
        await world.receive("link:one", part("b", 2, 2), part("b", 2, 2))
        await world.receive("link:one", part("b", 2, 2))  # its answer was lost: it comes alone, after all is done
        desk = world.endpoints["desk:help"]
        await world.until(desk.texts)
        await trio.sleep(60)
    assert desk.texts() == ["ab"]


async def test_a_late_repetition_does_not_meet_the_next_text(world: World, fast_clock: Clock) -> None:
    """A sender that always uses one reference: the repeated part of the last text is none of the next."""
    with_all(world)
    async with world.running(part_wait_us=20 * SECOND):
        await world.settled()
        await world.receive("link:one", part("a", 1, 2), part("b", 2, 2))
        await world.receive("link:one", part("b", 2, 2))
        await world.receive("link:one", part("c", 1, 2))
        await world.receive("link:one", part("d", 2, 2))
        desk = world.endpoints["desk:help"]
        await world.until(lambda: len(desk.texts()) == 2)
        await trio.sleep(60)
    assert desk.texts() == ["ab", "cd"]


async def test_a_text_that_comes_whole_again_is_not_swallowed(world: World, fast_clock: Clock) -> None:
    """Whether the sender repeats it or writes the same once more, nobody knows; nothing is lost."""
    with_all(world)
    async with world.running():
        await world.settled()
        for _ in range(2):
            await world.receive("link:one", part("a", 1, 2))
            await world.receive("link:one", part("b", 2, 2))
        desk = world.endpoints["desk:help"]
        await world.until(lambda: len(desk.texts()) == 2)
    assert desk.texts() == ["ab", "ab"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_another_text_under_the_same_number_is_a_new_text(
    any_world: World, fast_clock: Clock, at_once: bool
) -> None:
    world = with_all(any_world)
    arrivals = [part("one ", 1, 2, 0), part("two ", 1, 2, 0), part("three", 2, 2, 0)]
    async with world.running():
        await world.settled()
        if at_once:
            await world.receive("link:one", *arrivals)
        else:
            for arrival in arrivals:
                await world.receive("link:one", arrival)
        desk = world.endpoints["desk:help"]
        await world.until(lambda: len(desk.texts()) == 2)
    assert desk.texts() == ["one […]", "two three"]
    assert [r.destination for r in await world.texts()] == [NUMBER, NUMBER]


async def test_parts_of_different_texts_do_not_meet(world: World, fast_clock: Clock) -> None:
    with_all(world)
    async with world.running(part_wait_us=5 * SECOND):
        await world.settled()
        await world.receive("link:one", part("a1", 1, 2))
        await world.receive("link:two", part("b2", 2, 2))  # another origin
        await world.receive("link:one", part("c2", 2, 2, reference=8))  # another reference
        await world.receive("link:one", part("d2", 2, 3))  # another total
        await world.receive("link:one", part("e2", 2, 2, source="+12025550001"))  # another sender
        await world.receive("link:one", part("f2", 2, 2, destination="+16175550042"))  # another recipient
        desk = world.endpoints["desk:help"]
        await world.until(lambda: len(desk.texts()) == 6)
    assert sorted(desk.texts()) == sorted(["a1[…]", "[…]b2", "[…]c2", "[…]d2[…]", "[…]e2", "[…]f2"])


async def test_missing_parts_are_marked_when_the_wait_ends(any_world: World, fast_clock: Clock) -> None:
    world = with_all(any_world)
    async with world.running(part_wait_us=100 * SECOND):
        await world.settled()
        start = world.now_us()
        await world.receive("link:one", part("c", 3, 4))
        await world.receive("link:one", part("a", 1, 4))
        desk = world.endpoints["desk:help"]
        await world.until(desk.texts)
        await world.receive("link:one", part("b", 2, 4))  # too late for that text
    assert desk.texts() == ["a[…]c[…]"]
    assert desk.given[0][1].message.attributes["missing"] == "2,4"
    assert desk.given[0][0] - start >= 100 * SECOND
    assert world.hub.counters.events["incomplete", "link:one"] == 1


async def test_waiting_parts_survive_a_restart(any_world: World, fast_clock: Clock) -> None:
    world = with_all(any_world)
    async with world.running():
        await world.settled()
        await world.receive("link:one", part("a", 1, 2))
    async with world.running():
        await world.settled()
        await world.receive("link:one", part("b", 2, 2))
        await world.until(world.endpoints["desk:help"].texts)
    assert world.endpoints["desk:help"].texts() == ["ab"]


async def test_a_surrogate_pair_cut_between_parts_is_whole_again(any_world: World, fast_clock: Clock) -> None:
    world = with_all(any_world)
    high, low = "\ud83d", "\ude00"
    async with world.running(part_wait_us=5 * SECOND):
        await world.settled()
        await world.receive("link:one", part(f"smile {high}", 1, 2))
        await world.receive("link:one", part(f"{low}!", 2, 2))
        await world.receive("link:one", part(f"half {high}", 1, 2, reference=8))
        desk = world.endpoints["desk:help"]
        await world.until(lambda: len(desk.texts()) == 2)
    assert desk.texts() == ["smile \U0001f600!", "half \ufffd[…]"]


async def test_a_text_in_parts_that_lost_its_way_is_a_dead_letter(world: World, fast_clock: Clock) -> None:
    """Its parts were acknowledged: it must not vanish."""
    with_all(world)
    async with world.running(part_wait_us=5 * SECOND) as hub:
        await world.settled()
        await world.receive("link:one", part("a", 1, 2, receipt_wanted=ReceiptWanted.FINAL))
        hub.directory = make_directory(numbers=[], blocks=[], routes=[])
        await world.until(world.endpoints["link:one"].receipts)
    (row,) = await world.texts()
    assert (State(row.state), row.reason) == (State.DEAD, "no-route")
    assert world.endpoints["link:one"].receipts()[0].state is ReceiptState.UNDELIVERABLE


async def test_each_part_has_its_receipt(world: World, fast_clock: Clock) -> None:
    with_all(world)
    async with world.running():
        await world.settled()
        verdicts = [
            *await world.receive("link:one", part("a", 1, 2, receipt_wanted=ReceiptWanted.FINAL)),
            *await world.receive("link:one", part("b", 2, 2, receipt_wanted=ReceiptWanted.FINAL)),
        ]
        carrier = world.endpoints["link:one"]
        await world.until(lambda: len(carrier.receipts()) == 2)
    assert sorted(r.message_id for r in carrier.receipts()) == sorted(
        str(v.message_id) for v in verdicts if isinstance(v, Accepted)
    )


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", EVERY_PLANE, FAMILY, "x" * 39_015], ids=["empty", "planes", "family", "long"])
async def test_texts_go_through_as_they_came(any_world: World, fast_clock: Clock, text: str) -> None:
    world = with_all(any_world)
    desk = world.endpoints["desk:help"]
    desk.characters, desk.window = 100_000, 0
    async with world.running():
        await world.receive("link:one", inbound(text))
        await world.receive("link:one", part(text, 1, 2))
        await world.receive("link:one", part("!", 2, 2))
    desk.window = 10
    async with world.running():  # and through the store
        await world.until(lambda: len(desk.texts()) == 2)
    assert desk.texts() == [text, text + "!"]


async def test_half_a_pair_in_a_text_that_came_whole_becomes_a_replacement(world: World, fast_clock: Clock) -> None:
    with_all(world)
    async with world.running():
        await world.settled()
        tokens(await world.receive("link:one", inbound("half \ud83d"), inbound("fine")))
        await world.until(lambda: len(world.endpoints["desk:help"].texts()) == 2)
    assert sorted(world.endpoints["desk:help"].texts()) == ["fine", "half \ufffd"]


async def test_a_text_may_be_too_long(world: World, fast_clock: Clock) -> None:
    with_all(world)
    async with world.running():
        assert reasons(await world.receive("link:one", inbound("x" * 39_016))) == [Reason.TOO_LONG]


async def test_octets_travel_in_transit_and_have_no_place_in_a_conversation(
    any_world: World, fast_clock: Clock
) -> None:
    world = with_all(any_world)
    octets = bytes(range(256))
    link = world.endpoints["link:one"]
    link.window = 0
    async with world.running():
        assert reasons(await world.receive("link:one", inbound("", data=octets))) == [Reason.BAD_TEXT]
        tokens(await world.receive("account:agg", transit("", data=octets)))
    async with world.running() as hub:
        link.come_back(hub)
        await world.until(lambda: link.given)
    assert link.given[0][1].message.data == octets


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "arrival", "reason"),
    [
        ("account:agg", transit(source=""), Reason.BAD_SOURCE),
        ("account:agg", transit(source="x" * 22), Reason.BAD_SOURCE),
        ("account:agg", transit(source="a\x00b"), Reason.BAD_SOURCE),
        ("account:agg", transit(destination=""), Reason.BAD_DESTINATION),
        ("account:agg", transit(destination="hello"), Reason.BAD_DESTINATION),
        ("account:agg", transit(destination="+1234567890123456"), Reason.BAD_DESTINATION),
        ("account:agg", transit(destination="+٤٤٧٧٠٠٩٠٠١٢٣"), Reason.BAD_DESTINATION),
        ("account:agg", transit(destination=SUSPENDED), Reason.NO_ROUTE),
        ("account:agg", transit(destination="+16185550123"), Reason.NO_ROUTE),
        ("link:one", inbound(destination=SUSPENDED), Reason.NO_ROUTE),
        ("link:one", inbound(destination=FAR_AWAY), Reason.NO_ROUTE),  # back to where it came from
        ("desk:help", reply(destination="nobody"), Reason.BAD_DESTINATION),
        ("desk:help", reply(source=OTHER_NUMBER), Reason.NOT_ALLOWED),
        ("desk:help", reply(source=SUSPENDED), Reason.BAD_SOURCE),
        ("desk:help", reply(source="+15550000000"), Reason.BAD_SOURCE),
    ],
)
async def test_what_cannot_go_is_refused_and_not_written(
    world: World, fast_clock: Clock, origin: str, arrival: object, reason: Reason
) -> None:
    with_all(world)
    async with world.running():
        await world.settled()
        assert reasons(await world.receive(origin, arrival)) == [reason]
        assert world.hub.counters.refusals[origin, reason.value] == 1
    assert await world.rows() == []


async def test_nobody_serves_the_route(world: World, fast_clock: Clock) -> None:
    for name in ("account:agg", "link:one"):
        world.add(name)
    async with world.running():
        await world.settled()
        verdicts = await world.receive("account:agg", transit(destination="+18885550000"), transit(), inbound())
    assert reasons([verdicts[0], verdicts[2]]) == [Reason.NO_ROUTE, Reason.NO_ROUTE]
    assert isinstance(verdicts[1], Accepted)


@pytest.mark.parametrize("error", [StoreFull("full"), StoreUnavailable("away")])
@pytest.mark.parametrize("arrival", [transit(), inbound(), part("a", 1, 2)], ids=["plain", "thread", "part"])
async def test_a_store_that_takes_nothing_is_told_as_try_later(
    world: World, fast_clock: Clock, error: Exception, arrival: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_all(world)

    async def refuse(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    async with world.running() as hub:
        await world.settled()
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "commit", refuse)
            broken.setattr(world.store, "transact", refuse)
            (verdict,) = await world.receive("account:agg", arrival)
            assert isinstance(verdict, TryLater)
            assert (verdict.after_s >= 5) == isinstance(error, StoreFull)
        assert await world.rows() == []
        assert all(s.held == 0 and s.lanes == 0 and not s.behind for s in hub.statistics().values())
        assert isinstance((await world.receive("account:agg", transit("after")))[0], Accepted)
        await world.until(world.endpoints["link:one"].texts)
    assert world.endpoints["link:one"].texts() == ["after"]


async def test_a_desk_is_told_to_try_later_when_threads_cannot_be_read(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_all(world)

    async def refuse(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise StoreUnavailable("away")

    async with world.running():
        await world.settled()
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "read", refuse)
            verdicts = await world.receive("desk:help", reply(), reply())
        assert [type(verdict) for verdict in verdicts] == [TryLater, TryLater]


async def test_a_commit_that_nobody_answered_for_is_looked_for(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection was lost while the commit was under way, and it was written after all."""
    with_all(world)
    commit = world.store.commit

    async def doubtful(ops: object) -> None:
        await commit(ops)  # type: ignore[arg-type]
        raise StoreUnavailable("cut", in_doubt=True)

    async with world.running() as hub:
        await world.settled()
        world.endpoints["link:one"].window = 0
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "commit", doubtful)
            (verdict,) = await world.receive("account:agg", transit("written", not_before_us=0))
            (later,) = await world.receive("account:agg", transit("due", not_before_us=world.now_us() + 50 * SECOND))
        assert isinstance(verdict, TryLater)
        assert isinstance(later, TryLater)
        world.endpoints["link:one"].come_back(hub)
        await world.until(lambda: len(world.endpoints["link:one"].texts()) == 2)
    assert world.endpoints["link:one"].texts() == ["written", "due"]


async def test_a_cancelled_receive_is_settled_all_the_same(world: World, fast_clock: Clock) -> None:
    """The session died while the journal wrote: what is in the journal is sent, not forgotten until a restart."""
    with_all(world)
    async with world.running() as hub:
        await world.settled()
        for arrival in (transit("plain"), part("a", 1, 2, destination=FAR_AWAY), part("b", 2, 2, destination=FAR_AWAY)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.receive, "account:agg", arrival)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        await world.until(lambda: len(world.endpoints["link:one"].texts()) == 2)
        await world.until(lambda: hub.statistics()["link:one"].held == 0)
        with trio.CancelScope() as scope:
            scope.cancel()
            await world.receive("account:agg", transit("never"))
        assert scope.cancelled_caught
    assert world.endpoints["link:one"].texts() == ["plain", "ab"]
    assert len(await world.texts()) == 2


# --- threads ---------------------------------------------------------------------------------------------------------


async def test_a_conversation_in_one_thread(any_world: World, fast_clock: Clock) -> None:
    world = with_all(any_world)
    desk, link, two = (world.endpoints[name] for name in ("desk:help", "link:one", "link:two"))
    async with world.running():
        await world.settled()
        (token,) = tokens(await world.receive("link:two", inbound("hello")))
        assert token
        assert tokens(await world.receive("link:two", inbound("again"))) == [token]
        assert tokens(await world.receive("desk:help", reply("yes?", token=token))) == [token]
        assert tokens(await world.receive("desk:help", reply("no token"))) == [token]
        await world.until(lambda: len(desk.texts()) == 2 and len(two.texts()) == 2)
    first, second = (p.message for _, p in desk.given)
    assert (first.thread_news, second.thread_news) == ("new:new-address", "")
    assert (first.token, first.call_centre, first.source, first.destination) == (token, "acme", CUSTOMER, NUMBER)
    answer = two.given[0][1].message
    assert (answer.source, answer.destination, answer.thread_id) == (NUMBER, CUSTOMER, first.thread_id)
    assert link.texts() == [], "both directions keep the same endpoints (H22)"


@pytest.mark.parametrize(
    ("text", "wait_s", "news"),
    [
        ("and another thing", 10, ""),
        ("I have a NEW problem", 10, "new:key-phrase"),
        ("my Router is dead", 10, ""),  # the first product named in a thread that has none becomes the thread's
        ("hello again", 300, "new:"),  # elapsed; or an address without thread, once housekeeping has ended the old one,
    ],
)
async def test_when_a_thread_is_new(world: World, fast_clock: Clock, text: str, wait_s: int, news: str) -> None:
    world.directory = make_directory(
        call_centres=[CallCentre(name="acme", default_number=NUMBER, idle_s=200.0, products=("Router", "Modem"))],
    )
    with_all(world)
    async with world.running():
        await world.settled()
        (old,) = tokens(await world.receive("link:one", inbound("hello")))
        await trio.sleep(wait_s)
        (token,) = tokens(await world.receive("link:one", inbound(text)))
        assert (token != old) == bool(news)
        desk = world.endpoints["desk:help"]
        await world.until(lambda: len(desk.texts()) == 2)
        said = desk.given[1][1].message.thread_news
        assert said == news or (news == "new:" and said in ("new:elapsed", "new:new-address"))
        if news:
            assert reasons(await world.receive("desk:help", reply(token=old))) == [Reason.EXPIRED_TOKEN]


async def test_another_product_opens_a_thread(world: World, fast_clock: Clock) -> None:
    world.directory = make_directory(
        call_centres=[CallCentre(name="acme", default_number=NUMBER, products=("Router", "Modem"))],
    )
    with_all(world)
    async with world.running():
        await world.settled()
        batch = await world.receive("link:one", inbound("my Router"), inbound("it is dead"), inbound("the Modem too"))
        first, second, third = tokens(batch)
        assert first == second != third


async def test_tokens_of_nothing_and_of_others(any_world: World, fast_clock: Clock) -> None:
    """A desk learns nothing of another's threads; one that is set so is not even told that they exist (H13)."""
    world = with_all(any_world)
    async with world.running():
        await world.settled()
        (acme,) = tokens(await world.receive("link:one", inbound()))
        (other,) = tokens(await world.receive("link:one", inbound(destination=OTHER_NUMBER)))
        assert acme != other, "tenants are apart, for one customer too"
        assert reasons(
            await world.receive("desk:help", reply(token="a" * 26), reply(token="?"), reply(token=other))
        ) == [Reason.UNKNOWN_TOKEN, Reason.UNKNOWN_TOKEN, Reason.FOREIGN_TOKEN]
        assert reasons(await world.receive("desk:shy", reply(token=acme))) == [Reason.UNKNOWN_TOKEN]
        assert reasons(await world.receive("desk:help", reply(token=acme, destination=FAR_AWAY))) == [
            Reason.BAD_DESTINATION
        ]
        assert tokens(await world.receive("desk:shy", reply(token=other, source=NUMBER))) == [other]
        await world.until(world.endpoints["link:one"].texts)
        assert world.endpoints["link:one"].given[0][1].message.source == "OTHER", "H29: the origin is the tenant's"


async def test_the_csr_writes_first(any_world: World, fast_clock: Clock) -> None:
    world = with_all(any_world)
    async with world.running():
        await world.settled()
        (token,) = tokens(
            await world.receive("desk:help", reply("your order is here", FAR_AWAY, attributes={"from": "ann@help"}))
        )
        link, desk = world.endpoints["link:one"], world.endpoints["desk:help"]
        await world.until(link.texts)
        sent = link.given[0][1].message
        assert (sent.source, sent.destination, sent.thread_news) == (NUMBER, FAR_AWAY, "new:outbound")
        assert tokens(await world.receive("link:one", inbound("thanks", source=FAR_AWAY))) == [token]
        await world.until(desk.texts)
        assert desk.given[0][1].message.designation == "ann@help", "the answer reaches who wrote (H26)"


async def test_a_reply_goes_round_a_link_that_was_removed(world: World, fast_clock: Clock) -> None:
    with_all(world)
    async with world.running() as hub:
        await world.settled()
        (token,) = tokens(await world.receive("link:two", inbound()))
        hub.directory = make_directory(links=list(make_directory().links.values())[:1])
        tokens(await world.receive("desk:help", reply(token=token)))
        await world.until(world.endpoints["link:one"].texts)


@pytest.mark.parametrize(
    ("origin", "value", "seen"),
    [("number", "", NUMBER), ("business", "ACME", "ACME"), ("fixed", "77377", "77377"), ("product", "Acme", "Router")],
)
async def test_the_origin_is_a_setting_of_the_call_centre(
    world: World, fast_clock: Clock, origin: str, value: str, seen: str
) -> None:
    """H29: the same whichever CSR answers."""
    world.directory = make_directory(
        call_centres=[CallCentre(name="acme", origin=origin, origin_value=value, products=("Router",))]
    )
    with_all(world)
    link = world.endpoints["link:one"]
    async with world.running():
        await world.settled()
        (token,) = tokens(await world.receive("link:one", inbound("my Router")))
        for csr in ("ann", "bob"):
            tokens(await world.receive("desk:help", reply(token=token, attributes={"from": f"{csr}@help"})))
        await world.until(lambda: len(link.texts()) == 2)
    assert {p.message.source for _, p in link.given} == {seen}


async def test_numbers_of_a_block_belong_to_its_call_centre(world: World, fast_clock: Clock) -> None:
    with_all(world)
    async with world.running():
        await world.settled()
        tokens(await world.receive("link:one", inbound(destination="+16175551234")))
        await world.until(world.endpoints["desk:help"].texts)


async def test_order_of_ids_is_order_of_commits_under_backpressure(tmp_path: object, fast_clock: Clock) -> None:
    """Many at once, against a store that lets in few: what is given out first is written first."""
    from tests.fixtures_hub import opened_world

    url = f"sqlite:///{tmp_path}/tight.db"
    async with opened_world(url, fast_clock, synchronous="OFF", max_pending_rows=4) as world:
        with_all(world)
        link = world.endpoints["link:one"]
        async with world.running():
            await world.settled()
            async with trio.open_nursery() as nursery:
                for n in range(200):
                    origin = "account:agg" if n % 3 else "link:two"
                    arrival = transit(str(n)) if n % 3 else part(f"{n}", 1 + n % 2, 2, n, destination=FAR_AWAY)
                    nursery.start_soon(world.receive, origin, arrival)
            await world.until(lambda: len(link.texts()) == sum(1 for n in range(200) if n % 3))
    ids = [p.message.id for _, p in link.given]
    assert ids == sorted(ids)
    assert all(p.message.received_us >= EPOCH_US for _, p in link.given)


async def test_a_refused_outcome_of_a_part_is_told_under_each_id(world: World, fast_clock: Clock) -> None:
    with_all(world)
    world.endpoints["desk:help"].script = lambda p: Outcome(p, Result.REFUSED, reason="gone")
    wanting = part("a", 1, 2, receipt_wanted=ReceiptWanted.FAILURE)
    async with world.running():
        await world.settled()
        await world.receive("link:one", wanting)
        await world.receive("link:one", replaced(wanting, text="b", concatenation=Concatenation(7, 2, 2)))  # type: ignore[arg-type]
        link = world.endpoints["link:one"]
        await world.until(lambda: len(link.receipts()) == 2)
    assert {r.state for r in link.receipts()} == {ReceiptState.UNDELIVERABLE}
