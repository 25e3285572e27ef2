"""A desk against a real Prosody, with slixmpp as the CSR's client."""

from __future__ import annotations

import trio

from hub.model import Reason, ReceiptState, Rejected, Result
from translators.xmpp.component import ComponentStream, Phase, Role

from .conftest import CUSTOMER, DOMAIN, NUMBER, TOKEN, Site, hear

CUSTOMER_JID = f"{CUSTOMER}@{DOMAIN}/{NUMBER}"
PLANES = "a<b>&\"' é Ω 漢 \u2028 😀 \U0010fffd"


async def test_texts_reach_the_director_in_order_and_are_handed_over(site: Site) -> None:
    director = await site.log_in("director")
    desk = await site.start(site.desk())
    desk.deliver([site.part(f"{number} {PLANES}") for number in range(200)])
    for number in range(200):
        heard = await hear(director, "message")
        assert heard["body"] == f"{number} {PLANES}"
    assert heard["sender"] == CUSTOMER_JID
    assert (heard["thread"], heard["token"], heard["news"]) == (TOKEN, TOKEN, "continued")
    await site.hub.until(lambda: len(site.hub.outcomes) == 200)
    assert {outcome.result for outcome in site.hub.outcomes} == {Result.ACCEPTED}


async def test_an_answer_its_delivery_and_its_failure(site: Site) -> None:
    director = await site.log_in("director")
    desk = await site.start(site.desk())
    desk.deliver([site.part("help")])
    heard = await hear(director, "message")
    for own in ("r1", "r2"):
        director.tell(do="say", to=heard["sender"], id=own, body=PLANES, token=heard["token"], request=True)
    await site.hub.until(lambda: len(site.hub.arrivals) == 2)
    first, second = site.hub.arrivals
    assert (first.source, first.destination, first.text, first.token) == (NUMBER, CUSTOMER, PLANES, TOKEN)
    desk.deliver([site.receipt(first.upstream_id, ReceiptState.DELIVERED)])
    assert await hear(director, "receipt") == {"event": "receipt", "sender": CUSTOMER_JID, "id": "r1"}
    desk.deliver([site.receipt(second.upstream_id, ReceiptState.UNDELIVERABLE)])
    error = await hear(director, "error")
    assert (error["id"], error["sender"], error["names"]) == ("r2", CUSTOMER_JID, ["recipient-unavailable", "failed"])


async def test_a_client_that_knows_nothing_of_us_answers_in_the_thread(site: Site) -> None:
    director = await site.log_in("director")
    desk = await site.start(site.desk())
    desk.deliver([site.part("help")])
    heard = await hear(director, "message")
    director.tell(do="say", to=heard["sender"], id="r1", body="yes?", thread=heard["thread"])
    await site.hub.until(lambda: len(site.hub.arrivals) == 1)
    assert site.hub.arrivals[0].token == TOKEN


async def test_a_refusal_is_an_error_at_the_client(site: Site) -> None:
    director = await site.log_in("director")
    await site.start(site.desk())
    site.hub.verdict = lambda _: Rejected(Reason.EXPIRED_TOKEN)
    director.tell(do="say", to=CUSTOMER_JID, id="r1", body="x", token=TOKEN)
    error = await hear(director, "error")
    assert (error["id"], error["type"], error["names"]) == ("r1", "cancel", ["gone", "expired-token"])


async def test_an_absent_director_queues_and_its_return_is_seen(site: Site) -> None:
    """H12, with what Prosody tells: an error for each text, then the director's presence."""
    desk = await site.start(site.desk(first_wait_s=0.2))
    desk.deliver([site.part("1"), site.part("2")])
    await site.hub.until(lambda: len(site.hub.outcomes) == 2)
    assert {(outcome.result, outcome.reason) for outcome in site.hub.outcomes} == {(Result.THROTTLED, "desk-away")}
    assert desk.room() <= 1
    director = await site.log_in("director")
    director.tell(do="presence", to=DOMAIN)
    await site.hub.until(lambda: desk.room() > 1)
    assert desk.statistics().director == "there"
    desk.deliver([site.part("3")])
    assert (await hear(director, "message"))["body"] == "3"
    # The server itself says that a director that announced itself is gone.
    await trio.to_thread.run_sync(director.stop)
    with trio.fail_after(10):
        while desk.room():  # noqa: ASYNC110 - nothing wakes a hub because there is less room
            await trio.sleep(0.02)
    assert desk.statistics().director == "gone"


async def test_designation_sends_the_next_text_to_the_csr(site: Site) -> None:
    director = await site.log_in("director")
    alice = await site.log_in("alice")
    desk = await site.start(site.desk())
    desk.deliver([site.part("1")])
    token = (await hear(director, "message"))["token"]
    command = f"<designate xmlns='urn:smshub:thread:1' token='{token}'><csr>alice@localhost</csr></designate>"
    director.tell(do="iq", to=DOMAIN, id="i1", type="set", xml=command)
    answer = await hear(director, "iq")
    assert (answer["id"], answer["type"]) == ("i1", "result")
    assert "alice@localhost" in answer["xml"]
    desk.deliver([site.part("2")])
    assert (await hear(alice, "message"))["body"] == "2"
    alice.tell(do="iq", to=DOMAIN, id="i2", type="get", xml=f"<history xmlns='urn:smshub:thread:1' token='{token}'/>")
    assert "&lt;hi&gt;" in (await hear(alice, "iq"))["xml"]
    director.tell(do="iq", to=DOMAIN, id="i3", type="set", xml=command.replace(token, "x"))
    refused = await hear(director, "iq")
    assert refused["names"] == ["item-not-found", "unknown-token"]


async def test_presence_discovery_and_ping_of_a_number(site: Site) -> None:
    director = await site.log_in("director")
    await site.start(site.desk())
    number = f"{CUSTOMER}@{DOMAIN}"
    director.tell(do="presence", to=number, type="probe")
    director.tell(do="presence", to=number, type="subscribe")
    seen = set()
    while (number, "subscribed") not in seen:
        presence = await hear(director, "presence")
        seen.add((presence["sender"], presence["type"]))
    for own, xml in (
        ("q1", "<ping xmlns='urn:xmpp:ping'/>"),
        ("q2", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        ("q3", "<query xmlns='jabber:iq:version'/>"),
    ):
        director.tell(do="iq", to=number, id=own, type="get", xml=xml)
    answers = {}
    while len(answers) < 3:
        answer = await hear(director, "iq")
        if answer["id"].startswith("q"):
            answers[answer["id"]] = answer
    assert answers["q1"]["type"] == "result"
    assert "urn:smshub:thread:1" in answers["q2"]["xml"]
    assert answers["q3"]["names"] == ["service-unavailable"]


async def test_two_desks_of_two_components_do_not_meet(site: Site) -> None:
    director = await site.log_in("director")
    one = await site.start(site.desk())
    other = await site.start(site.desk(name="other", domain="other.localhost"))
    one.deliver([site.part("one")])
    other.deliver([site.part("other")])
    senders = {(await hear(director, "message"))["sender"] for _ in range(2)}
    assert senders == {f"{CUSTOMER}@{domain}/{NUMBER}" for domain in (DOMAIN, "other.localhost")}


async def test_a_second_connection_of_one_component_does_not_take_the_first(site: Site) -> None:
    desk = await site.start(site.desk())
    stream = await trio.open_tcp_stream("127.0.0.1", site.server.component_port)
    machine = ComponentStream(Role.CONNECT, secret="component-secret", domain=DOMAIN)
    machine.start()
    async with stream:
        while machine.phase is not Phase.CLOSED:
            octets = machine.take_octets()
            if octets:
                await stream.send_all(octets)
            with trio.fail_after(10):
                data = await stream.receive_some()
            if data:
                machine.receive(bytes(data))
            else:
                machine.receive_end()
    assert machine.error is not None
    assert machine.error.condition == "conflict"
    assert desk.statistics().connections == 1


async def test_a_wrong_secret_is_told(site: Site) -> None:
    desk = site.desk(secret="wrong", first_wait_s=0.1)
    with trio.move_on_after(1.5):
        await desk.run()
    assert desk.statistics().connections == 0


async def test_a_server_that_dies_leaves_no_text_unanswered_for(mortal_site: Site) -> None:
    site = mortal_site
    director = await site.log_in("director")
    desk = await site.start(site.desk(first_wait_s=0.2))
    director.tell(do="presence", to=DOMAIN)
    parts = [site.part(f"{number}") for number in range(300)]
    desk.deliver(parts)
    await trio.to_thread.run_sync(site.server.stop)
    await site.hub.until(lambda: len(site.hub.outcomes) == 300)
    assert {outcome.part.message.id for outcome in site.hub.outcomes} == {part.message.id for part in parts}
    # Throttled: a Prosody that is told to end logs its users out first and returns what comes for them.
    possible = {Result.ACCEPTED, Result.IN_DOUBT, Result.UNSENT, Result.THROTTLED}
    assert {outcome.result for outcome in site.hub.outcomes} <= possible
    assert desk.room() == 0
    await trio.to_thread.run_sync(site.server.start)
    again = await site.log_in("director")
    await site.hub.until(lambda: desk.room() > 0)
    assert desk.statistics().connections == 2
    site.hub.outcomes.clear()
    desk.deliver(parts[:1])
    heard = await hear(again, "message")
    assert heard["id"] == "m1"  # the same identity as the first time
    await site.hub.until(lambda: bool(site.hub.outcomes))
    assert site.hub.outcomes[0].result is Result.ACCEPTED
