"""Tells in time that letters of authorization expire: a new one has to be signed by somebody, and comes by post (H9).

Once a day and letter there is a line in the log, from thirty days before its last day on, and again each day after it.
A letter that others go on covering is no matter: it was renewed. ``samples`` is for metrics and alert rules.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from provisioning import Loa, catalog
from provisioning.authority import WARN_DAYS, day_of, days_left, is_signed
from provisioning.coverage import expiring
from store import Store, StoreError

LOOK_S = 60.0  # between two looks at the revision and the day: one row read

log = structlog.get_logger("ops.letters")


class LetterWatch:
    """Follows the letters of one store.

    Args:
        store: where they are.
        clock: now in microseconds, UTC.
        look_s: seconds between two looks.
    """

    def __init__(self, store: Store, clock: Callable[[], int], look_s: float = LOOK_S) -> None:
        self._store = store
        self._clock = clock
        self._look_s = look_s
        self._seen: tuple[int, str] = (-1, "")
        self._told: set[str] = set()
        self._days_left: dict[tuple[str, str], int] = {}

    def samples(self) -> list[tuple[str, str, int]]:
        """Letter, call centre, and days that it is valid after today, below 0 when it has expired.

        Of signed letters that have a last day, and were not renewed.
        """
        return [(loa, call_centre, left) for (loa, call_centre), left in self._days_left.items()]

    async def run(self) -> None:
        """Look until cancelled. A store that does not answer is asked again."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning("letters cannot be read", error=type(error).__name__)
            await trio.sleep(self._look_s)

    async def look(self) -> None:
        """Look once: at the letters when the catalog or the day is another than the last time. Raises: StoreError."""
        today = day_of(self._clock())
        revision = await self._store.read(catalog.revision)
        if (revision, today) == self._seen:
            return
        loas = await self._store.read(lambda tx: catalog.entries(tx, Loa))
        # Thousands of ranges take a while to compare, which the message path has no use for.
        soon = await trio.to_thread.run_sync(expiring, loas, today)
        if today != self._seen[1]:
            self._told.clear()
        self._seen = (revision, today)
        self._days_left = {}
        for loa in loas:
            left = days_left(loa, today)
            if left is not None and is_signed(loa) and (left > WARN_DAYS or loa in soon):
                self._days_left[loa.name, loa.call_centre] = left
        for loa in soon:
            self._tell(loa, today)
        self._told &= {loa.name for loa in soon}

    def _tell(self, loa: Loa, today: str) -> None:
        if loa.name in self._told:
            return
        self._told.add(loa.name)
        left = days_left(loa, today)
        said = {"loa": loa.name, "call_centre": loa.call_centre, "valid_until": loa.valid_until, "days_left": left}
        if left is not None and left < 0:
            log.warning("letter has expired", **said)
        else:
            log.warning("letter expires", **said)
