"""How fast an endpoint takes what it is given. Pure."""

from __future__ import annotations

import math


class Tempo:
    """Whether an endpoint took its last so many parts within some time.

    Args:
        parts: so many.
        within_us: the time.
    """

    __slots__ = ("_count", "_lasted_us", "_parts", "_since_us", "_within_us")

    def __init__(self, parts: int, within_us: int) -> None:
        self._parts = parts
        self._within_us = within_us
        self._count = 0
        self._since_us = 0
        self._lasted_us = math.inf

    def took(self, count: int, now_us: int) -> None:
        """It was given so many more."""
        self._count += count
        if self._count >= self._parts:
            self._lasted_us = now_us - self._since_us
            self._since_us = now_us
            self._count = 0

    def is_swift(self, now_us: int) -> bool:
        """Whether it did, and not longer ago than that."""
        return self._lasted_us <= self._within_us and now_us - self._since_us <= self._within_us
