"""Quotas: what an account may send in a day. Pure; whoever keeps the counts on disk is ``hub.filtering``.

A day is one of UTC: it begins for all accounts at the same moment, whatever summer time does. What is counted is what
was taken: texts and parts of texts that were answered with ESME_ROK, not receipts, and not what was refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

DAY_US: Final = 86_400_000_000


def day_of(now_us: int) -> int:
    """The number of a day: days since 1970-01-01, UTC."""
    return now_us // DAY_US


class Quotas:
    """How much accounts have sent today."""

    def __init__(self) -> None:
        self._day = 0
        self._taken: dict[str, int] = {}
        self._changed: dict[tuple[str, int], int] = {}  # (account, day) → taken, not written down yet

    def load(self, now_us: int, rows: Iterable[tuple[str, int]]) -> None:
        """Take over what was on disk, before anything is counted.

        Args:
            now_us: now.
            rows: (account, taken) of today.
        """
        self._turn(now_us)
        self._taken.update(rows)

    def take(self, account: str, limit: int, now_us: int) -> bool:
        """Count one more if that is within the limit. Returns: whether it is."""
        day = self._turn(now_us)
        taken = self._taken.get(account, 0)
        if taken >= limit:
            return False
        self._taken[account] = self._changed[account, day] = taken + 1
        return True

    def take_back(self, account: str, now_us: int) -> None:
        """One that was counted was not taken after all."""
        day = self._turn(now_us)
        taken = self._taken.get(account, 0)
        if taken:  # 0: the day turned between the two
            self._taken[account] = self._changed[account, day] = taken - 1

    def taken(self, account: str, now_us: int) -> int:
        """What an account has sent today."""
        self._turn(now_us)
        return self._taken.get(account, 0)

    def all_taken(self, now_us: int) -> dict[str, int]:
        """What each account has sent today, of those that sent anything."""
        self._turn(now_us)
        return dict(self._taken)

    def changed(self) -> list[tuple[str, int, int]]:
        """(account, day, taken) of what was counted since the last call, to be written down."""
        rows = [(account, day, taken) for (account, day), taken in self._changed.items()]
        self._changed.clear()
        return rows

    def learn(self, account: str, day: int, others: int) -> None:
        """Other nodes have counted so many more for an account on a day."""
        if day == self._day:
            self._taken[account] = self._taken.get(account, 0) + others
        if (account, day) in self._changed:
            self._changed[account, day] += others

    def unwritten(self, rows: Iterable[tuple[str, int, int]]) -> None:
        """What ``changed`` gave could not be written: give it again, unless more was counted meanwhile."""
        for account, day, taken in rows:
            self._changed.setdefault((account, day), taken)

    def _turn(self, now_us: int) -> int:
        day = now_us // DAY_US
        if day != self._day:
            self._day = day
            self._taken.clear()
        return day
