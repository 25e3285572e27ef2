"""How far a dispatcher has come in what the store holds for its endpoint. Pure.

``Cursor`` goes through rows in order of id; ``Alarm`` through texts that are not due yet, in order of time.
"""

from __future__ import annotations


class Cursor:
    """How far a scan has come in the rows of one kind.

    Attributes:
        at: every row at or before it has been seen.
        tail: the last row known to be committed and left to the scan.
        on_the_way: rows left to the scan that are not committed yet.
        resuming: True until the first scan has reached the end: a restart finds the store as it is.
        doubtful: True when there may be rows that nobody told of.
    """

    __slots__ = ("_told", "at", "doubtful", "on_the_way", "resuming", "tail")

    def __init__(self) -> None:
        self.at = 0
        self.tail = 0
        self.on_the_way = 0
        self.resuming = True
        self.doubtful = False
        self._told = 0  # the least row that was told of since a reading began, which may be missing in it

    @property
    def behind(self) -> bool:
        """True while the store may hold rows that were not seen."""
        return self.resuming or self.on_the_way > 0 or self.at < self.tail

    @property
    def readable(self) -> bool:
        """True when a scan would find something."""
        return self.resuming or self.doubtful or self.at < self.tail

    def rewind(self, message_id: int, last_id: int = 0) -> None:
        """See this row, and all after it, again: to ``last_id`` at least."""
        self.tail = max(self.tail, self.at, message_id, last_id)
        self.at = min(self.at, message_id - 1)
        self._told = min(self._told or message_id, message_id)

    def came(self, first_id: int, last_id: int) -> None:
        """Rows were committed that are left to the scan.

        Where several nodes give ids out, and the clock of one is ahead, a scan may have gone beyond them already.
        """
        if first_id <= self.at:
            self.rewind(first_id, last_id)
            return
        self.tail = max(self.tail, last_id)
        self._told = min(self._told or first_id, first_id)

    def begin(self) -> None:
        """A page is about to be read."""
        self._told = 0

    def end(self, at: int, last_id: int) -> None:
        """It was read: from behind ``at``, up to and with ``last_id``."""
        if self.at >= at:  # else it was rewound meanwhile
            self.at = max(self.at, last_id)
        if self._told and self._told <= self.at:  # the reading may have begun before that one was there
            self.rewind(self._told)


class Alarm:
    """Texts that are not due yet. They stay in the store, however few: memory is for what can go.

    Attributes:
        at_us: when the next of them may be due, None when none is known.
        seen: (due, id) of the last that was loaded; what comes after it, in this order, was not.
    """

    __slots__ = ("_noted", "at_us", "seen")

    def __init__(self) -> None:
        self.at_us: int | None = None
        self.seen = (0, 0)
        self._noted: list[tuple[int, int]] | None = None

    def note(self, message_id: int, due_us: int) -> None:
        """A text is in the store that is due then."""
        if self._noted is not None:
            self._noted.append((message_id, due_us))
            return
        if self.at_us is None or due_us < self.at_us:
            self.at_us = due_us
        # Its time may have passed while it was on its way to the journal.
        if (due_us, message_id) <= self.seen:
            self.seen = (due_us, message_id - 1)

    def rings(self, now_us: int) -> bool:
        """Whether one may be due."""
        return self.at_us is not None and self.at_us <= now_us

    def begin(self) -> None:
        """What is due is about to be read. What is noted before ``end`` may be missing in the reading."""
        self._noted = []

    def end(self, seen: tuple[int, int], at_us: int | None) -> None:
        """It was read up to ``seen``; the next is due at ``at_us``."""
        noted, self._noted = self._noted or (), None
        self.seen, self.at_us = seen, at_us
        for message_id, due_us in noted:
            self.note(message_id, due_us)
