"""Identification elements (H8) on the road: stored with each text of a number, and seen by Wireshark on the wire."""

from __future__ import annotations

from pathlib import Path

import trio

from hub import Concatenation, history
from hub.enum_answers import EnumAnswer
from hub.model import ELEMENT, REMOTE_ELEMENT, Message
from provisioning import CallCentre, Directory, Number
from smpp.codec import encode
from smpp.pdu import SubmitSm
from tests.fixtures_hub import CUSTOMER, EPOCH_US, NUMBER, Clock, World, inbound, make_directory, reply, transit
from tests.integration.tshark import dissect, wrong_in
from tests.unit.translators.test_smpp_messages_dialects import text_message
from translators.smpp_messages import Dialect, write_messages

TAG = 0x1542
ELEMENT_OF_NUMBER = "SPID:6006"
ELEMENT_OF_CENTRE = "OCN:7421"
POOLED = "+16175550007"


def directory() -> Directory:
    """A number with an element of its own, and a block that has its call centre's."""
    centre = CallCentre(name="acme", default_number=NUMBER, default_link="link:one", element=ELEMENT_OF_CENTRE)
    number = Number(number=NUMBER, call_centre="acme", element=ELEMENT_OF_NUMBER)
    return make_directory(call_centres=[centre], numbers=[number])


def given(world: World, name: str) -> list[Message]:
    return [part.message for _, part in world.endpoints[name].given]


async def test_each_text_of_a_number_carries_its_element(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.directory = directory()
    for name in ("link:one", "account:agg", "desk:help"):
        world.add(name)
    async with world.running():
        await world.settled()
        await world.receive("link:one", inbound("to the number", attributes={REMOTE_ELEMENT: "SPID:1111"}))
        await world.receive("link:one", inbound("to a pooled one", destination=POOLED))
        parts = [inbound(f"part {n}", concatenation=Concatenation(9, 2, n), destination=POOLED) for n in (1, 2)]
        await world.receive("link:one", *parts)
        await world.receive("desk:help", reply("from the number"))
        await world.receive("account:agg", transit("in transit"))
        await world.receive("link:one", inbound("STOP"))
        await world.until(lambda: len(given(world, "desk:help")) == 4 and len(given(world, "link:one")) == 3)
    at_desk, at_link = given(world, "desk:help"), given(world, "link:one")
    assert [(m.attributes.get(ELEMENT), m.attributes.get(REMOTE_ELEMENT)) for m in at_desk] == [
        (ELEMENT_OF_NUMBER, "SPID:1111"),
        (ELEMENT_OF_CENTRE, None),
        (ELEMENT_OF_CENTRE, None),
        (ELEMENT_OF_NUMBER, None),
    ]
    by_text = {m.text: m.attributes.get(ELEMENT) for m in at_link}
    assert by_text.pop("from the number") == ELEMENT_OF_NUMBER
    assert by_text.pop("in transit") is None
    assert list(by_text.values()) == [ELEMENT_OF_NUMBER], "the hub's own answer to the word"
    told = await world.store.read(lambda tx: history.texts(tx, "acme", customer=CUSTOMER, number=NUMBER))
    assert {text.element for text in told} == {ELEMENT_OF_NUMBER}


class Answers:
    """A directory that knows one number."""

    def __init__(self, valid_until_us: int) -> None:
        self._answer = EnumAnswer("SPID:2222", "", valid_until_us)

    def answer(self, e164: str) -> EnumAnswer | None:
        return self._answer if e164 == "+447700900001" else None


async def test_in_transit_the_destinations_is_carried_while_the_answer_holds(
    any_world: World, fast_clock: Clock
) -> None:
    world = any_world
    for name in ("link:one", "account:agg"):
        world.add(name)
    async with world.running() as hub:
        await world.settled()
        hub._intake.answers = Answers(hub.clock() + 10**12)
        await world.receive("account:agg", transit("known", "+447700900001"), transit("unknown", "+447700900002"))
        hub._intake.answers = Answers(EPOCH_US - 1)
        await world.receive("account:agg", transit("no longer", "+447700900001"))
        await world.until(lambda: len(given(world, "link:one")) == 3)
        await trio.lowlevel.checkpoint()
    assert {m.text: m.attributes.get(ELEMENT) for m in given(world, "link:one")} == {
        "known": "SPID:2222",
        "unknown": None,
        "no longer": None,
    }


def test_wireshark_sees_it_as_a_vendors(tmp_path: Path) -> None:
    message = text_message(attributes={ELEMENT: ELEMENT_OF_NUMBER})
    (pdu,) = write_messages(message, Dialect(element_tlv=TAG), SubmitSm)
    (fields,) = dissect([encode(pdu)], tmp_path)
    assert wrong_in(fields) == []
    shown = [str(value).replace(":", "") for values in fields.values() for value in values]
    assert any(ELEMENT_OF_NUMBER.encode().hex() in value for value in shown), fields
    assert any(value.lower() in (f"0x{TAG:04x}", f"0x{TAG:x}") for value in shown), fields
