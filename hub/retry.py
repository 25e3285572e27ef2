"""When a refused part is tried again, and when trying ends. Pure.

Temporary refusals back off exponentially with the attempt, by default 5 s, 10 s, 20 s … at most 10 min, each ±20% so
that a carrier that comes back is not met by everything at once (the spread comes from the message's id: no randomness
here).
"""

from __future__ import annotations

import msgspec

THROTTLE_WAIT_US = 500_000


class RetryWaits(msgspec.Struct, frozen=True):
    """How long is waited.

    Attributes:
        first_us: before the first retry; each further one doubles it.
        longest_us: at most.
    """

    first_us: int = 5_000_000
    longest_us: int = 600_000_000


DEFAULT_WAITS = RetryWaits()


def decide_retry(
    attempt: int,
    max_attempts: int,
    message_id: int,
    expires_us: int,
    now_us: int,
    least_wait_us: int = 0,
    waits: RetryWaits = DEFAULT_WAITS,
) -> int | None:
    """When the next attempt is due.

    Args:
        attempt: how many attempts failed so far, 1 or more.
        max_attempts: after which it is given up.
        message_id: spreads the waits.
        expires_us: end of the message's validity.
        now_us: now.
        least_wait_us: a wait that the refusing side asked for.
        waits: first and longest.

    Returns: the time in microseconds, or None when trying ends (attempts used up, or validity over before the wait is).
    """
    if attempt >= max_attempts:
        return None
    wait_us = min(waits.first_us << min(attempt - 1, 16), waits.longest_us)
    wait_us = wait_us * (80 + message_id % 41) // 100
    due_us = now_us + max(wait_us, least_wait_us)
    return due_us if due_us < expires_us else None
