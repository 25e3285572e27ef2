"""What became of each text: the account that a run ends with. Pure.

A flow is one way that texts take, such as from applications to the carrier. Its keys are 0, 1, 2 … in the order in
which the texts were offered, and travel in the texts themselves; a lane is an address, within which order counts.
Receipts are a flow too, under the keys of the texts that they are about, and in no lane.

    lost         acknowledged, not arrived, and its sender was not told that it failed
    doubled      arrived again although nothing had been in doubt
    disordered   arrived for the first time after one of its lane that was offered later

A text is in doubt when a session fell that may have held it unanswered: a request of the sender's that was not
answered, or one of the last that the receiver took on that session, as many as the hub's window allows to be
unanswered. The latter are in doubt too when the session of a node that has stopped still stands, and another node sends
them by a newer one. A text in doubt may come twice, or, when its sender was never told that it was taken, not at all.

One octet is kept for each text.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

_ACKNOWLEDGED, _REFUSED, _DOUBT, _ARRIVED, _FAILED, _OFFERED = 1, 2, 4, 8, 16, 32
_STATES = 64
_OVER = _REFUSED | _ARRIVED | _FAILED


class Account(msgspec.Struct, frozen=True):
    """Counts of one flow; see the module's head.

    Attributes:
        offered: texts that were sent.
        acknowledged, refused: by answers of the hub.
        doubtful: that were in doubt at some time.
        arrived: at least once.
        failed: whose sender was told that they will not arrive.
        again: arrivals beyond the first one of texts in doubt.
        strange: arrivals of what nobody offered.
        open: neither arrived nor refused nor failed, acknowledged or not.
        lost, doubled, disordered: violations.
    """

    flow: str
    offered: int
    acknowledged: int
    refused: int
    doubtful: int
    arrived: int
    failed: int
    again: int
    strange: int
    open: int
    lost: int
    doubled: int
    disordered: int


class Flow:
    """One way that texts take.

    Args:
        name: for the account.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._states = bytearray()
        self._last: dict[int, int] = {}  # lane → the latest key that arrived
        self._waiting = 0  # acknowledged and not over
        self._again = self._strange = self._doubled = self._disordered = 0

    def offer(self) -> int:
        """A text is about to be sent. Returns: its key."""
        self._states.append(_OFFERED)
        return len(self._states) - 1

    def offer_as(self, key: int) -> None:
        """Something about the text of another flow with this key is about to be sent; more than once is as once."""
        if key >= len(self._states):
            self._states += bytes(key + 1 - len(self._states))
        self._states[key] |= _OFFERED

    def acknowledge(self, key: int) -> None:
        """The hub took responsibility for it."""
        state = self._states[key]
        if not state & _ACKNOWLEDGED:
            self._waiting += not state & _OVER
            self._states[key] = state | _ACKNOWLEDGED

    def refuse(self, key: int) -> None:
        """The hub did not take it, and it is not sent again."""
        self._end(key, _REFUSED)

    def fail(self, key: int) -> None:
        """The sender was told that it will not arrive."""
        self._end(key, _FAILED)

    def doubt(self, keys: Iterable[int]) -> None:
        """A session fell that may have held them unanswered."""
        for key in keys:
            self._states[key] |= _DOUBT

    def arrive(self, key: int, lane: int | None) -> bool:
        """It arrived, in a lane if order counts. Returns: whether for the first time, of a text that was offered."""
        state = self._states[key] if key < len(self._states) else 0
        if not state & _OFFERED:
            self._strange += 1
            return False
        if state & _ARRIVED:
            if state & _DOUBT:
                self._again += 1
            else:
                self._doubled += 1
            return False
        if lane is not None:
            if self._last.get(lane, -1) > key:
                self._disordered += 1
            else:
                self._last[lane] = key
        self._end(key, _ARRIVED)
        return True

    def _end(self, key: int, how: int) -> None:
        state = self._states[key]
        self._waiting -= bool(state & _ACKNOWLEDGED and not state & _OVER)
        self._states[key] = state | how

    def has_arrived(self, key: int) -> bool:
        """Whether it arrived at least once."""
        return key < len(self._states) and bool(self._states[key] & _ARRIVED)

    def is_over(self, key: int) -> bool:
        """Whether it arrived, was refused or failed."""
        return bool(self._states[key] & _OVER)

    @property
    def waiting(self) -> int:
        """Acknowledged texts that are still to arrive."""
        return self._waiting

    def account(self) -> Account:
        """How it stands now: at the end of a run, what waits is lost."""
        counts = [self._states.count(state) for state in range(_STATES)]

        def having(mask: int, value: int) -> int:
            return sum(count for state, count in enumerate(counts) if state & mask == value)

        return Account(
            self.name,
            offered=having(_OFFERED, _OFFERED),
            acknowledged=having(_ACKNOWLEDGED, _ACKNOWLEDGED),
            refused=having(_REFUSED, _REFUSED),
            doubtful=having(_DOUBT, _DOUBT),
            arrived=having(_ARRIVED, _ARRIVED),
            failed=having(_FAILED, _FAILED),
            again=self._again,
            strange=self._strange,
            open=having(_OVER | _OFFERED, _OFFERED),
            lost=having(_ACKNOWLEDGED | _OVER, _ACKNOWLEDGED),
            doubled=self._doubled,
            disordered=self._disordered,
        )
