"""How many lines of a log strangers may cause. Pure; time is an argument.

Each kind of line has a bucket of its own: some at once, a few a second. What is not written is counted, and told in one
line by whoever keeps the log: nobody fills a disk, or hides among ten thousand lines what matters, by knocking.
"""

from __future__ import annotations

from typing import Final

BURST: Final = 20
PER_S: Final = 2.0


class LogLines:
    """The lines of one log.

    Args:
        burst: lines of a kind at once.
        per_s: of them a second, after that.
    """

    def __init__(self, burst: int = BURST, per_s: float = PER_S) -> None:
        self._burst = burst
        self._per_s = per_s
        self._kinds: dict[str, tuple[float, float]] = {}  # tokens, at
        self._unsaid: dict[str, int] = {}

    def may_say(self, kind: str, now: float) -> bool:
        """Whether to write a line; if not, it is counted.

        Args:
            kind: one of few words: it is remembered for ever.
            now: seconds of any clock that never goes back.
        """
        tokens, at = self._kinds.get(kind, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - at) * self._per_s)
        if tokens < 1:
            self._kinds[kind] = (tokens, now)
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return False
        self._kinds[kind] = (tokens - 1, now)
        return True

    def take_unsaid(self) -> dict[str, int]:
        """How many lines of each kind were not written since the last call."""
        unsaid, self._unsaid = self._unsaid, {}
        return unsaid
