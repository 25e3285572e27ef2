"""Routes by time and by ENUM answers, on the road."""

from __future__ import annotations

from typing import Any

from hub.enum_answers import EnumAnswer
from provisioning import Route
from tests.fixtures_hub import EPOCH_US, FAR_AWAY, SECOND, make_directory, transit


class Answers:
    """The element of every number; nothing while it is empty."""

    def __init__(self) -> None:
        self.element = ""

    def answer(self, e164: str) -> EnumAnswer | None:
        return EnumAnswer(self.element, "", EPOCH_US * 2) if self.element else None


async def test_texts_go_by_what_is_true_when_they_come(any_world: Any, fast_clock: Any) -> None:
    world = any_world
    one, two, agg = (world.add(name) for name in ("link:one", "link:two", "account:agg"))
    world.directory = make_directory(
        routes=[
            Route(prefix="*", endpoint="link:one"),
            Route(prefix="+44", endpoint="link:two", hours=("Thu 12:00-24:00",)),  # 2026 begins with a Thursday
            Route(prefix="*", endpoint="account:agg", element="SPID:6006"),
        ]
    )
    answers = Answers()
    async with world.running(answers=answers) as hub:
        assert world.now_us() < EPOCH_US + 12 * 3600 * SECOND
        await world.receive("link:two", transit("night"))
        fast_clock.jump(12 * 3600)
        await world.receive("account:agg", transit("day"))
        answers.element = "SPID:6006"
        await world.receive("link:one", transit("known"))
        await world.receive("link:one", transit("short", destination="77377"))  # back where it came from: refused
        await world.until(lambda: len(one.texts() + two.texts() + agg.texts()) == 3)
    assert (one.texts(), two.texts(), agg.texts()) == (["night"], ["day"], ["known"])
    assert hub.counters.refusals["link:one", "no-route"] == 1
    assert FAR_AWAY.startswith("+44")
