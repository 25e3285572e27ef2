"""Text by text through a running hub, with nothing but foreign programs around it.

The carrier is node-smpp, the aggregators are smpplib, the call centres' server is Prosody, directors and CSRs are
slixmpp, the stores are SQLite and PostgreSQL. The hub is ``smshub run`` on a file. What is ours is only under test.
"""

from __future__ import annotations

import subprocess
import time
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.fixtures_prosody import Prosody
from tests.fixtures_sites import Open
from tests.integration.end_to_end.peers import THREAD, Account, Carrier, Told, until
from tests.integration.end_to_end.sites import CUSTOMER, DOMAIN, NUMBER, OTHER_DOMAIN, OTHER_NUMBER

FINAL, DELIVERY_ACKNOWLEDGEMENT, RECEIPT = 1, 0x08, 0x04
STORES = ["sqlite", "postgresql"]
LONG = (
    "Thank you for texting us {again}. A red light means that the line is lost: switch it off at the back, wait for "
    "thirty seconds, then switch it on again and wait until the light is steady, which may take up to four minutes. "
    "If it is red even then, text us the word LINE and we will test your line from here at once, at no cost to you. "
)


def whole(parts: list[Told]) -> str:
    """What a handset makes of the parts of a text: by their numbers, not by their order."""
    headers = [part["udh"][0] for part in parts]
    assert len({(header[0], header[2], header[3]) for header in headers}) == 1, headers
    assert headers[0][3] == len(parts)
    return "".join(part["text"] for _, part in sorted((header[4], p) for header, p in zip(headers, parts, strict=True)))


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def thread_of(answer: Told) -> ElementTree.Element:
    assert answer["type"] == "result", answer
    return ElementTree.fromstring(answer["xml"])


def jid_of(customer: str = CUSTOMER, domain: str = DOMAIN, number: str = NUMBER) -> str:
    return f"{customer}@{domain}/{number}"


@pytest.mark.parametrize("store", STORES)
def test_a_conversation(open_site: Open, store: str) -> None:
    """Customer, director, CSR and back: threads, designation, order, gaps, receipts of both sides."""
    site = open_site(store)
    carrier, director, alice = site.carrier, site.person("director"), site.person("alice")
    site.start()

    answer = carrier.text(CUSTOMER, NUMBER, "My router shows a red light, {why}?", receipt=True)
    assert answer["status"] == 0
    first = director.text("My router shows a red light, {why}?")
    assert first["sender"] == jid_of()
    assert (first["news"], first["thread"]) == ("new", first["token"])
    receipt = carrier.expect("submit", esm_class=DELIVERY_ACKNOWLEDGEMENT)
    assert receipt["source"] == [1, 1, NUMBER[1:]]
    assert receipt["destination"] == [1, 1, CUSTOMER[1:]]
    assert "stat:DELIVRD" in receipt["text"]
    assert receipt["state"] == 2

    thread = thread_of(
        director.command(DOMAIN, "designate", f"<csr>{alice.jid}</csr>", token=first["token"], place="Dallas")
    )
    assert (thread.get("customer"), thread.get("number"), thread.get("state")) == (CUSTOMER, NUMBER, "open")
    carrier.text(CUSTOMER, NUMBER, "hello?")
    second = alice.text("hello?")
    assert (second["token"], second["news"]) == (first["token"], "continued")
    assert not director.heard("message")

    own = alice.say(second["sender"], LONG, token=second["token"])
    parts = carrier.expect_many(3, "submit", esm_class=0x40)
    assert whole(parts) == LONG
    assert [part["udh"][0][4] for part in parts] == [1, 2, 3]
    assert [part["source"] for part in parts] == [[1, 1, NUMBER[1:]]] * 3  # the 8xx, not the number behind it
    assert {part["registered"] for part in parts} == {FINAL}
    at = [part["at_ms"] for part in parts]
    # The hub keeps 100 ms between its writes; node may be late to look at one of them.
    assert all(later - earlier >= 50 for earlier, later in pairwise(at)), at
    assert at[-1] - at[0] >= 150, at
    for part, shape in zip(parts, ("text", "tlv", "both"), strict=True):
        assert not alice.heard("receipt")
        carrier.report(part, shape=shape)
    assert alice.expect("receipt", id=own)["sender"] == jid_of()

    own = alice.say(second["sender"], "One more thing.", token=second["token"])
    carrier.report(carrier.expect("submit", text="One more thing."), "UNDELIV", err="027")
    error = alice.expect("error", id=own)
    assert (error["type"], error["names"]) == ("cancel", ["recipient-unavailable", "failed"])
    assert not alice.heard("receipt")


@pytest.mark.parametrize("store", STORES)
def test_every_alphabet_both_ways(open_site: Open, store: str) -> None:
    """Emoji, UCS-2 and GSM-7, short and long; parts that arrive in any order."""
    site = open_site(store)
    carrier, director = site.carrier, site.person("director")
    site.start()
    emoji = "Grüße aus 東京 😀👍🏽 "
    carrier.text(CUSTOMER, NUMBER, emoji.strip())
    heard = director.text(emoji.strip())
    director.say(heard["sender"], emoji.strip(), token=heard["token"])
    assert carrier.expect("submit", text=emoji.strip())["coding"] == 8
    director.say(heard["sender"], "ÄÖÜ è ñ € [x]", token=heard["token"])
    assert carrier.expect("submit", text="ÄÖÜ è ñ € [x]")["coding"] == 0

    long_emoji = emoji * 12
    director.say(heard["sender"], long_emoji, token=heard["token"])
    assert whole(carrier.expect_many(4, "submit", coding=8, esm_class=0x40)) == long_emoji

    for reference, text, size, coding in ((7, LONG, 153, 0), (8, emoji * 9, 66, 8)):
        parts = pieces(text, size)
        order = list(range(len(parts)))
        for index in [*order[1::2], *order[::2]]:
            udh = [reference, len(parts), index + 1]
            answer = carrier.text(CUSTOMER, NUMBER, parts[index], udh=udh, coding=coding, receipt=True)
            assert answer["status"] == 0
        director.text(text)
        # Each part was a message to the carrier: each has its receipt.
        carrier.expect_many(len(parts), "submit", esm_class=DELIVERY_ACKNOWLEDGEMENT)
    assert not director.heard("message")


@pytest.mark.parametrize("store", STORES)
def test_call_centres_are_apart(open_site: Open, store: str) -> None:
    """H13: tokens, history and numbers of one are nothing to the other; what is wrong with a token is told."""
    site = open_site(store)
    carrier, director, warden = site.carrier, site.person("director"), site.person("warden", OTHER_DOMAIN)
    site.start()
    carrier.text(CUSTOMER, NUMBER, "secret of acme")
    theirs = director.text("secret of acme")
    carrier.text(CUSTOMER, OTHER_NUMBER, "secret of globex")
    ours = warden.text("secret of globex")
    assert ours["sender"] == jid_of(domain=OTHER_DOMAIN, number=OTHER_NUMBER)
    assert ours["token"] != theirs["token"]

    foreign = ["forbidden", "foreign-token"]
    own = warden.say(jid_of(domain=OTHER_DOMAIN), "give me theirs", token=theirs["token"])
    assert warden.expect("error", id=own)["names"] == foreign
    own = warden.say(jid_of(domain=OTHER_DOMAIN), "as if I were acme")
    assert warden.expect("error", id=own)["names"] == ["forbidden", "not-allowed"]
    for verb, kind in (("designate", "set"), ("transfer", "set"), ("release", "set"), ("history", "get")):
        assert warden.command(OTHER_DOMAIN, verb, kind=kind, token=theirs["token"])["names"] == foreign, verb
    for number in (NUMBER, OTHER_NUMBER):
        past = warden.command(OTHER_DOMAIN, "history", kind="get", customer=CUSTOMER, number=number)
        assert "acme" not in past["xml"]
        assert theirs["token"] not in past["xml"]

    unknown = ["item-not-found", "unknown-token"]
    own = warden.say(jid_of(domain=OTHER_DOMAIN, number=OTHER_NUMBER), "x", token="a" * 26)
    assert warden.expect("error", id=own)["names"] == unknown
    assert warden.command(OTHER_DOMAIN, "release", token="a" * 26)["names"] == unknown
    assert thread_of(warden.command(OTHER_DOMAIN, "release", token=ours["token"])).get("state") == "closed"
    expired = ["gone", "expired-token"]
    own = warden.say(ours["sender"], "too late", token=ours["token"])
    assert warden.expect("error", id=own)["names"] == expired
    assert warden.command(OTHER_DOMAIN, "designate", token=ours["token"])["names"] == expired

    # Nothing of all that left; theirs goes on, ours begins anew, with the business name as its sender (H29).
    director.say(theirs["sender"], "still here", token=theirs["token"])
    assert carrier.expect("submit")["text"] == "still here"
    warden.say(ours["sender"], "anew")
    assert carrier.expect("submit", text="anew")["source"] == [5, 0, "GLOBEX"]
    assert not director.heard("message")
    assert not carrier.heard("submit")


@pytest.mark.parametrize("store", STORES)
def test_an_aggregator_and_a_call_centre(open_site: Open, store: str) -> None:
    """H22: who came through an account is answered through it, though the route leads elsewhere; receipts both ways."""
    site = open_site(store)
    director = site.person("director")
    site.start()
    account, silent = site.account("agg1"), site.account("agg2")
    (taken,) = account.text(CUSTOMER, NUMBER, "through an aggregator", receipt=True)
    assert taken["status"] == 0
    heard = director.text("through an aggregator")
    receipt = account.expect("receipt")
    assert receipt["receipted"] == taken["id"]
    assert receipt["text"].startswith(f"id:{taken['id']} sub:001 dlvrd:001 ")
    assert " stat:DELIVRD err:000 " in receipt["text"]
    assert receipt["state"] == 2
    assert (receipt["source"], receipt["destination"]) == (NUMBER[1:], CUSTOMER[1:])

    own = director.say(heard["sender"], "answered 😀", token=heard["token"])
    answer = account.expect("text")
    assert (answer["text"], answer["coding"]) == ("answered 😀", 8)
    assert (answer["source"], answer["destination"]) == (NUMBER[1:], CUSTOMER[1:])
    director.expect("receipt", id=own)  # an ESME that answered has it: there is nobody who would say more
    director.say(heard["sender"], LONG, token=heard["token"])
    parts = account.expect_many(3, "text", esm_class=0x40)
    assert "".join(part["text"] for part in parts) == LONG.replace("{", "\x1b(").replace("}", "\x1b)")
    assert [part["udh"][-1] for part in parts] == [1, 2, 3]
    assert not silent.heard("text")
    assert not site.carrier.heard("submit")
    (refused,) = account.text(CUSTOMER, "+1", "nowhere")
    assert refused["status"] == 0x0B  # ESME_RINVDSTADR


@pytest.mark.parametrize("store", STORES)
def test_transit(open_site: Open, store: str) -> None:
    """From account to carrier: the receipt names the hub's id in text and TLV, once for each part it gave an id."""
    site = open_site(store)
    carrier = site.carrier
    site.start()
    account = site.account()
    for shape, state, word in (("both", "DELIVRD", 2), ("text", "UNDELIV", 5), ("tlv", "DELIVRD", 2)):
        text = f"in transit, {shape}"
        (taken,) = account.text("+16175550777", CUSTOMER, text, receipt=True)
        out = carrier.expect("submit", text=text)
        assert (out["source"][2], out["destination"][2]) == ("16175550777", CUSTOMER[1:])
        assert out["registered"] == FINAL
        assert out["id"] != taken["id"]
        carrier.report(out, state, shape)
        carrier.report(out, state, "both")  # carriers repeat themselves
        receipt = account.expect("receipt")
        assert receipt["receipted"] == taken["id"]
        assert receipt["text"].startswith(f"id:{taken['id']} ")
        assert f" stat:{state} " in receipt["text"]
        assert receipt["state"] == word

    taken = account.text("+16175550777", CUSTOMER, LONG, receipt=True, parts=3)
    parts = carrier.expect_many(3, "submit", esm_class=0x40)
    assert whole(parts) == LONG
    for part in parts:
        carrier.report(part)
    receipts = account.expect_many(3, "receipt")
    assert sorted(receipt["receipted"] for receipt in receipts) == sorted(part["id"] for part in taken)

    (taken,) = account.text("+16175550777", CUSTOMER, "no receipt wanted")
    assert carrier.expect("submit", text="no receipt wanted")["registered"] == 0
    # A text to the other side behind everything: what was to come has come.
    site.account("agg2")
    (last,) = account.text("+16175550777", CUSTOMER, "last", receipt=True)
    carrier.report(carrier.expect("submit", text="last"))
    assert account.expect("receipt")["receipted"] == last["id"]
    assert not account.heard("receipt")


def test_a_stop_in_the_middle(open_site: Open) -> None:
    """SIGTERM while texts are on the wire: what is owed is answered, all hang up in peace, a restart goes on."""
    site = open_site()
    carrier = site.carrier
    site.start()
    account = site.account()
    carrier.tell(do="hold")
    for number in range(10):
        account.text(f"+1617555{number:04}", CUSTOMER, f"text {number}", receipt=True)
    taken = carrier.expect_many(10, "submit")
    site.hub.terminate()
    account.expect("unbound")
    began = time.monotonic()
    carrier.tell(do="resume")
    assert carrier.expect("unbound")["owed"] == 0
    assert site.hub.wait() == 0
    assert time.monotonic() - began < 3, "nothing was on the wire any more: what did it wait for?"
    assert site.hub.logged("stopped")

    site.start()
    again = site.account()
    for each in taken:
        carrier.report(each)
    assert len(again.expect_many(10, "receipt")) == 10
    # Everything was answered before it stopped: nothing is in doubt, nothing is sent again.
    (last,) = again.text("+16175550777", CUSTOMER, "last")
    assert last["status"] == 0
    assert carrier.expect("submit")["text"] == "last"
    assert site.hub.json("queue", "list") == []


def test_a_director_who_is_away(open_site: Open) -> None:
    """H12: texts wait in their lane, in order, and come when the director does; with a note of when they were sent."""
    site = open_site()
    carrier = site.carrier
    site.start()
    for text in ("first", "second"):
        assert carrier.text(CUSTOMER, NUMBER, text, receipt=True)["status"] == 0
    waiting = until(
        "a queue of two", lambda: [m for m in site.hub.json("queue", "list") if m["endpoint"] == "desk:acme"]
    )
    assert len(waiting) == 2
    director = site.person("director")
    heard = director.expect_many(2, "message")
    assert [each["body"] for each in heard] == ["first", "second"]
    assert heard[0]["token"] == heard[1]["token"]
    carrier.expect_many(2, "submit", esm_class=DELIVERY_ACKNOWLEDGEMENT)

    director.stop()  # and Prosody tells the hub
    carrier.text(CUSTOMER, NUMBER, "third")
    again = site.person("director")
    assert again.text()["body"] == "third"
    carrier.text(CUSTOMER, NUMBER, "fourth")
    assert again.text()["body"] == "fourth"


def test_an_xmpp_server_that_goes_and_comes(open_site: Open, mortal_prosody: Prosody) -> None:
    """Nothing is lost, nothing comes twice, and the token of before still names the thread."""
    site = open_site(server=mortal_prosody)
    carrier, director = site.carrier, site.person("director")
    site.start()
    carrier.text(CUSTOMER, NUMBER, "before")
    token = director.text("before")["token"]
    mortal_prosody.stop()
    for number in range(5):
        assert carrier.text(CUSTOMER, NUMBER, f"meanwhile {number}", receipt=True)["status"] == 0
    mortal_prosody.start()
    director = site.person("director")
    heard = director.expect_many(5, "message")
    assert [each["body"] for each in heard] == [f"meanwhile {number}" for number in range(5)]
    assert {each["token"] for each in heard} == {token}
    own = director.say(heard[0]["sender"], "we are back", token=token)
    carrier.report(carrier.expect("submit", text="we are back"))
    director.expect("receipt", id=own)
    carrier.expect_many(5, "submit", esm_class=DELIVERY_ACKNOWLEDGEMENT)
    assert not director.heard("message")


@pytest.mark.parametrize("store", STORES)
def test_what_makes_a_thread_new(open_site: Open, store: str) -> None:
    """H18, H20, H24, H25, H27: key phrase, product, idleness, release; history and calls."""
    site = open_site(store, acme="idle_s = 3")
    carrier, director, alice = site.carrier, site.person("director"), site.person("alice")
    site.start()
    tokens: list[str] = []

    def text(body: str, news: str) -> Told:
        carrier.text(CUSTOMER, NUMBER, body)
        told = director.text(body)
        assert told["news"] == news, told
        assert (told["token"] in tokens) == (news == "continued")
        tokens.append(told["token"])
        return told

    text("Hello", "new")
    text("My router is red", "continued")  # the first product of a thread is the thread's
    text("still the ROUTER", "continued")
    told = text("and my phone is dead", "new")
    closed = director.command(DOMAIN, "designate", token=tokens[0])
    assert closed["names"] == ["gone", "expired-token"]
    told = text("New  Problem: no light", "new")
    assert thread_of(director.command(DOMAIN, "release", token=told["token"])).get("state") == "closed"
    told = text("me again", "new")

    csr = f"<csr label='Alice'>{alice.jid}</csr>"
    director.command(DOMAIN, "designate", csr, token=told["token"], place="Dallas")
    named = director.command(DOMAIN, "designate", "<csr>bob@localhost</csr>", token=told["token"])
    assert named["names"] == ["conflict", "already-designated"]
    alice.say(told["sender"], "at your service", token=told["token"])
    carrier.report(carrier.expect("submit", text="at your service"))
    addresses = {"customer": CUSTOMER, "number": NUMBER}
    marks = {"direction": "in", "started": "2026-02-03T04:05:09Z", "duration": "61", "outcome": "solved"}
    called = thread_of(director.command(DOMAIN, "call", **addresses, **marks))
    assert called.get("token") == told["token"], "a call finds the open thread"

    past = thread_of(alice.command(DOMAIN, "history", kind="get", **addresses))
    spoken = [(each.get("direction"), each.text) for each in past if each.tag == f"{{{THREAD}}}text"]
    assert ("out", "at your service") in spoken
    assert [body for direction, body in reversed(spoken) if direction == "in"] == [
        "Hello",
        "My router is red",
        "still the ROUTER",
        "and my phone is dead",
        "New  Problem: no light",
        "me again",
    ]
    events = [each for each in past if each.tag == f"{{{THREAD}}}event"]
    (designated,) = [each for each in events if each.get("kind") == "designated"]
    assert (designated.get("csr"), designated.get("place")) == (alice.jid, "Dallas")
    (call,) = [each for each in events if each.get("kind") == "call"]
    assert (call.get("direction"), call.get("duration"), call.get("detail")) == ("in", "61", "solved")
    (page,) = [alice.command(DOMAIN, "history", kind="get", max="2", **addresses)]
    assert len(thread_of(page)) == 2

    time.sleep(3.2)  # the hub's clock is a real one: so much silence ends the thread
    text("a day later", "new")


def test_a_transfer_and_a_csr_who_left(open_site: Open) -> None:
    """H26, H28: the new CSR has the next text; one who is not there leaves it to the director."""
    site = open_site()
    carrier = site.carrier
    director, alice, bob = site.person("director"), site.person("alice"), site.person("bob")
    site.start()
    carrier.text(CUSTOMER, NUMBER, "one")
    token = director.text("one")["token"]
    director.command(DOMAIN, "designate", f"<csr>{alice.jid}</csr>", token=token)
    alice.command(DOMAIN, "transfer", f"<csr>{bob.jid}</csr>", token=token, channel="sms")
    carrier.text(CUSTOMER, NUMBER, "two")
    bob.text("two")
    bob.stop()
    carrier.text(CUSTOMER, NUMBER, "three")
    assert director.text("three")["token"] == token
    assert not alice.heard("message")


@pytest.mark.parametrize("store", STORES)
def test_characters_that_nobody_should_send(open_site: Open, store: str) -> None:
    """What XML or a database cannot carry is neither lost nor the end of anything else."""
    site = open_site(store)
    carrier, director = site.carrier, site.person("director")
    site.start()
    account = site.account()
    for name, character in (("nul", "\0"), ("half", "\ud83d"), ("none", "\uffff"), ("control", "\x0b")):
        answer = carrier.text(CUSTOMER, NUMBER, f"{name} {character} <&>", coding=8, receipt=True)
        assert answer["status"] == 0, name
        assert director.text()["body"] == f"{name} \ufffd <&>"
        carrier.expect("submit", esm_class=DELIVERY_ACKNOWLEDGEMENT)
    for character in ("\0", "\x0b", "\u2028", "\ufffe"):
        (taken,) = account.text("+16175550777", CUSTOMER, f"é{character}漢", receipt=True)
        assert taken["status"] == 0
        carrier.report(carrier.expect("submit", text=f"é{character}漢"))
        assert account.expect("receipt")["receipted"] == taken["id"]
    past = director.command(DOMAIN, "history", kind="get", customer=CUSTOMER, number=NUMBER)
    assert len(thread_of(past)) >= 4
    director.say(jid_of(), "all is well")
    assert carrier.expect("submit")["text"] == "all is well"


def test_a_carrier_with_bad_days(open_site: Open) -> None:
    """Throttling, temporary refusals, receipts that overtake answers, a link that falls: in order, and once."""
    site = open_site()
    carrier = site.carrier
    site.start()
    account = site.account()

    def submit(body: str) -> str:
        (taken,) = account.text("+16175550777", CUSTOMER, body, receipt=True)
        return str(taken["id"])

    carrier.tell(do="answer", statuses=[0x58, 0x14, 0x08, 0x64])  # THROTTLED, MSGQFUL, SYSERR, X_T_APPN
    sent = [submit(f"text {number}") for number in range(3)]
    tries = carrier.expect_many(7, "submit")
    assert [each["text"] for each in tries] == ["text 0"] * 5 + ["text 1", "text 2"]
    for each in tries[4:]:
        carrier.report(each)
    assert [each["receipted"] for each in account.expect_many(3, "receipt")] == sent

    carrier.tell(do="hold")
    early = submit("its receipt comes before its answer")
    carrier.report(carrier.expect("submit"))
    assert not account.heard("receipt")
    carrier.tell(do="resume")
    assert account.expect("receipt")["receipted"] == early

    carrier.tell(do="hold")
    own = submit("in doubt")
    waiting = submit("behind it")
    first = carrier.expect("submit", text="in doubt")
    carrier.tell(do="cut")
    carrier.expect("closed")
    carrier.tell(do="resume")
    carrier.expect("bound")
    again = carrier.expect("submit", text="in doubt")
    behind = carrier.expect("submit")
    assert behind["text"] == "behind it"
    carrier.report(again)
    carrier.report(behind)
    assert [each["receipted"] for each in account.expect_many(2, "receipt")] == [own, waiting]
    carrier.report(first)  # the carrier had it after all
    submit("last")
    carrier.report(carrier.expect("submit", text="last"))
    account.expect("receipt")
    assert not account.heard("receipt")
    assert not carrier.heard("submit")


def test_an_aggregator_who_is_away(open_site: Open) -> None:
    """Texts and receipts for an account wait until it binds again; of several binds, each text takes one."""
    site = open_site()
    director, carrier = site.person("director"), site.carrier
    site.start()
    account = site.account()
    account.text(CUSTOMER, NUMBER, "hello")
    heard = director.text("hello")
    (taken,) = account.text("+16175550777", CUSTOMER, "transit", receipt=True)
    account.tell(do="unbind")
    account.expect("unbound")
    own = director.say(heard["sender"], "are you there?", token=heard["token"])
    carrier.report(carrier.expect("submit", text="transit"))
    assert not director.heard("receipt")
    binds = [site.account(), site.account()]

    def told(event: str) -> Told:
        until(event, lambda: any(bind.heard(event) for bind in binds))
        (only,) = [each for bind in binds for each in bind.heard(event)]
        return only

    assert told("receipt")["receipted"] == taken["id"]
    assert told("text")["text"] == "are you there?"
    director.expect("receipt", id=own)


def test_a_client_that_knows_nothing_of_threads(open_site: Open) -> None:
    """Two clients of a director, no token, no number: one answer, one receipt for the customer."""
    site = open_site()
    carrier, director, second = site.carrier, site.person("director"), site.person("director", resource="telephone")
    site.start()
    carrier.text(CUSTOMER, NUMBER, "to both", receipt=True)
    director.text("to both")
    second.text("to both")
    carrier.expect("submit", esm_class=DELIVERY_ACKNOWLEDGEMENT)
    # The number is not said, and the call centre has no default: it is that of no open thread, and that is told.
    own = director.say(f"{CUSTOMER}@{DOMAIN}", "from nowhere")
    assert director.expect("error", id=own)["names"] == ["jid-malformed", "bad-source"]
    director.say(jid_of(), "by the number alone")
    assert carrier.expect("submit")["text"] == "by the number alone"
    own = director.say(f"nobody@{DOMAIN}/{NUMBER}", "to no number")
    assert director.expect("error", id=own)["names"] == ["jid-malformed", "bad-destination"]


@pytest.mark.parametrize("store", STORES)
def test_a_restart_in_a_conversation(open_site: Open, store: str) -> None:
    """A long answer half sent, a long text half arrived, receipts outstanding, a designation: all go on."""
    site = open_site(store, limits="reassembly_wait_s = 3")
    carrier, director, alice = site.carrier, site.person("director"), site.person("alice")
    site.start()
    carrier.text(CUSTOMER, NUMBER, "hello")
    heard = director.text()
    director.command(DOMAIN, "designate", f"<csr>{alice.jid}</csr>", token=heard["token"])
    long = LONG * 3
    own = alice.say(heard["sender"], long, token=heard["token"])
    parts = carrier.expect_many(2, "submit", esm_class=0x40)
    for number, text in ((1, "first "), (3, " third")):
        assert carrier.text(CUSTOMER, NUMBER, text, udh=[9, 3, number], receipt=True)["status"] == 0
    site.hub.stop()
    lost = alice.say(heard["sender"], "while it is away", token=heard["token"])
    error = alice.expect("error", id=lost)  # the server's, at once: nobody thinks that it went out
    assert error["type"] == "wait"

    site.start()
    parts += carrier.expect_many(7 - len(parts), "submit", esm_class=0x40)
    assert whole(parts) == long
    for part in parts:
        carrier.report(part)
    alice.expect("receipt", id=own)
    assert alice.text()["body"] == "first […] third"
    carrier.expect_many(2, "submit", esm_class=DELIVERY_ACKNOWLEDGEMENT)
    past = thread_of(alice.command(DOMAIN, "history", kind="get", token=heard["token"]))
    texts = [each.text for each in past if each.tag == f"{{{THREAD}}}text"]
    assert texts == ["first […] third", long, "hello"]
    assert not carrier.heard("submit")
    assert not director.heard("message")


def test_what_is_tried_too_long(open_site: Open) -> None:
    """Each side is told that its text expired, when it asked; nothing comes late."""
    site = open_site(link="validity_s = 1", desk="validity_s = 1")
    carrier = site.carrier
    site.start()
    carrier.text(CUSTOMER, NUMBER, "nobody is there", receipt=True)
    receipt = carrier.expect("submit", esm_class=DELIVERY_ACKNOWLEDGEMENT)
    assert " stat:EXPIRED " in receipt["text"]
    director = site.person("director")
    carrier.text(CUSTOMER, NUMBER, "somebody is")
    heard = director.text()
    assert heard["body"] == "somebody is"
    carrier.tell(do="answer", statuses=[0x14] * 100)
    own = director.say(heard["sender"], "an answer", token=heard["token"])
    assert director.expect("error", id=own)["names"] == ["remote-server-timeout", "failed"]
    carrier.tell(do="answer", statuses=[])
    director.say(heard["sender"], "another", token=heard["token"])
    carrier.expect("submit", text="another")
    assert "another" not in {each["text"] for each in carrier.heard("submit")}


@pytest.mark.parametrize("method", ["blocks", "sar", "payload", "udh16"])
def test_the_ways_of_long_texts(open_site: Open, method: str) -> None:
    """H30 and the other methods, over a transmitter and a receiver."""
    site = open_site(link=f'long_message = "{method}"\nbind_mode = "tx+rx"')
    carrier, director = site.carrier, site.person("director")
    site.hub.start()
    for mode in ("bind_transmitter", "bind_receiver"):
        carrier.expect("bound", mode=mode)
    carrier.text(CUSTOMER, NUMBER, "hello")
    heard = director.text()
    own = director.say(heard["sender"], LONG, token=heard["token"])
    count = {"blocks": 3, "sar": 3, "payload": 1, "udh16": 3}[method]
    parts = carrier.expect_many(count, "submit")
    assert "".join(part["text"] for part in parts) == LONG
    if method == "blocks":
        septets = [len(part["text"]) + sum(map(part["text"].count, "{}")) for part in parts]
        assert septets[:-1] == [160] * (count - 1)
        assert all(not part["udh"] and not part["esm_class"] for part in parts)
    elif method == "sar":
        reference = parts[0]["sar"][0]
        assert [part["sar"] for part in parts] == [[reference, 3, number] for number in (1, 2, 3)]
    elif method == "udh16":
        assert [(part["udh"][0][0], part["udh"][0][-2:]) for part in parts] == [(8, [3, n]) for n in (1, 2, 3)]
    assert all(later["at_ms"] - earlier["at_ms"] >= 50 for earlier, later in pairwise(parts))
    for part in reversed(parts):
        carrier.report(part)
    director.expect("receipt", id=own)


# --- TLS -------------------------------------------------------------------------------------------------------------


def certify(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """An authority and a certificate of this name. Returns: authority, certificate, key."""
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    certificate, key, request = folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}.csr"

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
    if not authority.exists():
        constraints = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        openssl("req", "-x509", *curve, "-keyout", str(authority_key), "-out", str(authority), "-days", "2",
                "-subj", "/CN=Test authority", *constraints)  # fmt: skip
    openssl("req", *curve, "-keyout", str(key), "-out", str(request), "-subj", f"/CN={name}",
            "-addext", f"subjectAltName=DNS:{name}")  # fmt: skip
    openssl("x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(authority_key),
            "-CAcreateserial", "-copy_extensions", "copy", "-days", "2", "-out", str(certificate))  # fmt: skip
    return authority, certificate, key


def test_tls_on_both_sides(open_site: Open, tmp_path: Path) -> None:
    """An aggregator binds over TLS and its text goes to the carrier over TLS; each checks the other's certificate."""
    authority, certificate, key = certify(tmp_path, "hub.example")
    _, carrier_certificate, carrier_key = certify(tmp_path, "carrier.example")
    site = open_site(
        smpps=f'tls_port = SMPPS_PORT\ntls_cert_file = "{certificate}"\ntls_key_file = "{key}"',
        link=f'tls = "verify"\ntls_ca_file = "{authority}"\ntls_server_name = "carrier.example"',
        carrier=Carrier(str(carrier_key), str(carrier_certificate)),
    )
    site.start()
    refused = site.bring(Account(site.smpps_port, "agg1", "agg1pass", str(authority), "someone.else.example"))
    told = refused.expect("refused")
    assert "someone.else.example" in told["why"]
    account = site.bring(Account(site.smpps_port, "agg1", "agg1pass", str(authority), "hub.example"))
    account.expect("bound")
    (taken,) = account.text("+16175550777", CUSTOMER, "nobody else reads this", receipt=True)
    assert taken["status"] == 0
    site.carrier.report(site.carrier.expect("submit", text="nobody else reads this"))
    assert account.expect("receipt")["receipted"] == taken["id"]


def test_a_carrier_with_a_wrong_name_gets_no_password(open_site: Open, tmp_path: Path) -> None:
    authority, certificate, key = certify(tmp_path, "someone.else.example")
    site = open_site(
        link=f'tls = "verify"\ntls_ca_file = "{authority}"\ntls_server_name = "carrier.example"',
        carrier=Carrier(str(key), str(certificate)),
    )
    site.hub.start()
    assert "carrier.example" in site.hub.wait_logged("smpp connect failed")["cause"]
    assert not site.carrier.heard("bound")
