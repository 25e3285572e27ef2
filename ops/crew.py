"""Several processes of one hub: how each stands, and what is to be done. Pure; time is an argument, in seconds.

The first process starts alone: it brings the store to its schema and the file into the store. When it serves, the
others start. One that ends before all have served once has a reason that starting it again will not mend (a port that
is taken, a file that the catalog refuses): all end with it, and whoever started them reads why. From then on:

| what happens | what follows |
| --- | --- |
| a process ends | it is started again after a wait |
| one that served says nothing for ``silence_s`` | it hangs: it is killed, and that is an end |
| the file is to be read again | one after the other is told, the next when the one before has done so |
| all are to stop | nothing is started any more |

The wait is ``FIRST_S``, and twice the last one after an end within ``STEADY_S`` of the start, at most ``LONGEST_S``.
Files are read one after the other so that two processes never write the same entries, and never all are busy with it.

What a process says is what it would say to systemd: ``ops.readiness``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0
STEADY_S: Final = 60.0  # who has lived so long did not die of its start
INFINITY: Final = float("inf")
RELOAD_S: Final = 120.0  # who takes longer to read its file is not waited for

READY, RELOADING, STOPPING = "READY=1", "RELOADING=1", "STOPPING=1"  # as in ops.readiness, which does I/O


class Standing(StrEnum):
    """How all of them stand, for the service manager."""

    STARTING = "starting"
    SERVING = "serving"  # all have served
    RELOADING = "reloading"
    STOPPING = "stopping"


class Stage(StrEnum):
    """How a process stands."""

    AWAY = "away"  # it does not run
    STARTING = "starting"
    SERVING = "serving"
    RELOADING = "reloading"
    STOPPING = "stopping"


class Ended(msgspec.Struct, frozen=True):
    """What follows from the end of a process.

    Attributes:
        again_in_s: it is started again then; None when it is not.
        is_failure: it ends all.
    """

    again_in_s: float | None
    is_failure: bool


class _Member(msgspec.Struct):
    """One process.

    Attributes:
        stage: see ``Stage``.
        due: when to start it, while it is away.
        since: its last start.
        heard: when it last said something, once it has served.
        wait_s: how long it was waited for the last time.
    """

    stage: Stage = Stage.AWAY
    due: float = 0.0
    since: float = 0.0
    heard: float | None = None
    wait_s: float = 0.0


class Crew:
    """See the module's head.

    Args:
        count: processes, numbered from 0.
        silence_s: how long one that serves may say nothing.

    Attributes:
        has_served: all have served at once, once.
        is_stopping: they were told to stop.
    """

    def __init__(self, count: int, silence_s: float) -> None:
        if count < 1:
            raise ValueError(f"a crew has at least one process, not {count}")
        self._members = [_Member() for _ in range(count)]
        self._silence_s = silence_s
        self._to_tell: deque[int] = deque()
        self._told: tuple[int, float] | None = None  # who reads its file now, and until when it is waited for
        self.has_served = False
        self.is_stopping = False

    def stages(self) -> Sequence[Stage]:
        """How each stands."""
        return [member.stage for member in self._members]

    @property
    def serving(self) -> int:
        """How many serve."""
        return sum(member.stage in (Stage.SERVING, Stage.RELOADING) for member in self._members)

    @property
    def is_gone(self) -> bool:
        """Whether none runs."""
        return all(member.stage is Stage.AWAY for member in self._members)

    @property
    def standing(self) -> Standing:
        """How all of them stand."""
        if self.is_stopping:
            return Standing.STOPPING
        if not self.has_served:
            return Standing.STARTING
        return Standing.RELOADING if self._told is not None or self._to_tell else Standing.SERVING

    # --- what happened -----------------------------------------------------------------------------------------------

    def started(self, number: int, now: float) -> None:
        """A process runs; it does not serve yet."""
        member = self._members[number]
        member.stage, member.since, member.heard = Stage.STARTING, now, None

    def said(self, number: int, words: Sequence[str], now: float) -> None:
        """A process said something. What is no word of ours, and what it says when it does not run, is nothing."""
        member = self._members[number]
        if member.stage is Stage.AWAY:
            return
        if READY in words and member.stage is not Stage.STOPPING:
            if member.stage is Stage.RELOADING:
                self._no_longer_told(number)
            member.stage = Stage.SERVING
            self.has_served = self.has_served or self.serving == len(self._members)
        elif RELOADING in words and member.stage is Stage.SERVING:
            member.stage = Stage.RELOADING
        elif STOPPING in words:
            member.stage = Stage.STOPPING
            self._no_longer_told(number)
        if member.stage is not Stage.STARTING:
            member.heard = now

    def ended(self, number: int, now: float) -> Ended:
        """A process is gone."""
        member = self._members[number]
        lived_s = now - member.since
        member.stage, member.heard = Stage.AWAY, None
        self._no_longer_told(number)
        if self.is_stopping:
            return Ended(None, is_failure=False)
        if not self.has_served:
            self.stop()
            return Ended(None, is_failure=True)
        member.wait_s = FIRST_S if lived_s >= STEADY_S or not member.wait_s else min(2 * member.wait_s, LONGEST_S)
        member.due = now + member.wait_s
        return Ended(member.wait_s, is_failure=False)

    def _no_longer_told(self, number: int) -> None:
        if self._told is not None and self._told[0] == number:
            self._told = None

    def reload(self) -> None:
        """The file is to be read again, by each from the first on."""
        if not self.is_stopping:
            self._to_tell = deque(range(len(self._members)))

    def stop(self) -> None:
        """All are to stop."""
        self.is_stopping = True
        self._to_tell.clear()
        self._told = None

    # --- what is to be done ------------------------------------------------------------------------------------------

    def to_start(self, now: float) -> Sequence[int]:
        """Processes that are to be started; ``started`` says that they were."""
        if self.is_stopping:
            return []
        is_first_up = self.has_served or self._members[0].stage in (Stage.SERVING, Stage.RELOADING)
        members = self._members if is_first_up else self._members[:1]
        return [n for n, member in enumerate(members) if member.stage is Stage.AWAY and member.due <= now]

    def hung(self, now: float) -> Sequence[int]:
        """Processes that are to be killed; each is named once."""
        numbers = []
        for number, member in enumerate(self._members):
            if self._speaks_by(member) <= now:
                member.heard = None
                numbers.append(number)
        return numbers

    def _speaks_by(self, member: _Member) -> float:
        """When it has to have said something; infinity when it need not: how long it may stop it knows itself."""
        if member.heard is None or member.stage in (Stage.AWAY, Stage.STOPPING):
            return INFINITY
        return member.heard + self._silence_s

    def to_reload(self, now: float) -> int | None:
        """The process that is to be told now to read its file again; it counts as told."""
        if self._told is not None and now >= self._told[1]:
            self._told = None
        while self._told is None and self._to_tell:
            stage = self._members[self._to_tell[0]].stage
            if stage is Stage.STARTING:  # nobody knows which file it has read; a signal would end it now
                return None
            number = self._to_tell.popleft()
            if stage in (Stage.SERVING, Stage.RELOADING):  # who is away reads it at its start
                self._told = (number, now + RELOAD_S)
                return number
        return None

    def next_at(self) -> float:
        """When there may be something to be done, if nothing happens before; infinity for never."""
        times = [INFINITY, *map(self._speaks_by, self._members)]
        if self.has_served and not self.is_stopping:
            times += [member.due for member in self._members if member.stage is Stage.AWAY]
        if self._told is not None:
            times.append(self._told[1])
        return min(times)
