"""Messages that somebody has hold of while their rows are changed: they keep their place and are not given."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from hub.journal import Standing


class Grips:
    """Of one dispatcher: who has hold of what. One at a time has hold of a message.

    Attributes:
        rewritten: how messages stand whose rows were written anew while a reading was under way, which may not know.
    """

    def __init__(self) -> None:
        self.rewritten: dict[int, Standing] = {}
        self._ends: dict[int, trio.Event] = {}

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._ends

    def __len__(self) -> int:
        return len(self._ends)

    def begin(self, message_id: int) -> None:
        """Somebody has hold of it."""
        self._ends[message_id] = trio.Event()

    def end(self, message_id: int) -> None:
        """Nobody has, any more."""
        event = self._ends.pop(message_id, None)
        if event is not None:
            event.set()

    async def wait_over(self, message_ids: Sequence[int]) -> None:
        """Wait until nobody has hold of any of these: for moments, as long as a row takes to be written."""
        while events := [self._ends[message_id] for message_id in message_ids if message_id in self._ends]:
            for event in events:
                await event.wait()
