"""The fakes and the simulated desk keep their own promises."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from hub.model import Accepted, Arrival
from ops.simulators.desk import SimulatedDesk, run_terminal, simulate_desk
from translators.xmpp.component import ComponentStream, Phase, Role

from .conftest import CUSTOMER, DOMAIN, NUMBER, SECRET, TOKEN, FakeRoad, World


async def test_the_road_answers_one_verdict_for_each_and_keeps_order() -> None:
    road = FakeRoad()
    arrivals = [Arrival(source=str(n), destination="d") for n in range(3)]
    assert await road.receive("desk:help", arrivals) == [Accepted(1, TOKEN)] * 3
    assert road.arrivals == arrivals


async def test_the_road_waits_while_its_gate_is_shut(autojump_clock: MockClock) -> None:
    road = FakeRoad()
    road.gate = trio.Event()
    with trio.move_on_after(1) as scope:
        await road.report("desk:help", [])
    assert scope.cancelled_caught
    assert road.reports == []


async def component(stream: trio.abc.Stream) -> ComponentStream:
    machine = ComponentStream(Role.CONNECT, secret=SECRET, domain=DOMAIN)
    machine.start()
    while machine.phase not in (Phase.OPEN, Phase.CLOSED):
        octets = machine.take_octets()
        if octets:
            await stream.send_all(octets)
        machine.receive(bytes(await stream.receive_some()))
    return machine


async def test_the_simulated_desk_refuses_a_second_component(nursery: trio.Nursery) -> None:
    far = SimulatedDesk(secret=SECRET, domain=DOMAIN)
    pairs = [trio.testing.memory_stream_pair() for _ in range(2)]
    for _, theirs in pairs:
        nursery.start_soon(far.serve_stream, theirs)
    assert (await component(pairs[0][0])).phase is Phase.OPEN
    second = await component(pairs[1][0])
    assert second.phase is Phase.CLOSED
    assert second.error is not None
    assert second.error.condition == "conflict"
    assert far.connected


async def test_the_simulated_desk_over_a_real_socket() -> None:
    async with SimulatedDesk(secret=SECRET, domain=DOMAIN) as far:
        async with await trio.open_tcp_stream("127.0.0.1", far.port) as stream:
            assert (await component(stream)).phase is Phase.OPEN
        await far.wait_until(lambda: not far.connected)


async def test_script_answers_the_first_pattern_that_is_found(autojump_clock: MockClock, world: World) -> None:
    world.far = SimulatedDesk(
        secret=SECRET, domain=DOMAIN, script=[("hours", "9 to 5"), ("h", "what?")], self_designate=True
    )
    desk = world.desk()
    await world.start(desk)
    desk.deliver([world.part("Your HOURS?", thread_news="new:new-address"), world.part("zzz"), world.part("oh")])
    await world.road.until(lambda: len(world.road.arrivals) == 2)
    assert [arrival.text for arrival in world.road.arrivals] == ["9 to 5", "what?"]
    await world.far.wait_until(lambda: bool(world.services.asked))
    assert [asked[0] for asked in world.services.asked] == ["designate"]


async def test_terminal(autojump_clock: MockClock, world: World) -> None:
    desk = world.desk()
    await world.start(desk)
    shown: list[str] = []
    send, receive = trio.open_memory_channel[str](0)
    assert world.nursery is not None

    async def sit() -> None:
        await run_terminal(world.far, write=shown.append, read_line=receive.receive)
        shown.append("left")

    world.nursery.start_soon(sit)
    await trio.testing.wait_all_tasks_blocked()
    await send.send("too early\n")
    desk.deliver([world.part("printer on fire", thread_news="new:new-address")])
    await world.far.wait_until(lambda: world.far.count == 1)
    for line in (
        "/threads",
        "/designate",
        "/history 5",
        "/call out 60 solved",
        "/nonsense",
        "/to 1",
        "/release",
        "we come",
    ):
        await send.send(line + "\n")
    await world.road.until(lambda: len(world.road.arrivals) == 1)
    await send.send("/quit\n")
    await trio.testing.wait_all_tasks_blocked()
    assert world.road.arrivals[0].text == "we come"
    assert shown[1] == "? nobody wrote yet"
    assert shown[2] == f"[1] {CUSTOMER} → {NUMBER} new thread: new-address: printer on fire"
    assert shown[3] == f"*[1] {CUSTOMER} → {NUMBER}"
    assert shown[4] == "  open thread, sms, with csr@desk.example"
    assert "<b>?" in shown[5]
    assert "kind=designated" in shown[6]
    assert "? /help says what there is" in shown
    assert "  closed thread, sms, with nobody" in shown
    assert shown[-1] == "left"
    assert [asked[0] for asked in world.services.asked] == ["designate", "history", "call", "release"]


async def test_simulate_desk_headless(nursery: trio.Nursery) -> None:
    shown: list[str] = []
    far = await nursery.start(
        lambda task_status: simulate_desk(
            secret=SECRET, domain=DOMAIN, port=0, terminal=False, write=shown.append, task_status=task_status
        )
    )
    async with await trio.open_tcp_stream("127.0.0.1", far.port) as stream:
        assert (await component(stream)).phase is Phase.OPEN
        await stream.send_all(
            f"<message from='{CUSTOMER}@{DOMAIN}/{NUMBER}' to='a@b'><body>hi</body></message>".encode()
        )
        await far.wait_until(lambda: far.count == 1)
    assert shown == [f"{CUSTOMER} → {NUMBER}: hi"]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("away", [True, False])
async def test_the_simulated_desk_returns_texts_while_its_director_is_away(
    away: bool, autojump_clock: MockClock, world: World
) -> None:
    desk = world.desk()
    await world.start(desk)
    world.far.director_away = away
    desk.deliver([world.part()])
    await world.road.until(lambda: bool(world.road.outcomes))
    assert world.far.count == (0 if away else 1)
