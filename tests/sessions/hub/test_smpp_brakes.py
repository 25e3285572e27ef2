"""An SMPP endpoint's brakes over several sessions and parts. One session: test_smpp_endpoint.py."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from hub import Part, Result
from smpp.constants import CommandStatus as Status
from smpp.pdu import SubmitSm
from tests.sessions.hub.test_smpp_endpoint import benched, idle, now_us


@pytest.mark.parametrize("status", [Status.ESME_RTHROTTLED, Status.ESME_RMSGQFUL])
async def test_a_throttled_link_rests_though_it_binds_again(autojump_clock: Any, status: Status) -> None:
    async with benched() as bench:
        _, peer = await bench.connect(window=10)
        bench.endpoint.deliver(bench.parts(1))
        await peer.answer(await peer.expect(SubmitSm), status)
        await idle()
        start = now_us()
        await peer.close()
        await idle()
        assert bench.endpoint.sessions == []
        await bench.connect(window=10)
        assert now_us() - start < 400_000
        assert bench.endpoint.room() == 0
        await trio.sleep(0.6)
        assert bench.endpoint.room() == 1  # it goes on slowly
        assert bench.endpoint.rate_limit() < 2


async def test_an_agreed_rate_counts_pdus_and_not_texts(autojump_clock: Any) -> None:
    async with benched(per_s=100.0) as bench:
        _, peer = await bench.connect(window=100)
        (long,) = bench.parts(1)
        assert bench.endpoint.room() == 10
        bench.endpoint.deliver([Part(long.message, number, 7, long.payload) for number in range(1, 8)])
        assert bench.endpoint.room() == 3
        for _ in range(7):
            await peer.answer(await peer.expect(SubmitSm), message_id="x")
        await idle()
        assert bench.road.results() == [(1, Result.ACCEPTED)] * 7
