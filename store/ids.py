"""Ids of 63 bits that rise with time.

::

    62                                   22 21        12 11          0
    +---------------------------------------+------------+------------+
    | milliseconds since 2024-01-01 (41)    | node (10)  | number (12)|
    +---------------------------------------+------------+------------+

41 bits of milliseconds last until 2093. Ids of one clock rise strictly, whatever the machine's clock does: the clock
keeps the last (millisecond, number) and never goes behind it. When more than 4,096 ids are taken in one millisecond, or
the machine's clock steps back, ids run ahead of time and time catches up.

Pure: now is an argument.
"""

from __future__ import annotations

EPOCH_US = 1_704_067_200_000_000  # 2024-01-01T00:00:00Z, in microseconds since 1970
NODE_BITS = 10
NUMBER_BITS = 12
MAX_NODE = (1 << NODE_BITS) - 1
MAX_ID = (1 << 63) - 1
_NUMBER_MASK = (1 << NUMBER_BITS) - 1
_TIME_SHIFT = NODE_BITS + NUMBER_BITS


class IdClock:
    """Gives out ids of one node, each greater than all before it. Not thread-safe.

    Args:
        node: 0…1023; no two processes that write to one database may share it.
    """

    __slots__ = ("_last", "_node")

    def __init__(self, node: int = 0) -> None:
        if not 0 <= node <= MAX_NODE:
            raise ValueError(f"node must be 0…{MAX_NODE}, not {node}")
        self._node = node << NUMBER_BITS
        self._last = -1  # milliseconds and number as one counter, without the node

    def next(self, now_us: int) -> int:
        """The next id.

        Args:
            now_us: microseconds since 1970, UTC. Times before 2024 count as 2024.
        """
        at = self._last = max(self._last + 1, (now_us - EPOCH_US) // 1000 << NUMBER_BITS, 0)
        return (at >> NUMBER_BITS) << _TIME_SHIFT | self._node | (at & _NUMBER_MASK)

    def take(self, count: int, now_us: int) -> list[int]:
        """The next ``count`` ids, rising. An empty list for 0."""
        first = max(self._last + 1, (now_us - EPOCH_US) // 1000 << NUMBER_BITS, 0)
        self._last = first + count - 1
        node = self._node
        return [(at >> NUMBER_BITS) << _TIME_SHIFT | node | (at & _NUMBER_MASK) for at in range(first, first + count)]

    @property
    def newest(self) -> int:
        """The last id that was given out, or one after it that never was; 0 before the first."""
        at = max(self._last, 0)
        return (at >> NUMBER_BITS) << _TIME_SHIFT | self._node | (at & _NUMBER_MASK)

    def advance_past(self, known_id: int) -> None:
        """Make all later ids greater than ``known_id``: for a start after the machine's clock was set back."""
        at = (known_id >> _TIME_SHIFT) << NUMBER_BITS | _NUMBER_MASK
        self._last = max(self._last, at)


def node_of(identity: int) -> int:
    """Which node gave an id out."""
    return identity >> NUMBER_BITS & MAX_NODE


def id_time_us(identity: int) -> int:
    """When an id was given out: microseconds since 1970, to the millisecond."""
    return (identity >> _TIME_SHIFT) * 1000 + EPOCH_US
