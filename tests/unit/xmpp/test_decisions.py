"""What the desk decides without I/O: reach, flights, addresses, who asked."""

from __future__ import annotations

import pytest

from hub.model import Kind, Message, Part, Receipt, ReceiptState, Result
from translators.xmpp import addressing, reach
from translators.xmpp.addressing import Addressing
from translators.xmpp.errors import BadJid
from translators.xmpp.flight import Flights
from translators.xmpp.jid import Jid, parse_jid
from translators.xmpp.reach import Reach, Standing
from translators.xmpp.settings import DeskSettings
from translators.xmpp.stanzas import TextFromDesk, build_receipt, is_stanza_id, origin_of, stanza_id, upstream_id_of

S = 1_000_000


def message(number: int = 1, **changes: object) -> Message:
    values: dict[str, object] = {
        "id": number,
        "kind": Kind.TEXT,
        "origin": "link:a",
        "endpoint": "desk:d",
        "source": "+1",
        "destination": "+2",
        "received_us": 0,
        "expires_us": 1,
        **changes,
    }
    return Message(**values)  # type: ignore[arg-type]


def part(number: int, **changes: object) -> Part:
    return Part(message(number, **changes), 1, 1, None)


class TestReach:
    def test_pauses_double_to_the_longest(self) -> None:
        state = Reach(1 * S, 4 * S)
        now, pauses = 0, []
        for _ in range(4):
            state.came_back(now)
            assert state.room(100, 0) == 0
            pauses.append(state.due_us - now)
            assert not state.tick(state.due_us - 1)
            now = state.due_us
            assert state.tick(now)
            assert state.standing is Standing.TRYING
        assert pauses == [1 * S, 2 * S, 4 * S, 4 * S]
        state.handed_over()
        assert state.standing is Standing.HOPING
        state.came_back(now)
        assert state.due_us == now + 1 * S

    def test_one_trial_at_a_time(self) -> None:
        state = Reach(S, S)
        state.came_back(0)
        state.tick(S)
        assert (state.room(100, 0), state.room(100, 1), state.room(0, 0)) == (1, 0, 0)

    def test_those_already_on_their_way_do_not_lengthen_the_pause(self) -> None:
        state = Reach(S, 100 * S)
        for now in range(50):
            state.came_back(now)
        assert state.due_us == S

    def test_gone_when_the_last_client_is_gone(self) -> None:
        state = Reach(S, S)
        state.available("one")
        state.available("two")
        state.unavailable("one", 0)
        assert state.standing is Standing.THERE
        state.unavailable("two", 0)
        assert state.standing is Standing.GONE
        assert state.tick(S)  # time to ask, not to try
        assert state.room(100, 0) == 0
        state.available("two")
        assert state.room(100, 0) == 100

    def test_unavailable_without_a_resource_is_all_of_them(self) -> None:
        state = Reach(S, S)
        state.available("one")
        state.unavailable("", 0)
        assert state.standing is Standing.GONE

    def test_clients_remembered_are_bounded(self) -> None:
        state = Reach(S, S)
        for number in range(1000):
            state.available(str(number))
        assert len(state._resources) == reach.MAX_RESOURCES

    def test_a_new_stream_hopes(self) -> None:
        state = Reach(S, S)
        state.came_back(0)
        state.connected()
        assert state.room(5, 0) == 5


class TestFlights:
    def test_every_part_has_exactly_one_outcome_when_the_connection_dies(self) -> None:
        book = Flights()
        book.give([part(1), part(2)], ["m1", "m2"])
        book.launch("p1", 0)
        book.give([part(3)], ["m3"])
        book.launch("p2", 5)
        book.give([part(4)], ["m4"])
        assert book.in_flight == 4
        assert book.oldest_sent_us == 0
        assert book.came_back("m2", Result.REFUSED, "forbidden")
        results = [(o.part.message.id, o.result) for o in book.lost()]
        assert results == [(1, Result.IN_DOUBT), (2, Result.REFUSED), (3, Result.IN_DOUBT), (4, Result.UNSENT)]
        assert book.in_flight == 0
        assert book.lost() == []
        assert book.oldest_sent_us is None

    def test_a_pong_answers_for_what_was_before_it_only(self) -> None:
        book = Flights()
        for number in (1, 2, 3):
            book.give([part(number)], [f"m{number}"])
            book.launch(f"p{number}", number)
        landed = book.landed("p2", receipt_expected=True)
        assert landed is not None
        assert [(o.carrier_id, o.result, o.receipt_expected) for o in landed] == [
            ("m1", Result.ACCEPTED, True),
            ("m2", Result.ACCEPTED, True),
        ]
        assert book.in_flight == 1
        assert book.landed("p1", receipt_expected=True) is None
        assert book.landed("other", receipt_expected=True) is None

    def test_what_is_not_on_its_way_cannot_come_back(self) -> None:
        book = Flights()
        book.give([part(1)], ["m1"])
        assert not book.came_back("m1", Result.REFUSED, "x")  # not written yet
        book.launch("p1", 0)
        assert not book.came_back("m2", Result.REFUSED, "x")
        assert book.came_back("m1", Result.REFUSED, "x")

    def test_news_expects_no_receipt(self) -> None:
        book = Flights()
        book.give([part(1, kind=Kind.RECEIPT)], ["m1"])
        book.launch("p1", 0)
        landed = book.landed("p1", receipt_expected=True)
        assert landed is not None
        assert not landed[0].receipt_expected


class TestAddressing:
    def test_what_commands_said_is_bounded_and_newest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(addressing, "DESIGNATIONS_MAX", 2)
        book = Addressing(Jid("director", "d", ""), {"d"})
        for thread in (1, 2, 1, 3):
            book.remember(thread, f"csr{thread}@d")
        assert [book.address_for(message(thread_id=thread), 0) for thread in (1, 2, 3)] == [
            "csr1@d",
            "director@d",
            "csr3@d",
        ]

    def test_a_csr_without_an_address_is_the_directors(self) -> None:
        book = Addressing(Jid("director", "d", ""), {"d"})
        book.remember(1, "")
        assert book.address_for(message(thread_id=1, designation="bob@d"), 0) == "director@d"
        book.forget(1)
        assert book.address_for(message(thread_id=1, designation="bob@d"), 0) == "bob@d"

    def test_absence_ends(self) -> None:
        book = Addressing(Jid("director", "d", ""), {"d"})
        book.absent(parse_jid("bob@d/x"), 0)
        text = message(designation="Bob@D/y")
        assert book.address_for(text, addressing.ABSENT_US - 1) == "director@d"
        assert book.address_for(text, addressing.ABSENT_US) == "bob@d/y"
        assert book.address_for(text, 0) == "bob@d/y"

    def test_markup_in_an_address_stays_an_address(self) -> None:
        book = Addressing(Jid("director", "d", "a'b"), {"d"})
        assert book.address_for(message(), 0) == "director@d/a&apos;b"


class TestWhoAsked:
    def test_names_survive_the_journal(self) -> None:
        text = TextFromDesk(parse_jid("a@b/c d"), "+1@s/x", "id with\nfeed", "+1", "", "", "body", True)
        origin = origin_of(upstream_id_of(text))
        assert origin is not None
        assert (origin.sender, origin.to, origin.id) == ("a@b/c d", "+1@s/x", "id with\nfeed")

    @pytest.mark.parametrize("other", ["", "123", "a@b", "a@b\nc", "\n\n"])
    def test_other_names_are_told_apart(self, other: str) -> None:
        assert origin_of(other) is None
        assert build_receipt(message(receipt=Receipt(other, ReceiptState.DELIVERED)), "s") == ""

    def test_stanza_ids(self) -> None:
        assert stanza_id(255) == "mff"
        assert is_stanza_id(stanza_id((1 << 63) - 1))
        assert not is_stanza_id("m")
        assert not is_stanza_id("mG")


class TestSettings:
    def test_what_could_never_work(self) -> None:
        good = {"name": "n", "call_centre": "c", "domain": "s.d", "secret": "x", "director": "a@d"}
        assert DeskSettings(**good).domains == {"d"}
        assert DeskSettings(**good, allowed_domains=("B", "c")).domains == {"b", "c"}
        assert "xyzzy" not in repr(DeskSettings(**{**good, "secret": "xyzzy"}))
        for wrong in ({"director": "@"}, {"domain": ""}, {"server": "a b"}):
            with pytest.raises(BadJid):
                DeskSettings(**{**good, **wrong})
        with pytest.raises(ValueError, match="receipt_on"):
            DeskSettings(**good, receipt_on="never")
        with pytest.raises(ValueError, match="window"):
            DeskSettings(**good, window=0)
