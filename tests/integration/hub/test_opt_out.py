"""Opting out over both stores: words come in by links and accounts, answers of desks and texts of accounts go out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy
import trio
from trio.testing import MockClock as Clock

from hub import (
    Accepted,
    Concatenation,
    Outcome,
    Part,
    Reason,
    ReceiptState,
    Rejected,
    Result,
    State,
    history,
    operations,
    opt_out_follower,
    opt_out_ledger,
)
from hub.model import ReceiptWanted
from hub.opt_out import Entry
from hub.opt_out_follower import ENDED
from hub.opt_out_guard import OptOuts
from hub.opt_out_ledger import Change
from hub.tables import feed as feed_table
from provisioning import CallCentre, Group, Number
from store import Transaction
from tests.fixtures_hub import (
    CUSTOMER,
    DAY,
    EPOCH_US,
    FAR_AWAY,
    NUMBER,
    OTHER_NUMBER,
    RATE,
    SECOND,
    World,
    accept,
    inbound,
    make_directory,
    reply,
    transit,
)

SECOND_NUMBER = "+18005550101"
OUT = "Acme Ltd: You are opted out and will get no more texts. Reply START to opt in again."


def directory(*, groups: Any = (), **acme: Any) -> Any:
    centres = [
        CallCentre(name="acme", title="Acme Ltd", default_number=NUMBER, default_link="link:one", **acme),
        CallCentre(name="other", default_number=OTHER_NUMBER, origin="business", origin_value="OTHER"),
    ]
    numbers = [
        Number(number=NUMBER, call_centre="acme"),
        Number(number=SECOND_NUMBER, call_centre="acme"),
        Number(number=OTHER_NUMBER, call_centre="other"),
    ]
    return make_directory(call_centres=centres, numbers=numbers, groups=groups)


class Scene:
    """A world with a link, a desk for each call centre, and an account.

    Attributes:
        world: the world.
        link, desk, shy, account: its endpoints.
    """

    def __init__(self, world: World, **acme: Any) -> None:
        self.world = world
        world.directory = directory(**acme)
        self.link = world.add("link:one")
        self.desk = world.add("desk:help")
        self.shy = world.add("desk:shy")
        self.account = world.add("account:agg")

    async def customer(self, text: str, number: str = NUMBER, customer: str = CUSTOMER, **fields: Any) -> None:
        """A customer writes; their text reaches the desk."""
        before = len(self.desk.given) + len(self.shy.given)
        arrival = inbound(text, customer, number, **fields)
        [verdict] = await self.world.receive("link:one", arrival)
        assert isinstance(verdict, Accepted)
        await self.world.until(lambda: len(self.desk.given) + len(self.shy.given) > before)

    async def answer(
        self, text: str = "hello", customer: str = CUSTOMER, desk: str = "desk:help", **fields: Any
    ) -> Any:
        [verdict] = await self.world.receive(desk, reply(text, customer, **fields))
        return verdict

    async def submit(self, source: str = NUMBER, destination: str = CUSTOMER, **fields: Any) -> Any:
        [verdict] = await self.world.receive("account:agg", transit("offer", destination, source, **fields))
        return verdict

    async def sent(self, count: int) -> list[str]:
        """What the customers got, once it is so much."""
        await self.world.until(lambda: len(self.link.given) >= count)
        return self.link.texts()

    async def audit(self) -> list[tuple[str, str, str, str]]:
        lines = await self.world.store.read(lambda tx: opt_out_ledger.changes_after(tx, 0, 1000))
        return [(line.action, line.number, line.customer, line.how) for line in lines]

    async def followed(self, number: int) -> None:
        """Wait until the audit's lines up to this one are worked off."""
        with trio.fail_after(60 * RATE):
            while await self.world.store.read(lambda tx: opt_out_ledger.position(tx, ENDED)) < number:  # noqa: ASYNC110
                await trio.sleep(0.5)

    async def events(self, *words: str) -> list[list[Any]]:
        def read(tx: Transaction) -> list[Any]:
            return list(tx.sql.execute(sqlalchemy.select(feed_table.c.events).order_by(feed_table.c.id)).scalars())

        found = [event for row in await self.world.store.read(read) for event in msgspec.json.decode(row)["e"]]
        return [event for event in found if event[0] in words]

    async def change(self, *changes: Change) -> None:
        """Change the ledger as another process does."""

        def work(tx: Transaction) -> None:
            opt_out_ledger.lock(tx)
            opt_out_ledger.record(tx, changes, self.world.now_us())

        await self.world.store.transact(work)


def changed(action: Any, number: str = NUMBER, customer: str = CUSTOMER, since_us: int = EPOCH_US) -> Change:
    return Change(action, Entry(number, customer, action == "out", since_us, "operator", "cli:ann"), "asked by phone")


def refused(verdict: Any) -> bool:
    return isinstance(verdict, Rejected) and verdict.reason is Reason.OPTED_OUT


async def test_a_stop_is_confirmed_once_and_then_obeyed(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        await scene.customer("I need help with my order")
        assert isinstance(await scene.answer("Which one?"), Accepted)
        assert await scene.sent(1) == ["Which one?"]
        began_us = any_world.now_us()
        await scene.customer("Stop!")
        assert await scene.sent(2) == ["Which one?", OUT]
        verdict = await scene.answer("Wait!")
        assert refused(verdict)
        assert began_us <= verdict.since_us <= any_world.now_us()
        assert refused(await scene.submit())
        await scene.customer("STOP")
        assert refused(await scene.answer("Please!"))
    confirmation = scene.link.given[1][1].message
    word = scene.desk.given[1][1].message
    assert scene.link.texts() == ["Which one?", OUT], "the second STOP is not confirmed, nothing else was sent"
    assert (confirmation.source, confirmation.destination) == (NUMBER, CUSTOMER)
    assert (confirmation.thread_id, confirmation.token) == (word.thread_id, word.token)
    assert confirmation.receipt_wanted is ReceiptWanted.NONE
    assert [part.message.attributes.get("opt-out") for _, part in scene.desk.given] == [None, "stop", "stop"]
    assert [part.message.text for _, part in scene.desk.given] == ["I need help with my order", "Stop!", "STOP"]
    assert len({part.message.thread_id for _, part in scene.desk.given}) == 1, "no answer of the hub opens a thread"
    assert await scene.audit() == [("out", NUMBER, CUSTOMER, "keyword")]
    [line] = await any_world.store.read(lambda tx: opt_out_ledger.changes_after(tx, 0, 10))
    assert (line.who, line.word, line.message_id) == ("link:one", "stop", word.id)
    assert await scene.events("opted-out", "opted-in") == [["opted-out", line.id]]
    counters = any_world.hub.counters
    assert counters.refusals["desk:help", "opted-out"] == 2
    assert counters.refusals["account:agg", "opted-out"] == 1
    assert counters.events["opted_out", "link:one"] == 1


async def test_start_lets_texts_through_again_and_yes_only_of_who_is_out(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        await scene.customer("yes")
        await scene.customer("START")
        assert scene.link.texts() == [], "who is in is told nothing"
        await scene.customer("cancel")
        await scene.sent(1)
        assert refused(await scene.answer())
        await scene.customer("Yes.")
        assert "opted in again" in (await scene.sent(2))[1]
        assert isinstance(await scene.answer("Welcome back"), Accepted)
        await scene.customer("STOP")
        await scene.customer("unstop")
        assert len(await scene.sent(5)) == 5
        assert isinstance(await scene.submit(), Accepted)
    marks = [part.message.attributes.get("opt-out") for _, part in scene.desk.given]
    assert marks == [None, "start", "stop", "start", "stop", "start"]
    assert [action for action, *_ in await scene.audit()] == ["out", "in", "out", "in"]
    assert [event[0] for event in await scene.events("opted-out", "opted-in")] == [
        "opted-out",
        "opted-in",
        "opted-out",
        "opted-in",
    ]


async def test_help_is_answered_always_and_changes_nothing(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world, help_text="Call us.")
    async with any_world.running():
        await scene.customer("HELP")
        assert await scene.sent(1) == ["Call us."]
        await scene.customer("STOP")
        await scene.customer("info")
        assert await scene.sent(3) == ["Call us.", OUT, "Call us."]
        assert refused(await scene.answer())
    assert [part.message.attributes.get("opt-out") for _, part in scene.desk.given] == ["help", "stop", "help"]
    assert len(await scene.audit()) == 1


async def test_stop_counts_for_the_number_it_was_sent_to_and_stopall_for_all(
    any_world: World, fast_clock: Clock
) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        await scene.customer("STOP", NUMBER)
        assert refused(await scene.submit(NUMBER))
        assert isinstance(await scene.submit(SECOND_NUMBER), Accepted)
        assert isinstance(await scene.submit(NUMBER, FAR_AWAY), Accepted)
        await scene.customer("stop all", NUMBER)
        assert refused(await scene.submit(SECOND_NUMBER))
        assert isinstance(await scene.submit(OTHER_NUMBER), Accepted), "another call centre's"
        await scene.customer("START", SECOND_NUMBER)
        assert isinstance(await scene.submit(SECOND_NUMBER), Accepted)
        assert refused(await scene.submit(NUMBER))
        assert refused(await scene.submit("+16175550001")), "a number of the same call centre's block"
    assert [line[:3] for line in await scene.audit()] == [
        ("out", NUMBER, CUSTOMER),
        ("out", "*acme", CUSTOMER),
        ("in", SECOND_NUMBER, CUSTOMER),
    ]


async def test_words_of_one_batch_count_in_their_order(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        await any_world.receive(
            "account:agg",
            transit("first", CUSTOMER, NUMBER),
            inbound("STOPALL"),
            inbound("START"),
            inbound("START"),
            inbound("STOP"),
            inbound("STOP", FAR_AWAY),
        )
        await any_world.until(lambda: len(scene.account.given) >= 4)
        assert refused(await scene.submit())
        assert refused(await scene.submit(destination=FAR_AWAY))
        assert isinstance(await scene.submit(SECOND_NUMBER, FAR_AWAY), Accepted)
        assert refused(await scene.submit(SECOND_NUMBER))
    assert [line[:3] for line in await scene.audit()] == [
        ("out", "*acme", CUSTOMER),
        ("in", NUMBER, CUSTOMER),
        ("out", NUMBER, CUSTOMER),
        ("out", NUMBER, FAR_AWAY),
    ]
    answered = [part.message.destination for _, part in scene.account.given]
    assert sorted(answered) == sorted([CUSTOMER, CUSTOMER, CUSTOMER, FAR_AWAY]), "by the way that the words came"


async def test_what_waits_is_ended_and_the_confirmation_sent(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        scene.link.window = 0
        for text in ("one", "two", "three"):
            assert isinstance(await scene.answer(text, receipt_wanted=ReceiptWanted.FAILURE), Accepted)
        assert isinstance(await scene.answer("somebody else", FAR_AWAY), Accepted)
        assert isinstance(await scene.submit(receipt_wanted=ReceiptWanted.FINAL), Accepted)
        later = any_world.now_us() + DAY // 2
        assert isinstance(await scene.submit(not_before_us=later, receipt_wanted=ReceiptWanted.FINAL), Accepted)
        assert isinstance(await scene.submit(SECOND_NUMBER), Accepted)
        await scene.customer("STOP")
        await any_world.until(lambda: len(scene.desk.receipts()) == 3 and len(scene.account.receipts()) == 2)
        scene.link.come_back(any_world.hub)
        await scene.sent(3)
        await any_world.until_counts({"DELIVERED": 4, "DEAD": 5})
    assert sorted(scene.link.texts()) == sorted([OUT, "offer", "somebody else"])
    told = [*scene.desk.receipts(), *scene.account.receipts()]
    assert {receipt.state for receipt in told} == {ReceiptState.REJECTED}
    assert any_world.hub.counters.deaths["link:one", "opted-out"] == 5


@pytest.mark.parametrize(
    "comes_back",
    [
        lambda part: Outcome(part, Result.RETRY, reason="busy"),
        lambda part: Outcome(part, Result.THROTTLED),
        lambda part: Outcome(part, Result.UNSENT),
        lambda part: Outcome(part, Result.IN_DOUBT),
    ],
    ids=["retry", "throttled", "unsent", "in doubt"],
)
async def test_a_text_that_comes_back_after_the_stop_is_not_sent_again(
    any_world: World, fast_clock: Clock, comes_back: Callable[[Part], Outcome]
) -> None:
    scene = Scene(any_world)
    scene.link.script = lambda part: None  # it answers when it is told to
    async with any_world.running():
        await scene.answer("on the wire")
        await any_world.until(lambda: scene.link.unanswered)
        await scene.customer("STOP")
        await any_world.until(lambda: any_world.hub.dispatcher("link:one")._condemned)
        [part] = list(scene.link.unanswered.values())
        scene.link.script = accept
        await scene.link.answer(any_world.hub, [comes_back(part)])
        await any_world.until_counts({"DELIVERED": 2, "DEAD": 1})
        await scene.followed(1)
    assert scene.link.texts() == ["on the wire", OUT]


async def test_a_restart_keeps_the_ledger_and_ends_what_still_waits(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        scene.link.window = 0
        await scene.answer("waits")
        await any_world.until(lambda: any_world.hub.dispatcher("link:one").held)
    # As after a crash between the STOP and the end of what waits: the audit has it, nobody has acted on it.
    await scene.change(changed("out"))
    async with any_world.running():
        assert refused(await scene.submit()), "from the first text on"
        await any_world.until_states([State.DEAD])
        await scene.followed(1)
    async with any_world.running():
        assert refused(await scene.answer())
    assert await scene.events("opted-out") == [["opted-out", 1]], "told once"
    [row] = await any_world.texts()
    assert row.reason == "opted-out"


async def test_changes_beside_the_daemon_take_effect(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        scene.link.window = 0
        await scene.answer("waits")
        await scene.change(changed("out"))
        await any_world.until_states([State.DEAD])
        assert refused(await scene.answer())
        await scene.change(changed("in", since_us=EPOCH_US + 1))
        assert isinstance(await scene.answer(), Accepted)
        await scene.followed(2)
    assert [event[0] for event in await scene.events("opted-out", "opted-in")] == ["opted-out", "opted-in"]


async def test_the_desk_may_ask_once_for_an_opt_in(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    asking = {"from": "alice@desk.example", "opt-out": "request"}
    async with any_world.running():
        await scene.answer("an ordinary text", attributes=asking)
        await scene.customer("STOP")
        await scene.sent(2)
        assert isinstance(await scene.answer("Reply START?", attributes=asking), Accepted)
        assert refused(await scene.answer("Do!", attributes=asking)), "one for each time that they opted out"
        assert refused(await scene.answer("Hello", attributes={"from": "alice@desk.example"}))
        await scene.customer("START")
        await scene.customer("STOP")
        assert isinstance(await scene.answer("Again?", attributes=asking), Accepted)
        texts = await scene.sent(6)
    assert [text for text in texts if len(text) < 20] == ["an ordinary text", "Reply START?", "Again?"]
    overrides = await any_world.store.read(lambda tx: opt_out_ledger.changes_after(tx, 0, 100))
    assert [line.action for line in overrides] == ["out", "override", "in", "out", "override"]
    assert {line.who for line in overrides if line.action == "override"} == {"alice@desk.example"}
    assert scene.link.given[0][1].message.attributes.get("opt-out") is None, "it was no request: it may be ended"


async def test_a_request_to_opt_in_is_not_ended_by_the_stop_it_is_about(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        scene.link.window = 0
        await scene.customer("STOP")
        assert isinstance(await scene.answer("Reply START?", attributes={"opt-out": "request"}), Accepted)
        await scene.followed(1)
        scene.link.come_back(any_world.hub)
        assert await scene.sent(2) == [OUT, "Reply START?"]


async def test_a_word_in_parts_counts_once_it_is_whole(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        for number, text in ((2, "OP"), (1, "ST")):
            part = inbound(text, concatenation=Concatenation(7, 2, number))
            [verdict] = await any_world.receive("link:one", part)
            assert isinstance(verdict, Accepted)
        assert await scene.sent(1) == [OUT]
        assert refused(await scene.answer())
        for number, text in ((1, "nothing to "), (2, "STOP")):
            await any_world.receive("link:one", inbound(text, FAR_AWAY, concatenation=Concatenation(8, 2, number)))
        assert isinstance(await scene.answer("fine", FAR_AWAY), Accepted)
        await scene.sent(2)
    assert len(await scene.audit()) == 1


async def test_a_word_with_a_part_missing_is_none(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running(part_wait_us=SECOND):
        await any_world.receive("link:one", inbound("STOP", concatenation=Concatenation(7, 2, 1)))
        await any_world.until(lambda: scene.desk.given)
        assert isinstance(await scene.answer(), Accepted)
    assert scene.desk.texts() == ["STOP[…]"]
    assert await scene.audit() == []


async def test_parts_of_an_account_are_refused_and_those_that_wait_buried(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running(part_wait_us=3_600 * SECOND):
        first = await scene.submit(concatenation=Concatenation(1, 2, 1))
        assert isinstance(first, Accepted)
        await scene.customer("STOP")
        assert refused(await scene.submit(concatenation=Concatenation(1, 2, 2)))
        fast_clock.jump(4_000)
        await any_world.until_counts({"DELIVERED": 2, "DEAD": 1})
    assert scene.link.texts() == [OUT]


async def test_a_dead_letter_is_not_sent_again_to_who_is_out(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        scene.link.window = 0
        verdict = await scene.answer("waits")
        assert isinstance(verdict, Accepted)
        await scene.customer("STOP")
        await any_world.until_counts({"DELIVERED": 1, "DEAD": 1, "QUEUED": 1})
        request = operations.Request(1, "retry", verdict.message_id, "ann", any_world.now_us())
        await any_world.store.transact(lambda tx: operations.ask(tx, request))
        with trio.fail_after(20 * RATE):
            while await any_world.store.read(operations.requests):  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.5)
        scene.link.come_back(any_world.hub)
        assert await scene.sent(1) == [OUT]
        await any_world.until_counts({"DELIVERED": 2, "DEAD": 1})


async def test_off_is_off(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world, opt_out="off")
    await scene.change(changed("out"), changed("out", OTHER_NUMBER), changed("out", "*acme"))
    async with any_world.running():
        await scene.customer("STOP")
        await scene.customer("HELP")
        assert isinstance(await scene.answer(), Accepted)
        assert isinstance(await scene.submit(), Accepted)
        assert refused(await scene.submit(OTHER_NUMBER)), "the other call centre's are enforced"
        await scene.sent(2)
    assert [part.message.attributes.get("opt-out") for _, part in scene.desk.given] == [None, None]


async def test_languages_and_own_texts_are_the_call_centres(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world, opt_out_languages=("fr", "en"), opt_out_text="Fini.")
    async with any_world.running():
        await scene.customer("Arrêt")
        assert await scene.sent(1) == ["Fini."]
        await scene.customer("oui")
        assert (await scene.sent(2))[1].startswith("Acme Ltd : Inscription faite")
        await scene.customer("quit")
        assert await scene.sent(3)
        await scene.customer("arrêt", OTHER_NUMBER)
        assert isinstance(await scene.answer(desk="desk:shy"), Accepted), "the other call centre speaks English"
        await scene.sent(4)


async def test_a_business_name_as_sender_is_spared_too(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        scene.link.window = 0
        assert isinstance(await scene.answer("waits", desk="desk:shy"), Accepted)
        await scene.customer("STOP", OTHER_NUMBER)
        assert refused(await scene.answer(desk="desk:shy"))
        await any_world.until_counts({"DELIVERED": 1, "DEAD": 1, "QUEUED": 1})
        scene.link.come_back(any_world.hub)
        await scene.sent(1)
    confirmation = scene.link.given[0][1].message
    assert (confirmation.source, confirmation.destination) == ("OTHER", CUSTOMER)


async def test_a_pair_of_transit_is_spared_when_it_is_in_the_ledger(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    await scene.change(changed("out", "+15550001111", FAR_AWAY), changed("out", "55555", FAR_AWAY))
    async with any_world.running():
        assert refused(await scene.submit("+15550001111", FAR_AWAY))
        assert refused(await scene.submit("55555", FAR_AWAY))
        verdicts = await any_world.receive(
            "account:agg",
            transit("a", FAR_AWAY, "+15550001111"),
            transit("b", CUSTOMER, "+15550001111"),
            transit("c", FAR_AWAY, "+15550001112"),
        )
        assert [refused(verdict) for verdict in verdicts] == [True, False, False]
        assert sorted(await scene.sent(2)) == ["b", "c"]


async def test_texts_and_stops_that_cross_each_other_leave_nothing_behind(any_world: World, fast_clock: Clock) -> None:
    """Whatever is accepted beside a STOP is sent before it counts, or ended; nothing waits for ever."""
    scene = Scene(any_world)
    scene.link.window = 5
    accepted: list[int] = []

    async def answers() -> None:
        for number in range(60):
            verdict = await scene.answer(f"text {number}")
            if isinstance(verdict, Accepted):
                accepted.append(verdict.message_id)

    async with any_world.running():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answers)
            nursery.start_soon(scene.customer, "STOP")
        assert refused(await scene.answer("late"))
        await any_world.until_states([State.DELIVERED, State.DEAD])
        rows = {row.id: row for row in await any_world.texts()}
    stop = next(row.id for row in rows.values() if row.endpoint == "desk:help")
    assert set(accepted) <= set(rows)
    assert all(rows[number].reason == "opted-out" for number in accepted if rows[number].state == State.DEAD)
    assert not [number for number in accepted if number > stop], "what came after the STOP was refused"


async def test_others_pay_nothing_for_those_who_are_out(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are out: texts from numbers that nobody is out of never make the writer ask the ledger."""
    scene = Scene(any_world)
    await scene.change(*(changed("out", NUMBER, f"+1202{number:07}") for number in range(3_000)))
    async with any_world.running():
        assert refused(await scene.submit(NUMBER, "+12020000007"))

        def never(*_: Any) -> Any:
            raise AssertionError("the ledger was asked")

        monkeypatch.setattr(OptOuts, "check", never)
        assert isinstance(await scene.submit(SECOND_NUMBER), Accepted)
        assert isinstance(await scene.submit("+15550001111"), Accepted)
        assert isinstance(await scene.answer(desk="desk:shy"), Accepted)
        await scene.sent(3)


async def test_a_name_that_says_stop_is_a_text(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        await scene.customer("STOP", customer="AT&T")
    assert scene.desk.given[0][1].message.attributes.get("opt-out") is None
    assert scene.link.texts() == []
    assert await scene.audit() == []


async def test_a_batch_is_judged_text_by_text(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    await scene.change(changed("out"))
    async with any_world.running():
        verdicts = await any_world.receive(
            "desk:help", reply("a", FAR_AWAY), reply("b", CUSTOMER), reply("c", "nobody"), reply("d", FAR_AWAY)
        )
        assert [type(verdict).__name__ for verdict in verdicts] == ["Accepted", "Rejected", "Rejected", "Accepted"]
        assert refused(verdicts[1])
        assert verdicts[2] == Rejected(Reason.BAD_DESTINATION)
        assert await scene.sent(2) == ["a", "d"]
    assert len(await any_world.texts()) == 2, "nothing of what was refused is in the journal"


async def test_the_confirmation_of_a_link_in_a_group_goes_by_the_group(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    group = any_world.add("group:both")
    any_world.directory = directory(groups=[Group(name="both", links=("one", "two"))])
    async with any_world.running():
        await scene.customer("STOP")
        await any_world.until(lambda: group.given)
    assert group.texts() == [OUT]
    assert scene.link.texts() == []


async def test_of_several_recipients_only_those_are_refused_who_are_out(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    await scene.change(changed("out"))
    async with any_world.running():
        several = [transit("to several", customer, NUMBER) for customer in (FAR_AWAY, CUSTOMER, "+12025550199")]
        verdicts = await any_world.hub.receive_as_one("account:agg", several)
        assert [refused(verdict) for verdict in verdicts] == [False, True, False]
        await scene.sent(2)


async def test_the_desk_sees_in_the_history_what_the_hub_answered(any_world: World, fast_clock: Clock) -> None:
    scene = Scene(any_world)
    async with any_world.running():
        await scene.customer("STOP")
        await scene.sent(1)
    past = await any_world.store.read(lambda tx: history.texts(tx, "acme", customer=CUSTOMER))
    assert [(text.inbound, text.text) for text in past] == [(False, OUT), (True, "STOP")]


async def test_a_long_queue_of_many_customers_is_ended_page_by_page(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opt_out_follower, "WAITING_PAGE", 3)
    monkeypatch.setattr(opt_out_follower, "PAGE", 2)
    scene = Scene(any_world)
    customers = [f"+1202555010{number}" for number in range(5)]
    async with any_world.running():
        scene.link.script = lambda part: None
        scene.link.window = 2
        await scene.answer("on the wire", customers[0])
        await scene.answer("on the wire", FAR_AWAY)
        await any_world.until(lambda: len(scene.link.unanswered) == 2)
        for customer in customers:
            for _ in range(4):
                await scene.answer("waits", customer)
        await scene.answer("waits", FAR_AWAY)
        await scene.change(*(changed("out", customer=customer) for customer in customers))
        await any_world.until_counts({"DEAD": 20, "SUBMITTING": 2, "QUEUED": 1})
        parts = list(scene.link.unanswered.values())
        scene.link.script = accept
        await scene.link.answer(any_world.hub, [Outcome(part, Result.ACCEPTED) for part in parts])
        await any_world.until_counts({"DEAD": 20, "DELIVERED": 3})
        await scene.followed(5)
    assert scene.link.texts() == ["on the wire", "on the wire", "waits"]


async def test_a_write_that_runs_again_counts_once(any_world: World, fast_clock: Clock) -> None:
    """A group with a bad submission in it is rolled back, and each of the others runs again."""
    scene = Scene(any_world)
    runs: list[int] = []

    def fails(tx: Transaction) -> None:
        runs.append(1)
        raise ValueError("a submission of somebody else's")

    async def spoil() -> None:
        with pytest.raises(ValueError, match="somebody else"):
            await any_world.store.transact(fails)

    asking = {"from": "alice@desk.example", "opt-out": "request"}
    async with any_world.running():
        for number in range(10):
            customer = f"+1202555010{number}"
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(spoil)
                nursery.start_soon(any_world.receive, "link:one", inbound("STOP", customer))
                for _ in range(3):
                    nursery.start_soon(spoil)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(spoil)
                nursery.start_soon(scene.answer, "START?", customer)
                nursery.start_soon(spoil)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(spoil)
                ask = reply("START, please", customer, attributes=asking)
                nursery.start_soon(any_world.receive, "desk:help", ask)
                nursery.start_soon(spoil)
            assert refused(await scene.answer("again", customer, attributes=asking))
        texts = await scene.sent(20)
    assert len(runs) >= 100
    assert sorted(texts) == sorted([OUT, "START, please"] * 10)
    assert [action for action, *_ in await scene.audit()] == ["out", "override"] * 10
