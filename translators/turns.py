"""Whose password is looked at next: a shell around a queue of strangers, each address in its turn.

A password costs tens of milliseconds of a core (``provisioning.passwords``). Who asks from where its account has bound
before does not wait for strangers: it has turns of its own. Strangers have one turn at a time, and one address waits
behind itself only: of two that ask, one with a hundred binds and one with one, the second is next but one. After a
password that was wrong the strangers' turn rests for ``REST`` times what it took, so a flood has a fraction of a core,
and a hub that was just started, to which all are strangers, looks at right passwords without a rest.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

KNOWN_AT_ONCE: Final = 2
REST: Final = 3.0  # a quarter of a core is the strangers'


class Turns:
    """The turns of one port."""

    def __init__(self) -> None:
        self._known = trio.CapacityLimiter(KNOWN_AT_ONCE)
        self._taken = False  # the strangers' turn
        self._waiting: OrderedDict[str, deque[trio.Event]] = OrderedDict()  # by source, the next one first
        self._rested_at = 0.0

    @asynccontextmanager
    async def turn(self, source: str, is_known: bool) -> AsyncIterator[Turn]:
        """Hold a turn; waits for it.

        Args:
            source: whose it is.
            is_known: not a stranger.

        Cancellation: the turn, or the place in the queue, is given up.
        """
        turn = Turn()
        if is_known:
            async with self._known:
                yield turn
            return
        await self._wait(source)
        try:
            await trio.sleep_until(self._rested_at)
            turn.began = trio.current_time()
            yield turn
        finally:
            if turn.was_wrong:
                now = trio.current_time()
                self._rested_at = now + (now - turn.began) * REST
            self._give_on()

    async def _wait(self, source: str) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._taken:
            self._taken = True
            return
        mine = trio.Event()
        self._waiting.setdefault(source, deque()).append(mine)
        try:
            await mine.wait()
        except trio.Cancelled:
            if mine.is_set():
                self._give_on()
            else:
                self._drop(source, mine)
            raise

    def _drop(self, source: str, mine: trio.Event) -> None:
        queue = self._waiting[source]
        queue.remove(mine)
        if not queue:
            del self._waiting[source]

    def _give_on(self) -> None:
        if not self._waiting:
            self._taken = False
            return
        source, queue = self._waiting.popitem(last=False)
        queue.popleft().set()
        if queue:
            self._waiting[source] = queue  # behind the others


class Turn:
    """What its holder says of it.

    Attributes:
        was_wrong: the password was, or nobody waited to hear: the next one has to wait.
        began: when it did.
    """

    __slots__ = ("began", "was_wrong")

    def __init__(self) -> None:
        self.was_wrong = False
        self.began = 0.0
