"""How much of the window a peer's own word leaves: congestion_state (SMPP 5.0 §2.9, §4.8.4.18).

Any response may say how loaded its sender is:

    0 idle · 1-29 low · 30-49 medium · 50-79 high · 80-89 optimum · 90-99 nearing congestion · 100 congested

The standard asks the other side to find the rate at which the peer stays between 80 and 90, and leaves open how. Here
it is the window that moves, between 1 and what was agreed, as TCP's does (RFC 5681): a window that is too large is what
congests.

- 100: one request at a time;
- 90 to 99: half of what is on the way. The requests that were on the way by then will say the same again, so it counts
  once for all of them;
- 80 to 89: as it is;
- below, and in answers that say nothing: one more for each window's worth of answers. So a peer that goes silent, or
  says something only while it suffers, is not held to its last word.

Values above 100 are reserved, hence nothing (§2.11.1). A peer that never says anything is held to its window only, at
no cost. ESME_RTHROTTLED is another matter: a refusal, not a forecast, and the link as a whole rests then.

Pure.
"""

from __future__ import annotations

from typing import Final

TAG_CONGESTION_STATE: Final = 0x0428

OPTIMUM: Final = 80
NEARING: Final = 90
CONGESTED: Final = 100


class Congestion:
    """The effective window of one session.

    Args:
        window: the most that may be on the way.

    Attributes:
        state: what the peer said last, 0…100; None when its last answers said nothing.
        limit: how many requests may be on the way now, 1…window (0 when the window is).
    """

    def __init__(self, window: int) -> None:
        self.state: int | None = None
        self.limit = window
        self._window = window
        self._credit = 0  # answers since the window last grew
        self._told = 0  # since the last ``answered``
        self._withheld = 0  # of these, those that do not let the window grow
        self._mark = 0  # the ordinal up to which requests were on the way when the window was last cut

    @property
    def matters(self) -> bool:
        """Whether answers are to be told of with ``answered``."""
        return self.state is not None or self.limit < self._window

    def configure(self, window: int) -> None:
        """Keep to another window. What was cut stays cut."""
        if self.limit == self._window or window < self.limit:
            self.limit = window
        self._window = window

    def told(self, state: int, ordinal: int, last: int) -> None:
        """The peer has said how it is.

        Args:
            state: congestion_state.
            ordinal: of the request that was answered; they rise in the order of sending.
            last: of the last request sent.
        """
        if not 0 <= state <= CONGESTED:
            return
        self.state = state
        self._told += 1
        if state < OPTIMUM:
            return
        self._withheld += 1
        self._credit = 0
        if state == CONGESTED:
            self.limit = min(self.limit, 1)
            self._mark = last
        elif state >= NEARING and ordinal > self._mark:
            on_the_way = last - ordinal + 1
            self.limit = max(min(self.limit, on_the_way) // 2, min(self.limit, 1))
            self._mark = last

    def answered(self, count: int) -> None:
        """So many requests were answered since the last call, those of ``told`` among them."""
        if not self._told:
            self.state = None
        growing = max(count - self._withheld, 0)
        self._told = self._withheld = 0
        self._credit += growing
        while self.limit < self._window and self._credit >= self.limit:
            self._credit -= self.limit
            self.limit += 1
        if self.limit == self._window:
            self._credit = 0
