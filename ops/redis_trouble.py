"""What can be wrong with Redis, for those who use it and need not load its client to know."""

from __future__ import annotations

from typing import Final

REASONS: Final = ("away", "timeout", "credentials", "loading", "read-only", "full", "not-allowed", "refused")
"""What a failure is counted as. ``full``: at ``maxmemory``; ``not-allowed``: by its ACL."""


class RedisTrouble(Exception):
    """Redis did not do what it was asked.

    Attributes:
        reason: one of ``REASONS``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"redis: {reason}")
        self.reason = reason


class RedisAway(RedisTrouble):
    """It cannot be spoken to: nothing can be done before it is back."""


class RedisRefused(RedisTrouble):
    """It answers, and refuses this."""
