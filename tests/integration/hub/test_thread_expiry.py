"""Threads whose times have passed end by themselves (H20), and the feed says so."""

from __future__ import annotations

import trio
from trio.abc import Clock

from hub import Accepted, Reason, Rejected, feed
from provisioning import CallCentre
from tests.fixtures_hub import CUSTOMER, NUMBER, World, inbound, make_directory, reply
from threading_tokens import registry


async def test_an_idle_thread_ends_its_token_dies_and_the_next_text_opens_another(
    any_world: World, fast_clock: Clock
) -> None:
    world = any_world
    world.directory = make_directory(
        call_centres=[CallCentre(name="acme", default_number=NUMBER, default_link="link:one", idle_s=60.0)],
        numbers=[n for n in [make_directory().number(NUMBER)] if n is not None],
        blocks=[],
    )
    for name in ("link:one", "desk:help"):
        world.add(name)
    async with world.running():
        await world.settled()
        (first,) = await world.receive("link:one", inbound())
        assert isinstance(first, Accepted)
        await trio.sleep(120)
        with trio.fail_after(600):
            while await world.store.read(lambda tx: registry.list_threads(tx, "acme")):  # noqa: ASYNC110
                await trio.sleep(1)
        (late,) = await world.receive("desk:help", reply(token=first.token))
        assert late == Rejected(Reason.EXPIRED_TOKEN)
        (second,) = await world.receive("link:one", inbound(source=CUSTOMER))
        assert isinstance(second, Accepted)
        assert second.token != first.token
    _, events = await world.store.read(lambda tx: feed.follow(tx, "a follower"))
    assert [event[2] for event in events if event[0] == "thread"] == [
        "new:new-address",
        "closed:elapsed",
        "new:new-address",
    ]
