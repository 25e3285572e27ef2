"""A desk over memory streams: hand-over, return, loss, answers, receipts, commands, presence."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from hub.model import Reason, Receipt, ReceiptState, ReceiptWanted, Rejected, Result, TryLater
from ops.simulators.desk import CommandRefused
from threading_tokens.designation import Designation
from translators.xmpp import Assignment, Call, Subject
from translators.xmpp.stanzas import REFUSALS, StanzaError
from translators.xmpp.stream import Element

from .conftest import CUSTOMER, DOMAIN, NUMBER, OTHER_TOKEN, TOKEN, World

R = Result


def received(sender: str) -> str:
    """A client says that it has our first text."""
    marker = "<received xmlns='urn:xmpp:receipts' id='m1'/>"
    return f"<message from='{sender}' to='{CUSTOMER}@{DOMAIN}'>{marker}</message>"


class TestHandOver:
    async def test_a_pong_hands_over_the_whole_batch(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        parts = [world.part(f"text {n}") for n in range(100)]
        desk.deliver(parts)
        assert desk.room() == 400
        await world.road.until(lambda: len(world.road.outcomes) == 100)
        assert [outcome.part for outcome in world.road.outcomes] == parts
        assert set(world.road.results()) == {R.ACCEPTED}
        assert world.road.outcomes[0].carrier_id == "m1"
        assert not world.road.outcomes[0].receipt_expected
        assert desk.room() == 500
        assert [text.body for text in world.far.texts] == [f"text {n}" for n in range(100)]

    async def test_what_the_desk_sees_of_a_text(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk(receipt_on="received")
        await world.start(desk)
        desk.deliver([world.part("a<b>&\x00", thread_news="new:new-address", attributes={"nick": "Ann"})])
        text = await world.far.next_text()
        assert (text.customer, text.number, text.to) == (CUSTOMER, NUMBER, world.far.director)
        assert (text.body, text.token, text.news, text.reason) == ("a<b>&\ufffd", TOKEN, "new", "new-address")
        assert not text.late
        assert desk.statistics().replaced_characters == 1

    async def test_a_late_text_says_when_it_came(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        world.wall_us += 11_000_000
        desk.deliver([world.part(received_us=world.wall_us - 11_000_000)])
        assert (await world.far.next_text()).late

    async def test_without_a_pong_there_is_no_hand_over(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        world.far.pongs = False
        await world.start(desk)
        desk.deliver([world.part()])
        await world.far.next_text()
        await trio.testing.wait_all_tasks_blocked()
        assert world.road.outcomes == []
        # A deaf server is left after `pong_within_s`; what it had is in doubt.
        await world.road.until(lambda: bool(world.road.outcomes))
        assert world.road.results() == [R.IN_DOUBT]
        assert world.connections == 1 or trio.current_time() > 30

    async def test_several_writes_in_flight(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        world.far.pongs = False
        await world.start(desk)
        for _ in range(3):
            desk.deliver([world.part()])
            await trio.testing.wait_all_tasks_blocked()
        assert world.far.count == 3
        world.far.pongs = True
        desk.deliver([world.part()])  # its pong answers for those before it: a server goes on in order
        await world.road.until(lambda: len(world.road.outcomes) == 4)
        assert set(world.road.results()) == {R.ACCEPTED}

    async def test_outcomes_wait_for_a_slow_journal_in_one_batch(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        world.road.gate = trio.Event()
        desk.deliver([world.part()])
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            desk.deliver([world.part()])
            await trio.testing.wait_all_tasks_blocked()
        world.road.gate.set()
        await world.road.until(lambda: len(world.road.outcomes) == 6)
        assert world.road.reports == [1, 5]

    async def test_texts_are_held_while_they_may_be_anothers(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        desk.deliver([world.part("one")])
        world.road.holds = False  # between the giving and the writing, as for a node that was frozen there
        await trio.sleep(5)
        assert world.far.count == 0
        world.road.holds = True
        await world.road.until(lambda: world.road.results() == [R.ACCEPTED])
        desk.deliver([world.part("two")])
        world.road.holds = False
        await trio.sleep(5)
        world.cut()
        await world.road.until(lambda: world.road.results() == [R.ACCEPTED, R.UNSENT])
        assert [text.body for text in world.far.texts] == ["one"]

    async def test_room_is_the_window(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk(window=3)
        assert desk.room() == 0
        world.far.pongs = False
        await world.start(desk)
        assert desk.room() == 3
        desk.deliver([world.part(), world.part()])
        assert desk.room() == 1

    async def test_pings_in_silence(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        await trio.sleep(300)
        assert world.connections == 1
        world.far.pongs = False
        await trio.sleep(120)
        assert world.connections > 1

    async def test_a_user_cannot_answer_in_the_servers_name(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        world.far.pongs = False
        await world.start(desk)
        desk.deliver([world.part()])
        await world.far.next_text()
        world.far.send(f"<iq type='result' from='mallory@desk.example/x' to='{DOMAIN}' id='p1.1'/>")
        await trio.testing.wait_all_tasks_blocked()
        assert world.road.outcomes == []
        world.far.send(f"<iq type='error' from='desk.example' to='{DOMAIN}' id='p1.1'/>")  # knows no pings
        await world.road.until(lambda: bool(world.road.outcomes))
        assert world.road.results() == [R.ACCEPTED]


class TestReturn:
    @pytest.mark.parametrize(
        ("error", "result", "reason"),
        [
            (StanzaError("cancel", "service-unavailable"), R.THROTTLED, "desk-away"),
            (StanzaError("wait", "recipient-unavailable"), R.THROTTLED, "desk-away"),
            (StanzaError("wait", "resource-constraint"), R.RETRY, "resource-constraint"),
            (StanzaError("modify", "policy-violation"), R.REFUSED, "policy-violation"),
            (StanzaError("auth", "forbidden"), R.REFUSED, "forbidden"),
        ],
    )
    async def test_one_of_three_comes_back(
        self, autojump_clock: MockClock, world: World, error: StanzaError, result: Result, reason: str
    ) -> None:
        desk = world.desk()
        await world.start(desk)
        world.far.refuse = lambda text: error if text.body == "2" else None
        desk.deliver([world.part(str(n)) for n in (1, 2, 3)])
        await world.road.until(lambda: len(world.road.outcomes) == 3)
        assert world.road.results() == [R.ACCEPTED, result, R.ACCEPTED]
        assert world.road.outcomes[1].reason == reason

    async def test_a_director_that_is_away_keeps_texts_in_their_lanes(
        self, autojump_clock: MockClock, world: World
    ) -> None:
        """H12: nothing is given until it is back; one text is the trial."""
        desk = world.desk()
        await world.start(desk)
        await trio.testing.wait_all_tasks_blocked()
        world.far.director_away = True
        desk.deliver([world.part(), world.part()])
        await world.road.until(lambda: len(world.road.outcomes) == 2)
        assert set(world.road.results()) == {R.THROTTLED}
        assert world.road.outcomes[0].retry_after_us > 0
        assert desk.room() == 0
        await world.road.until(lambda: desk.room() == 1)
        tried_at = trio.current_time()
        desk.deliver([world.part()])
        await world.road.until(lambda: len(world.road.outcomes) == 3)
        assert desk.room() == 0
        await world.road.until(lambda: desk.room() == 1)
        assert trio.current_time() - tried_at >= 1.0  # twice the first wait
        world.far.director_away = False
        desk.deliver([world.part()])
        await world.road.until(lambda: len(world.road.outcomes) == 4)
        assert world.road.results()[-1] is R.ACCEPTED
        assert desk.room() == 500

    async def test_presence_says_that_the_director_is_gone_and_back(
        self, autojump_clock: MockClock, world: World
    ) -> None:
        desk = world.desk()
        await world.start(desk)
        world.far.director_away = True
        world.far.announce()
        await trio.testing.wait_all_tasks_blocked()
        assert desk.statistics().director == "there"
        world.far.announce(available=False)
        await trio.testing.wait_all_tasks_blocked()
        assert desk.room() == 0
        await trio.sleep(600)  # no trial: presence is sure
        assert desk.room() == 0
        wakes = world.road.wakes
        world.far.announce()
        await trio.testing.wait_all_tasks_blocked()
        assert desk.room() == 500
        assert world.road.wakes > wakes

    async def test_a_probe_finds_a_director_that_came_back_unseen(
        self, autojump_clock: MockClock, world: World
    ) -> None:
        desk = world.desk()
        await world.start(desk)
        world.far.director_away = True
        world.far.announce(available=False)
        await trio.testing.wait_all_tasks_blocked()
        assert desk.room() == 0
        world.far.director_away = False
        await world.road.until(lambda: desk.room() == 500)

    async def test_an_error_after_the_hand_over_is_news_where_receipts_count(
        self, autojump_clock: MockClock, world: World
    ) -> None:
        desk = world.desk(receipt_on="received")
        world.far.receipts = False
        await world.start(desk)
        desk.deliver([world.part()])
        await world.road.until(lambda: bool(world.road.outcomes))
        error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        world.far.send(f"<message type='error' from='{world.far.csr}' to='{DOMAIN}' id='m1'>{error}</message>")
        await world.road.until(lambda: bool(world.road.arrivals))
        receipt = world.road.arrivals[0].receipt
        assert receipt is not None
        assert (receipt.message_id, receipt.state) == ("m1", ReceiptState.UNDELIVERABLE)
        assert desk.statistics().late_errors == 1


class TestLoss:
    async def test_written_is_in_doubt_and_not_written_is_unsent(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        await trio.testing.wait_all_tasks_blocked()
        world.near[-1].send_stream.send_all_hook = trio.sleep_forever  # the other side does not read
        desk.deliver([world.part("written")])
        await trio.testing.wait_all_tasks_blocked()
        desk.deliver([world.part("not written")])
        world.cut()
        await world.road.until(lambda: len(world.road.outcomes) == 2)
        assert [(outcome.part.message.text, outcome.result) for outcome in world.road.outcomes] == [
            ("written", R.IN_DOUBT),
            ("not written", R.UNSENT),
        ]
        assert desk.room() == 0

    async def test_it_connects_again_and_sends_with_the_same_identity(
        self, autojump_clock: MockClock, world: World
    ) -> None:
        desk = world.desk()
        world.far.pongs = False
        await world.start(desk)
        part = world.part()
        desk.deliver([part])
        first = await world.far.next_text()
        world.cut()
        await world.road.until(lambda: bool(world.road.outcomes))
        world.far.pongs = True
        await world.road.until(lambda: desk.room() > 0)
        desk.deliver([part])
        assert (await world.far.next_text()).id == first.id
        assert world.connections == 2

    async def test_given_while_down_is_unsent(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        world.cut()
        await world.road.until(lambda: True)
        while desk.statistics().connected:
            await trio.testing.wait_all_tasks_blocked()
        desk.deliver([world.part()])
        await world.road.until(lambda: bool(world.road.outcomes))
        assert world.road.results() == [R.UNSENT]

    async def test_wrong_secret_backs_off(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk(secret="wrong")
        assert world.nursery is not None
        await world.nursery.start(desk.run)
        await trio.sleep(600)
        assert desk.room() == 0
        assert 8 < world.connections < 25  # 0.5, 1, 2 … 60 s

    async def test_what_csrs_said_before_the_fall_is_still_taken_in(
        self, autojump_clock: MockClock, world: World
    ) -> None:
        desk = world.desk()
        await world.start(desk)
        world.road.gate = trio.Event()
        world.far.write(CUSTOMER, "on our way", token=TOKEN)
        await trio.testing.wait_all_tasks_blocked()
        world.cut()
        await trio.testing.wait_all_tasks_blocked()
        world.road.gate.set()
        await world.road.until(lambda: bool(world.road.arrivals))
        assert world.road.arrivals[0].text == "on our way"

    async def test_cancellation_reports_every_part(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        world.far.pongs = False
        async with trio.open_nursery() as nursery:
            await nursery.start(desk.run)
            await world.road.until(lambda: desk.room() > 0)
            desk.deliver([world.part(), world.part()])
            await world.far.next_text()
            world.far.write(CUSTOMER, "wait", token=TOKEN)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert world.road.results() == [R.IN_DOUBT, R.IN_DOUBT]
        assert [arrival.text for arrival in world.road.arrivals] == ["wait"]

    async def test_close_waits_for_the_wire_and_ends_the_stream(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        assert world.nursery is not None
        ended = trio.Event()

        async def run() -> None:
            await desk.run()
            ended.set()

        world.nursery.start_soon(run)
        await world.road.until(lambda: desk.room() > 0)
        desk.deliver([world.part()])
        await desk.close()
        await ended.wait()
        assert world.road.results() == [R.ACCEPTED]
        assert desk.room() == 0
        assert world.connections == 1


class TestAnswers:
    async def test_an_answer_in_its_thread(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        desk.deliver([world.part()])
        own = world.far.answer(await world.far.next_text(), "a<b>&\u2028😀")
        await world.road.until(lambda: bool(world.road.arrivals))
        [arrival] = world.road.arrivals
        assert (arrival.source, arrival.destination) == (NUMBER, CUSTOMER)
        assert (arrival.text, arrival.token) == ("a<b>&\u2028😀", TOKEN)
        assert arrival.receipt_wanted is ReceiptWanted.FINAL
        assert arrival.upstream_id.endswith(f"\n{own}")
        assert arrival.attributes == {"from": world.far.csr}
        await trio.testing.wait_all_tasks_blocked()
        assert list(world.far.returned) == []  # acceptance is silent

    async def test_a_plain_client_is_known_by_its_thread(self, autojump_clock: MockClock, world: World) -> None:
        await world.start(world.desk())
        head = f"<message from='{world.far.csr}/gajim' to='{CUSTOMER}@{DOMAIN}/gajim.X' type='chat'>"
        world.far.send(f"{head}<body>hi</body><thread>{TOKEN}</thread></message>")
        world.far.send(f"{head}<body>new</body><thread>d3adb33f</thread></message>")
        await world.road.until(lambda: len(world.road.arrivals) == 2)
        assert [(a.source, a.token, a.receipt_wanted) for a in world.road.arrivals] == [
            ("", TOKEN, ReceiptWanted.FAILURE),
            ("", "", ReceiptWanted.FAILURE),
        ]

    @pytest.mark.parametrize("reason", Reason)
    async def test_every_refusal_is_a_typed_error(
        self, autojump_clock: MockClock, world: World, reason: Reason
    ) -> None:
        await world.start(world.desk())
        world.road.verdict = lambda _: Rejected(reason)
        own = world.far.write(CUSTOMER, "secret words", token=TOKEN)
        await world.far.wait_until(lambda: bool(world.far.returned))
        [returned] = world.far.returned
        assert returned.id == own
        assert (returned.error.kind, returned.error.condition) == REFUSALS[reason]
        assert returned.specific is not None
        assert returned.specific.name == f"urn:smshub:thread:1 {reason.value}"

    async def test_try_later_is_wait(self, autojump_clock: MockClock, world: World) -> None:
        await world.start(world.desk())
        world.road.verdict = lambda _: TryLater(2.5)
        world.far.write(CUSTOMER, "x", token=TOKEN)
        await world.far.wait_until(lambda: bool(world.far.returned))
        [returned] = world.far.returned
        assert returned.error == StanzaError("wait", "resource-constraint")
        assert returned.specific == Element("urn:smshub:thread:1 try-later", {"after": "2.5"})

    @pytest.mark.parametrize("customer", ["bank", "+0", "a\\26b"])
    async def test_what_is_no_number_is_malformed(self, autojump_clock: MockClock, world: World, customer: str) -> None:
        await world.start(world.desk())
        world.far.write(customer, "x", token=TOKEN)
        await world.far.wait_until(lambda: bool(world.far.returned))
        assert world.far.returned[0].error == StanzaError("modify", "jid-malformed")
        assert world.road.arrivals == []

    @pytest.mark.parametrize("content", ["<a>" * 30 + "</a>" * 30, "<a/>" * 2000], ids=["deep", "wide"])
    async def test_what_is_too_deep_or_too_wide_is_refused_and_the_stream_lives(
        self, autojump_clock: MockClock, world: World, content: str
    ) -> None:
        """A server passes on what any user of it writes: it must not cost all others the desk."""
        desk = world.desk()
        await world.start(desk)
        with pytest.raises(CommandRefused) as refused:
            await world.far.command("set", content)
        assert refused.value.error == StanzaError("modify", "policy-violation")
        sender = f"{world.far.director}/acd"
        world.far.send(f"<message from='{sender}' to='{CUSTOMER}@{DOMAIN}' id='w'><body>text</body>{content}</message>")
        await world.far.wait_until(lambda: bool(world.far.returned))
        assert world.far.returned[0].error == StanzaError("modify", "policy-violation")
        assert world.road.arrivals == []
        assert desk.statistics().connections == 1
        assert desk.faults() == {"too-much-in-it": 2}

    @pytest.mark.parametrize(
        "stanza",
        [
            "<presence from='mad@desk.example/x' to='{to}'/>",
            "<iq type='get' id='1' from='desk.example' to='{to}'><q xmlns='urn:none'/></iq>",
            "<message from='mallory@elsewhere.example' to='{to}'><body>x</body></message>",
            "<message from='mad@desk.example/x' to='{to}'>" + "<a/>" * 900 + "</message>",
        ],
    )
    async def test_a_flood_of_what_nobody_wants_is_read_at_a_rate(
        self, autojump_clock: MockClock, world: World, stanza: str
    ) -> None:
        desk = world.desk()
        await world.start(desk)
        for _ in range(6000 if "<a/>" not in stanza else 400):
            world.far.send(stanza.format(to=f"{CUSTOMER}@{DOMAIN}"))
        began = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()  # read as one piece, which a socket would cut at 64 KiB
        world.far.write(CUSTOMER, "an honest text behind it", token=TOKEN)
        await world.road.until(lambda: bool(world.road.arrivals))
        assert trio.current_time() - began > 1.0, "of the clock that jumps: the flood waited, and who is behind it"
        assert desk.faults()["chatter"] >= 1
        assert desk.statistics().connections == 1

    async def test_a_foreign_domain_is_forbidden(self, autojump_clock: MockClock, world: World) -> None:
        await world.start(world.desk())
        world.far.write(CUSTOMER, "x", token=TOKEN, sender="mallory@elsewhere.example/x")
        world.far.write(CUSTOMER, "x", token=TOKEN, sender="mallory@sub.desk.example/x")
        await world.far.wait_until(lambda: len(world.far.returned) == 2)
        assert {returned.error for returned in world.far.returned} == {StanzaError("auth", "forbidden")}
        with pytest.raises(CommandRefused) as refused:
            await world.far.command(
                "set", f"<release xmlns='urn:smshub:thread:1' token='{TOKEN}'/>", sender="m@x.example"
            )
        assert refused.value.error.condition == "forbidden"
        assert world.road.arrivals == []
        assert world.services.asked == []

    async def test_a_full_inbox_says_wait_and_recovers(self, autojump_clock: MockClock, world: World) -> None:
        await world.start(world.desk(inbox=5))
        world.road.gate = trio.Event()
        for number in range(8):
            world.far.write(CUSTOMER, str(number), token=TOKEN)
        await world.far.wait_until(lambda: len(world.far.returned) == 3)
        assert {returned.error.kind for returned in world.far.returned} == {"wait"}
        world.road.gate.set()
        await world.road.until(lambda: len(world.road.arrivals) == 5)
        world.far.write(CUSTOMER, "again", token=TOKEN)
        await world.road.until(lambda: len(world.road.arrivals) == 6)

    @pytest.mark.parametrize(
        "content",
        ["<composing xmlns='http://jabber.org/protocol/chatstates'/>", "<body/>", "", "<subject>x</subject>"],
    )
    async def test_what_no_telephone_could_show_is_ignored(
        self, autojump_clock: MockClock, world: World, content: str
    ) -> None:
        await world.start(world.desk())
        world.far.send(f"<message from='{world.far.csr}/x' to='{CUSTOMER}@{DOMAIN}' type='chat'>{content}</message>")
        world.far.send(
            f"<message from='{world.far.csr}/x' to='{CUSTOMER}@{DOMAIN}' type='groupchat'><body>x</body></message>"
        )
        await trio.testing.wait_all_tasks_blocked()
        assert world.road.arrivals == []
        assert list(world.far.returned) == []

    async def test_pongs_are_read_while_intake_is_slow(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        world.road.gate = trio.Event()
        world.far.write(CUSTOMER, "x", token=TOKEN)
        desk.deliver([world.part()])
        await trio.testing.wait_all_tasks_blocked()
        assert desk.statistics().in_flight == 0
        assert desk.statistics().handed_over == 1


class TestReceipts:
    async def test_the_csr_hears_of_the_delivery(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        own = world.far.write(CUSTOMER, "x", number=NUMBER, token=TOKEN)
        await world.road.until(lambda: bool(world.road.arrivals))
        upstream_id = world.road.arrivals[0].upstream_id
        desk.deliver([world.receipt(upstream_id, Receipt(upstream_id, ReceiptState.DELIVERED))])
        assert await world.far.receipt_of(own) == "DELIVRD"
        await world.road.until(lambda: bool(world.road.outcomes))
        assert world.road.results() == [R.ACCEPTED]
        assert not world.road.outcomes[0].receipt_expected

    async def test_it_survives_a_restart_of_the_hub(self, autojump_clock: MockClock, world: World) -> None:
        """Who asked is in the hub's upstream id, not in the memory of a process."""
        first, second = world.desk(), world.desk()
        await world.start(first)
        own = world.far.write(CUSTOMER, "x", number=NUMBER, token=TOKEN)
        await world.road.until(lambda: bool(world.road.arrivals))
        await first.close()
        await trio.testing.wait_all_tasks_blocked()
        await world.start(second)
        upstream_id = world.road.arrivals[0].upstream_id
        second.deliver([world.receipt(upstream_id, Receipt(upstream_id, ReceiptState.DELIVERED))])
        assert await world.far.receipt_of(own) == "DELIVRD"

    @pytest.mark.parametrize(
        ("state", "condition"),
        [
            (ReceiptState.UNDELIVERABLE, "recipient-unavailable"),
            (ReceiptState.EXPIRED, "remote-server-timeout"),
            (ReceiptState.REJECTED, "not-acceptable"),
            (ReceiptState.DELETED, "gone"),
        ],
    )
    async def test_the_csr_hears_of_the_failure(
        self, autojump_clock: MockClock, world: World, state: ReceiptState, condition: str
    ) -> None:
        desk = world.desk()
        await world.start(desk)
        own = world.far.write(CUSTOMER, "x", token=TOKEN)
        await world.road.until(lambda: bool(world.road.arrivals))
        upstream_id = world.road.arrivals[0].upstream_id
        desk.deliver([world.receipt(upstream_id, Receipt(upstream_id, state, "001"))])
        assert await world.far.receipt_of(own) == state.value
        [returned] = world.far.returned
        assert returned.error.condition == condition
        assert returned.specific is not None
        assert returned.specific.get("error") == "001"

    async def test_news_that_is_not_final_is_not_told(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        desk.deliver([world.receipt("a@b\nc\nd", Receipt("a@b\nc\nd", ReceiptState.ENROUTE))])
        await world.road.until(lambda: bool(world.road.outcomes))
        assert world.road.results() == [R.ACCEPTED]
        assert world.far.receipts_got == {}

    async def test_a_client_that_has_a_text_is_news_once(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk(receipt_on="received")
        await world.start(desk)
        desk.deliver([world.part()])
        await world.road.until(lambda: bool(world.road.arrivals) and bool(world.road.outcomes))
        assert world.road.outcomes[0].receipt_expected
        world.far.send(received(f"{world.far.csr}/other"))
        await trio.testing.wait_all_tasks_blocked()
        [arrival] = world.road.arrivals
        assert arrival.receipt is not None
        assert (arrival.receipt.message_id, arrival.receipt.state) == ("m1", ReceiptState.DELIVERED)

    async def test_where_hand_over_counts_clients_are_not_asked(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        desk.deliver([world.part()])
        await world.road.until(lambda: bool(world.road.outcomes))
        world.far.send(received(f"{world.far.csr}/x"))
        await trio.testing.wait_all_tasks_blocked()
        assert world.road.arrivals == []

    async def test_receipts_put_off_are_told_again(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk(receipt_on="received")
        await world.start(desk)
        verdict = world.road.verdict
        world.road.verdict = lambda _: TryLater(1)
        desk.deliver([world.part()])
        await world.road.until(lambda: bool(world.road.arrivals))
        world.road.verdict = verdict
        await world.road.until(lambda: len(world.road.arrivals) == 2)
        assert world.road.arrivals[0] == world.road.arrivals[1]


class TestCommands:
    async def test_designation_moves_what_was_journalled_before_it(
        self, autojump_clock: MockClock, world: World, alice: Designation
    ) -> None:
        desk = world.desk()
        await world.start(desk)
        desk.deliver([world.part()])
        assert (await world.far.next_text()).to == world.far.director
        view = await world.far.designate(TOKEN, alice.value)
        assert view.get("token") == TOKEN
        assert view.child_text("urn:smshub:thread:1 csr") == alice.value
        assert world.services.asked == [("designate", Assignment(alice), world.far.director)]
        desk.deliver([world.part(designation="")])
        assert (await world.far.next_text()).to == alice.value

    async def test_a_message_names_its_csr(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        for designation in ("bob@desk.example", "+16175550100;ext=12", "bob@elsewhere.example", "no jid <"):
            desk.deliver([world.part(designation=designation)])
        tos = [(await world.far.next_text()).to for _ in range(4)]
        assert tos == ["bob@desk.example", *[world.far.director] * 3]

    async def test_transfer_and_release(self, autojump_clock: MockClock, world: World, alice: Designation) -> None:
        desk = world.desk()
        await world.start(desk)
        await world.far.designate(TOKEN, "bob@desk.example")
        await world.far.designate(TOKEN, alice.value, transfer=True)
        desk.deliver([world.part(designation="bob@desk.example")])
        assert (await world.far.next_text()).to == alice.value
        view = await world.far.release(TOKEN)
        assert view.get("state") == "closed"
        desk.deliver([world.part()])
        assert (await world.far.next_text()).to == world.far.director

    async def test_a_csr_that_is_not_there_is_replaced_by_the_director(
        self, autojump_clock: MockClock, world: World, alice: Designation
    ) -> None:
        desk = world.desk()
        await world.start(desk)
        gone = StanzaError("cancel", "service-unavailable")
        world.far.refuse = lambda text: gone if text.to == alice.value else None
        part = world.part(designation=alice.value)
        desk.deliver([part])
        await world.road.until(lambda: bool(world.road.outcomes))
        assert world.road.results() == [R.THROTTLED]
        assert desk.room() == 500  # the desk is not away: one CSR is
        desk.deliver([part])
        assert (await world.far.next_text()).to == world.far.director
        world.far.refuse = None
        world.far.send(f"<presence from='{alice.value}/x' to='{DOMAIN}'/>")
        await trio.testing.wait_all_tasks_blocked()
        desk.deliver([world.part(designation=alice.value)])
        assert (await world.far.next_text()).to == alice.value

    async def test_history(self, autojump_clock: MockClock, world: World) -> None:
        await world.start(world.desk())
        page = await world.far.history(TOKEN, 2)
        assert [(entry.name.rpartition(" ")[2], entry.text) for entry in page.children] == [
            ("event", ""),
            ("text", "<b>?"),
        ]
        assert world.services.asked == [("history", Subject(token=TOKEN), 2, 0)]

    async def test_call(self, autojump_clock: MockClock, world: World) -> None:
        await world.start(world.desk())
        await world.far.command(
            "set",
            f"<call xmlns='urn:smshub:thread:1' customer='{CUSTOMER}' number='{NUMBER}' direction='in' "
            "started='2023-11-14T22:13:20Z' duration='61' outcome='solved'/>",
        )
        assert world.services.asked == [
            ("call", Subject("", CUSTOMER, NUMBER), Call("in", 1_700_000_000_000_000, 61, "solved"), world.far.director)
        ]

    @pytest.mark.parametrize(
        ("token", "kind", "condition", "specific"),
        [
            ("nothing", "cancel", "item-not-found", "unknown-token"),
            ("closed", "cancel", "gone", "expired-token"),
            (OTHER_TOKEN, "auth", "forbidden", "foreign-token"),
        ],
    )
    async def test_tokens_that_cannot_be_used(
        self, autojump_clock: MockClock, world: World, token: str, kind: str, condition: str, specific: str
    ) -> None:
        await world.start(world.desk())
        for act in (world.far.designate, world.far.release, world.far.history):
            with pytest.raises(CommandRefused) as refused:
                await act(token)  # type: ignore[operator]
            assert refused.value.error == StanzaError(kind, condition)
            assert refused.value.specific == specific

    @pytest.mark.parametrize(
        ("kind", "content", "specific"),
        [
            ("get", "<designate xmlns='urn:smshub:thread:1' token='t'/>", "wrong-type"),
            ("set", "<designate xmlns='urn:smshub:thread:1'/>", "unknown-token"),
            (
                "set",
                "<designate xmlns='urn:smshub:thread:1' token='t'><csr kind='shoe'>x</csr></designate>",
                "bad-designation",
            ),
            ("set", "<transfer xmlns='urn:smshub:thread:1' token='t' channel='drum'/>", "bad-channel"),
            ("get", "<history xmlns='urn:smshub:thread:1' token='t' max='-1'/>", "bad-number"),
            ("get", "<history xmlns='urn:smshub:thread:1' token='t' before='99999999999999999999'/>", "bad-number"),
            ("get", "<history xmlns='urn:smshub:thread:1' customer='+1'/>", "no-subject"),
            ("set", "<call xmlns='urn:smshub:thread:1' token='t' direction='up'/>", "bad-call"),
            ("set", "<call xmlns='urn:smshub:thread:1' token='t' started='yesterday'/>", "bad-call"),
        ],
    )
    async def test_misspelt(
        self, autojump_clock: MockClock, world: World, kind: str, content: str, specific: str
    ) -> None:
        await world.start(world.desk())
        with pytest.raises(CommandRefused) as refused:
            await world.far.command(kind, content)
        assert refused.value.error.kind == "modify"
        assert refused.value.specific == specific

    async def test_busy_and_broken_services(self, autojump_clock: MockClock, world: World, busy: Exception) -> None:
        await world.start(world.desk())
        world.services.broken = busy
        with pytest.raises(CommandRefused, match="wait/resource-constraint"):
            await world.far.release(TOKEN)
        world.services.broken = RuntimeError("a bug")
        with pytest.raises(CommandRefused, match="internal-server-error"):
            await world.far.release(TOKEN)
        world.services.broken = None
        await world.far.release(TOKEN)


class TestManners:
    @pytest.mark.parametrize("to", [DOMAIN, f"{CUSTOMER}@{DOMAIN}", f"{CUSTOMER}@{DOMAIN}/{NUMBER}"])
    async def test_ping_on_every_jid(self, autojump_clock: MockClock, world: World, to: str) -> None:
        await world.start(world.desk())
        answer = await self.ask(world, to, "<ping xmlns='urn:xmpp:ping'/>")
        assert (answer.get("type"), answer.get("from")) == ("result", to)

    async def ask(self, world: World, to: str, content: str, kind: str = "get") -> Element:
        answers = world.far._waiting
        answers["x1"] = None
        world.far.send(f"<iq from='{world.far.csr}/x' to='{to}' id='x1' type='{kind}'>{content}</iq>")
        await world.far.wait_until(lambda: answers["x1"] is not None)
        answer = answers.pop("x1")
        assert answer is not None
        return answer

    @pytest.mark.parametrize(("to", "category"), [(DOMAIN, "gateway"), (f"{CUSTOMER}@{DOMAIN}", "client")])
    async def test_discovery(self, autojump_clock: MockClock, world: World, to: str, category: str) -> None:
        await world.start(world.desk())
        info = await self.ask(world, to, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
        [query] = info.children
        assert (query.children[0].get("category"), query.children[0].get("type")) == (category, "sms")
        features = {feature.get("var") for feature in query.children[1:]}
        assert {"urn:xmpp:ping", "urn:xmpp:receipts", "urn:smshub:thread:1"} <= features
        items = await self.ask(world, to, "<query xmlns='http://jabber.org/protocol/disco#items'/>")
        assert items.children == (Element("http://jabber.org/protocol/disco#items query"),)

    @pytest.mark.parametrize(
        ("content", "kind", "condition"),
        [
            ("<query xmlns='jabber:iq:version'/>", "get", "service-unavailable"),
            ("<ping xmlns='urn:xmpp:ping'/>", "set", "service-unavailable"),
            ("<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>", "get", "item-not-found"),
            ("", "get", "bad-request"),
        ],
    )
    async def test_no_iq_stays_unanswered(
        self, autojump_clock: MockClock, world: World, content: str, kind: str, condition: str
    ) -> None:
        await world.start(world.desk())
        answer = await self.ask(world, DOMAIN, content, kind)
        error = answer.child("error")
        assert error is not None
        assert error.children[0].name.endswith(f" {condition}")

    async def test_numbers_are_always_there(self, autojump_clock: MockClock, world: World) -> None:
        await world.start(world.desk())
        number = f"{CUSTOMER}@{DOMAIN}"
        await trio.testing.wait_all_tasks_blocked()
        world.far.presences.clear()
        for kind in ("probe", "subscribe", "unsubscribe", "unsubscribed"):
            world.far.send(f"<presence from='{world.far.csr}/x' to='{number}' type='{kind}'/>")
        world.far.send(f"<presence from='m@elsewhere.example' to='{number}' type='subscribe'/>")
        await world.far.wait_until(lambda: len(world.far.presences) == 4)
        await trio.testing.wait_all_tasks_blocked()
        assert [(p.get("type"), p.get("from"), p.get("to")) for p in world.far.presences] == [
            ("", number, f"{world.far.csr}/x"),
            ("subscribed", number, world.far.csr),
            ("", number, world.far.csr),
            ("unsubscribed", number, world.far.csr),
        ]

    async def test_a_stanza_without_addresses_ends_nothing(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        for stanza in ("<message/>", "<iq type='get' id='1'/>", "<presence/>", "<iq/>", "<message type='error'/>"):
            world.far.send(stanza)
        desk.deliver([world.part()])
        await world.road.until(lambda: bool(world.road.outcomes))
        assert world.connections == 1

    async def test_a_bomb_ends_the_stream_only(self, autojump_clock: MockClock, world: World) -> None:
        desk = world.desk()
        await world.start(desk)
        world.far.send("<!DOCTYPE x>")
        await world.road.until(lambda: world.connections == 2 and desk.room() > 0)

    async def test_no_body_no_secret_no_token_in_a_log(
        self,
        autojump_clock: MockClock,
        world: World,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        desk = world.desk()
        await world.start(desk)
        desk.deliver([world.part("my card number")])
        world.road.verdict = lambda _: Rejected(Reason.UNKNOWN_TOKEN)
        world.far.answer(await world.far.next_text(), "my answer")
        await world.far.wait_until(lambda: bool(world.far.returned))
        world.cut()
        await trio.sleep(5)
        await desk.close()
        shown = capsys.readouterr()
        everything = shown.out + shown.err + caplog.text + repr(desk.settings)
        assert "desk is connected" in everything
        for private in ("my card number", "my answer", TOKEN, "s3cret"):
            assert private not in everything
