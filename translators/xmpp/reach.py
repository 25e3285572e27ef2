"""Whether the director can be reached (H12). Pure: time is an argument.

XMPP tells it in two ways, and in a third by silence:

- **presence**: a director that sent its presence to the component is known to be there, and the server itself says
  when it is gone (RFC 6121 §4.6). This is the sure way.
- **errors**: a text came back because nobody was there. That is all that many servers tell.
- nothing: a server that stores texts for absent users has answered for them.

    HOPING    nobody said anything: texts go out                    room: the window
    THERE     presence said so                                      room: the window
    AWAY      a text came back; wait, twice as long each time       room: 0
    TRYING    the wait is over: the next text is the trial          room: 1
    GONE      presence said so: only presence ends it               room: 0

A trial is a real text because nothing else tells: a ping to a bare JID is answered by the server for it.
"""

from __future__ import annotations

from enum import Enum

MAX_RESOURCES = 64  # clients of one director that we remember; a director has one or two


class Standing(Enum):
    """See the table at the head."""

    HOPING = "hoping"
    THERE = "there"
    AWAY = "away"
    TRYING = "trying"
    GONE = "gone"


class Reach:
    """What is known of the director's presence.

    Attributes:
        standing: see the table at the head.
        due_us: while AWAY or GONE: when to try, or to ask, again.
    """

    def __init__(self, first_wait_us: int, longest_wait_us: int) -> None:
        self.standing = Standing.HOPING
        self.due_us = 0
        self._first_us = first_wait_us
        self._longest_us = longest_wait_us
        self._wait_us = first_wait_us
        self._resources: set[str] = set()

    def connected(self) -> None:
        """A new stream: what was known is old."""
        self._resources.clear()
        self._hope(Standing.HOPING)

    def room(self, room: int, in_flight: int) -> int:
        """How much of the window's room the director leaves."""
        if self.standing is Standing.HOPING or self.standing is Standing.THERE:
            return room
        if self.standing is Standing.TRYING and in_flight == 0:
            return min(room, 1)
        return 0

    def available(self, resource: str) -> None:
        """A client of the director said that it is there."""
        if len(self._resources) < MAX_RESOURCES:
            self._resources.add(resource)
        self._hope(Standing.THERE)

    def unavailable(self, resource: str, now_us: int) -> None:
        """A client of the director is gone; without a resource, all of them."""
        if resource:
            self._resources.discard(resource)
        else:
            self._resources.clear()
        if not self._resources and self.standing is not Standing.GONE:
            self.standing = Standing.GONE
            self._wait_us = self._first_us
            self._defer(now_us)

    def came_back(self, now_us: int) -> None:
        """A text came back because nobody was there."""
        if self.standing in (Standing.AWAY, Standing.GONE):
            return  # one of those that were already on their way
        self._resources.clear()
        self.standing = Standing.AWAY
        self._defer(now_us)

    def handed_over(self) -> None:
        """The server took a text for the director."""
        if self.standing is Standing.TRYING:
            self._hope(Standing.HOPING)

    def tick(self, now_us: int) -> bool:
        """Look at the time. Returns: True when it is time to ask for the director's presence."""
        if self.standing not in (Standing.AWAY, Standing.GONE) or now_us < self.due_us:
            return False
        if self.standing is Standing.AWAY:
            self.standing = Standing.TRYING
        else:
            self._defer(now_us)
        return True

    def _defer(self, now_us: int) -> None:
        self.due_us = now_us + self._wait_us
        self._wait_us = min(self._wait_us * 2, self._longest_us)

    def _hope(self, standing: Standing) -> None:
        self.standing = standing
        self._wait_us = self._first_us
