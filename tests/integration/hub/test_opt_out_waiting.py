"""What waits for who went out is found, whatever else waits for them, and whoever they are."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.testing import MockClock as Clock

from hub import Accepted, opt_out_follower
from tests.fixtures_hub import CUSTOMER, FAR_AWAY, NUMBER, OTHER_NUMBER, World, transit
from tests.integration.hub.test_opt_out import Scene, changed, refused


async def test_what_waits_from_others_hides_nothing(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full page of texts that their recipient wants: those behind it are looked at too, and everybody else's."""
    monkeypatch.setattr(opt_out_follower, "WAITING_PAGE", 3)
    monkeypatch.setattr(opt_out_follower, "PAGE", 2)
    scene = Scene(any_world)
    scene.link.window = 0
    async with any_world.running():
        wanted = [transit(f"alert {n}", CUSTOMER, "+15550001111") for n in range(7)]
        await any_world.receive("account:agg", *wanted)
        for customer in (CUSTOMER, FAR_AWAY):
            assert isinstance(await scene.answer("waits", customer), Accepted)
        await scene.change(changed("out"))
        await any_world.until_counts({"DEAD": 1, "QUEUED": 8})
        await scene.change(*(changed("out", OTHER_NUMBER, f"+1202555010{n}") for n in range(4)))
        await scene.change(changed("out", customer=FAR_AWAY))
        await any_world.until_counts({"DEAD": 2, "QUEUED": 7})
        await scene.followed(6)
        assert refused(await scene.answer(customer=FAR_AWAY))


async def test_a_start_after_a_stopall_counts_where_texts_carry_the_business_name(
    any_world: World, fast_clock: Clock
) -> None:
    """Nobody can text START to a name: what is known of the number counts for it, where nothing is known of itself."""
    scene = Scene(any_world)
    async with any_world.running():
        await scene.customer("STOPALL", OTHER_NUMBER)
        assert refused(await scene.answer(desk="desk:shy"))
        await scene.customer("START", OTHER_NUMBER)
        assert isinstance(await scene.answer(desk="desk:shy"), Accepted)
        await scene.change(changed("out", "OTHER", since_us=any_world.now_us()))
        await scene.followed(3)
        assert refused(await scene.answer(desk="desk:shy")), "the name's own entry counts"


async def test_a_text_on_its_way_to_the_journal_is_found_when_the_ledger_was_changed_beside_it(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken before the daemon learnt of the change, and written after the daemon looked at what waits."""
    monkeypatch.setattr(opt_out_follower, "LOOK_S", 1e9)
    step, looked = opt_out_follower.OptOutFollower.step, trio.Event()

    async def told_of(self: opt_out_follower.OptOutFollower) -> bool:
        found = await step(self)
        looked.set()
        return found

    monkeypatch.setattr(opt_out_follower.OptOutFollower, "step", told_of)
    scene = Scene(any_world)
    scene.link.window = 0
    go = threading.Event()
    async with any_world.running() as hub:
        await looked.wait()
        await scene.change(changed("out"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(any_world.store.transact, lambda tx: go.wait(20))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(any_world.receive, "account:agg", transit("offer", CUSTOMER, NUMBER))
            await trio.testing.wait_all_tasks_blocked()
            hub._opt_outs.changed()
            with trio.move_on_after(1_000):
                await any_world.until(lambda: NUMBER in (hub._opt_outs.senders or ()))
            await trio.sleep(50)  # whoever looks too early has looked by then
            go.set()
        await any_world.until_counts({"DEAD": 1})
