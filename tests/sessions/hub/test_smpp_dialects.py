"""What an SMPP endpoint does by its peer's dialect while a session is there. What it writes: unit/translators."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from hub import Part, ReceiptWanted, Result
from smpp.pdu import DataSm, SubmitSm
from smpp.segmentation import Method
from smpp.timeformat import parse_time
from smpp.tlv import Tag
from tests.sessions.hub.test_smpp_endpoint import Bench, benched, idle
from translators.smpp_messages import Dialect

TO_FIT = Dialect(transliterate="to-fit")
TIME_TO_LIVE = int(Tag.QOS_TIME_TO_LIVE)
HOUR_US = 3_600_000_000


def parts_of(bench: Bench, text: str, number: int = 1, **fields: Any) -> list[Part]:
    """The parts of one message."""
    (some,) = bench.parts(1, number)
    message = msgspec.structs.replace(some.message, text=text, **fields)
    payloads = bench.endpoint.split(message)
    return [Part(message, at, len(payloads), payload) for at, payload in enumerate(payloads, 1)]


async def test_a_transliterated_text_is_counted_and_noted_once_it_is_taken(autojump_clock: Any) -> None:
    async with benched(dialect=TO_FIT) as bench:
        _, peer = await bench.connect()
        parts = [*parts_of(bench, "’" + "a" * 200), *parts_of(bench, "plain", 2), *parts_of(bench, "я", 3)]
        assert [(part.number, part.total) for part in parts] == [(1, 2), (2, 2), (1, 1), (1, 1)]
        for part in parts:
            bench.endpoint.deliver([part])
            await peer.answer(await peer.expect(SubmitSm), message_id="x")
        await idle()
        noted = [(o.part.message.id, o.part.number, o.result, o.reason) for o in bench.road.reported]
        assert noted == [
            (1, 1, Result.ACCEPTED, ""),
            (1, 2, Result.ACCEPTED, "transliterated"),
            (2, 1, Result.ACCEPTED, ""),
            (3, 1, Result.ACCEPTED, ""),
        ]
        assert bench.endpoint.faults()["transliterated"] == 1


async def test_nothing_is_noted_where_nothing_is_transliterated(autojump_clock: Any) -> None:
    async with benched() as bench:
        _, peer = await bench.connect()
        bench.endpoint.deliver(parts_of(bench, "it’s"))
        assert (await peer.expect(SubmitSm)).data_coding == 8
        assert "transliterated" not in bench.endpoint.faults()


async def test_a_data_sm_says_how_long_the_text_has_left_at_that_moment(autojump_clock: Any) -> None:
    dialect = Dialect(submit_with="data_sm", send_validity=True)
    async with benched(dialect=dialect) as bench:
        _, peer = await bench.connect()
        (part,) = parts_of(bench, "hello", expires_us=bench.parts(1)[0].message.received_us + HOUR_US)
        await trio.sleep(600)
        bench.endpoint.deliver([part])
        pdu = await peer.expect(DataSm)
        assert dict(pdu.tlvs)[int(Tag.MESSAGE_PAYLOAD)] == b"hello"
        assert int.from_bytes(dict(pdu.tlvs)[TIME_TO_LIVE], "big") == 3000
        await peer.answer(pdu, message_id="d1")
        await idle()
        assert [(o.result, o.carrier_id) for o in bench.road.reported] == [(Result.ACCEPTED, "d1")]


async def test_a_data_sm_says_nothing_of_time_unasked(autojump_clock: Any) -> None:
    async with benched(dialect=Dialect(submit_with="data_sm")) as bench:
        _, peer = await bench.connect()
        bench.endpoint.deliver(parts_of(bench, "hello"))
        assert TIME_TO_LIVE not in dict((await peer.expect(DataSm)).tlvs)


async def test_an_smsc_that_speaks_3_3_is_sent_submit_sm_instead(autojump_clock: Any) -> None:
    """Whatever was agreed: it has no data_sm, and a text that could go must not end as a dead letter."""
    async with benched(dialect=Dialect(submit_with="data_sm", send_validity=True, method=Method.SAR)) as bench:
        _, peer = await bench.connect(version=None)
        received_us = bench.parts(1)[0].message.received_us
        parts = parts_of(bench, "a" * 200, receipt_wanted=ReceiptWanted.FINAL, expires_us=received_us + HOUR_US)
        for part, carrier_id in zip(parts, ("one", "two"), strict=True):
            assert isinstance(part.payload, DataSm)
            bench.endpoint.deliver([part])
            pdu = await peer.expect(SubmitSm)
            assert (pdu.tlvs, pdu.destination_addr, pdu.registered_delivery) == ((), "447700900123", 1)
            assert pdu.short_message[:2] in (b"\x05\x00", b"\x06\x08")
            assert parse_time(pdu.validity_period, received_us) == received_us + HOUR_US
            await peer.answer(pdu, message_id=carrier_id)
            await idle()
        assert [(o.result, o.carrier_id, o.receipt_expected) for o in bench.road.reported] == [
            (Result.ACCEPTED, "one", True),
            (Result.ACCEPTED, "two", True),
        ]
        assert bench.road.reported[0].part is parts[0]
