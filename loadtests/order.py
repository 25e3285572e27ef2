"""Whether texts arrive in the order in which they were sent, lane by lane. Pure.

The texts of a measurement begin with their running number in ten digits (``wire.Template``, ``lanes``), which rises
within each lane. So the carrier's end can tell, without knowing what was sent: a number that is lower than one before
it came late, a number that is the last one again was repeated, and all that rise are different texts. That none is
missing is seen by their count.
"""

from __future__ import annotations

from loadtests.wire import COUNTER_DIGITS

BEFORE_TEXT = 5  # registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id, sm_length


class Order:
    """The last number of each lane; a lane is a destination.

    Attributes:
        texts: how many came that were later than all before them in their lane.
        late: how many came behind one that was sent after them.
        repeated: how many came again at once.
        unread: how many bear no number.
    """

    def __init__(self) -> None:
        self.texts = self.late = self.repeated = self.unread = 0
        self._last: dict[bytes, int] = {}

    def note(self, data: bytes, begin: int) -> None:
        """Look at a submit_sm.

        Args:
            data: whole frames.
            begin: where the submit_sm begins.
        """
        index = data.index
        source = index(b"\0", begin + 16) + 3  # behind service_type, its type and plan
        destination = index(b"\0", source) + 3
        end = index(b"\0", destination)
        validity = index(b"\0", end + 4) + 1  # behind esm_class, protocol_id, priority_flag and schedule
        text = index(b"\0", validity) + 1 + BEFORE_TEXT
        digits = data[text : text + COUNTER_DIGITS]
        if data[text - 1] < COUNTER_DIGITS or not digits.isdigit():
            self.unread += 1
            return
        self.add(data[destination:end], int(digits))

    def add(self, lane: bytes, number: int) -> None:
        """Note that a text arrived."""
        last = self._last.get(lane, -1)
        if number > last:
            self._last[lane] = number
            self.texts += 1
        elif number == last:
            self.repeated += 1
        else:
            self.late += 1

    def found(self) -> dict[str, int]:
        """What came of it: ``texts``, ``late``, ``repeated``, ``unread`` and the number of ``lanes``."""
        return {
            "texts": self.texts,
            "late": self.late,
            "repeated": self.repeated,
            "unread": self.unread,
            "lanes": len(self._last),
        }
