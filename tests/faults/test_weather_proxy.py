"""The proxy makes the weather that it says, and loses nothing in the sun."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.faults.weather_proxy import MOST_HELD_OCTETS, Way, WeatherProxy, open_proxy

WITHIN_S = 30.0


class Road:
    """A proxy, and the streams on both sides of it."""

    def __init__(self, proxy: WeatherProxy) -> None:
        self.proxy = proxy
        self.came: list[trio.SocketStream] = []
        self.went: list[trio.SocketStream] = []

    async def connect(self) -> trio.SocketStream:
        """Come near."""
        self.went.append(stream := await trio.open_tcp_stream("127.0.0.1", self.proxy.port))
        return stream

    async def pair(self) -> tuple[trio.SocketStream, trio.SocketStream]:
        """Both ends of a connection."""
        count, near = len(self.came), await self.connect()
        with trio.fail_after(WITHIN_S):
            while len(self.came) == count:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.01)
        return near, self.came[-1]


@asynccontextmanager
async def open_road() -> AsyncIterator[Road]:
    """A road to somebody who listens and does nothing by himself."""

    async def arrive(stream: trio.SocketStream) -> None:
        road.came.append(stream)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, arrive, listeners)
        async with open_proxy(listeners[0].socket.getsockname()) as proxy:
            road = Road(proxy)
            yield road
            for stream in road.went:
                await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


async def _exactly(stream: trio.SocketStream, count: int) -> bytes:
    octets = b""
    with trio.fail_after(WITHIN_S):
        while len(octets) < count:
            data = await stream.receive_some()
            assert data, "it ended"
            octets += data
    return octets


async def _ended(stream: trio.SocketStream) -> bool:
    """Whether it ends, with nothing more to read."""
    with trio.fail_after(WITHIN_S):
        try:
            return not await stream.receive_some()
        except trio.BrokenResourceError:
            return True


async def _is_silent(stream: trio.SocketStream) -> bool:
    with trio.move_on_after(0.2):
        await stream.receive_some()
        return False
    return True


@pytest.mark.parametrize("weather", ["sun", "delay", "drips"])
async def test_all_octets_arrive_in_order_both_ways(weather: str) -> None:
    octets = random.Random(1).randbytes(4_000)
    async with open_road() as road:
        proxy = road.proxy
        near, far = await road.pair()
        proxy.delay_s = 0.01 if weather == "delay" else 0.0
        proxy.drips = weather == "drips"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send_all, octets)
            nursery.start_soon(far.send_all, octets[::-1])
            assert await _exactly(far, len(octets)) == octets
            assert await _exactly(near, len(octets)) == octets[::-1]


async def test_the_end_of_one_side_is_the_end_of_the_other_after_the_last_octet() -> None:
    async with open_road() as road:
        near, far = await road.pair()
        await near.send_all(b"last words")
        await near.aclose()
        assert await _exactly(far, 10) == b"last words"
        assert await _ended(far)


async def test_a_cut_ends_both_sides() -> None:
    async with open_road() as road:
        proxy = road.proxy
        near, far = await road.pair()
        proxy.cut()
        assert await _ended(near)
        assert await _ended(far)
        await road.pair()


@pytest.mark.parametrize("way", list(Way))
async def test_a_deaf_direction_carries_nothing_until_it_clears(way: Way) -> None:
    async with open_road() as road:
        proxy = road.proxy
        near, far = await road.pair()
        proxy.deaf.add(way)
        speaker, listener = (near, far) if way is Way.THERE else (far, near)
        await listener.send_all(b"heard")
        await speaker.send_all(b"unheard")
        assert await _exactly(speaker, 5) == b"heard"
        assert await _is_silent(listener)
        proxy.clear()
        assert await _exactly(listener, 7) == b"unheard"


async def test_what_is_held_is_lost_when_its_sender_gives_up() -> None:
    async with open_road() as road:
        proxy = road.proxy
        near, far = await road.pair()
        proxy.deaf.add(Way.THERE)
        await near.send_all(b"never heard")
        await near.aclose()
        assert await _ended(far)


async def test_a_hole_takes_connections_and_says_nothing() -> None:
    async with open_road() as road:
        proxy = road.proxy
        near, far = await road.pair()
        proxy.is_hole = True
        other = await road.connect()
        await other.send_all(b"hello")
        await near.send_all(b"hello")
        assert await _is_silent(other)
        assert await _is_silent(far)
        assert len(road.came) == 1
        proxy.clear()
        assert await _ended(other)
        await road.pair()


async def test_what_it_holds_is_bounded() -> None:
    async with open_road() as road:
        proxy = road.proxy
        near, _ = await road.pair()
        proxy.deaf.add(Way.THERE)
        sent = 0
        with trio.move_on_after(0.5):
            while True:
                await near.send_all(bytes(65_536))
                sent += 65_536
        assert sent < MOST_HELD_OCTETS + 16 * 1024 * 1024  # its own, and what the kernel keeps of a loopback connection


async def test_behind_it_nobody_is_at_home() -> None:
    async with open_proxy(("127.0.0.1", 9)) as proxy, await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
        assert await _ended(stream)
