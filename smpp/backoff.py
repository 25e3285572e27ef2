"""When to try a bind again.

Exponential with full jitter: the wait is drawn evenly from 0 to a ceiling that doubles with each failure, so that a
hundred links that fell together do not come back together. (The lower bound ``floor_s`` keeps an unlucky row of draws
from being a storm.) How fast the ceiling grows depends on what went wrong:

- the network: quickly back, at most a minute;
- ESME_RALYBND: the SMSC still holds our last session, a ghost, and lets go of it after its own time-out. Sooner tries
  change nothing, so it begins higher;
- ESME_RINVBNDSTS on a bound session: the SMSC has forgotten the bind. Mostly a new one mends it at once; one that is
  forgotten again before it has lasted means an SMSC that will not have us submit, whatever it said to the bind;
- the credentials: nothing but a human will change that. Many SMSCs lock an account after some wrong passwords, so it is
  tried a few times an hour; never given up, since the human may be at the other end.

A bind only counts as success once it has lasted ``stable_s``: one that is accepted and dropped at once would otherwise
be tried again without any pause for ever.

Pure: ``now`` is an argument, chance is a ``random.Random``.
"""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final

import msgspec

from smpp.constants import CommandStatus


class Trouble(StrEnum):
    """What went wrong, as far as the wait is concerned."""

    NETWORK = "network"
    GHOST = "ghost bind"
    FORGOTTEN = "forgotten bind"
    CREDENTIALS = "credentials"
    REFUSED = "refused"


class Ceiling(msgspec.Struct, frozen=True):
    """How a ceiling grows: seconds at the first failure, and at the last."""

    first_s: float
    last_s: float


DEFAULT_CEILINGS: Final[dict[Trouble, Ceiling]] = {
    Trouble.NETWORK: Ceiling(1.0, 60.0),
    Trouble.GHOST: Ceiling(10.0, 120.0),
    Trouble.FORGOTTEN: Ceiling(2.0, 120.0),
    Trouble.CREDENTIALS: Ceiling(300.0, 1800.0),
    Trouble.REFUSED: Ceiling(5.0, 300.0),
}

_CREDENTIAL_STATUSES: Final = frozenset(
    (CommandStatus.ESME_RINVPASWD, CommandStatus.ESME_RINVSYSID, CommandStatus.ESME_RINVSYSTYP)
)


def trouble_of(command_status: int) -> Trouble:
    """What a refused bind's status says."""
    if command_status in _CREDENTIAL_STATUSES:
        return Trouble.CREDENTIALS
    return Trouble.GHOST if command_status == CommandStatus.ESME_RALYBND else Trouble.REFUSED


class Backoff:
    """The waits of one link. Say ``bound`` and ``failed`` as they happen.

    Args:
        chance: where the jitter comes from.
        ceilings: for each trouble.
        floor_s: the least wait.
        stable_s: how long a bind must last to be forgotten as trouble.
    """

    def __init__(
        self,
        chance: random.Random,
        ceilings: dict[Trouble, Ceiling] | None = None,
        *,
        floor_s: float = 0.25,
        stable_s: float = 30.0,
    ) -> None:
        self._chance = chance
        self._ceilings = DEFAULT_CEILINGS if ceilings is None else ceilings
        self._floor_s = floor_s
        self._stable_s = stable_s
        self._failures = 0
        self._trouble: Trouble | None = None
        self._bound_at: float | None = None

    @property
    def failures(self) -> int:
        """How many in a row, of one kind of trouble."""
        return self._failures

    def bound(self, now: float) -> None:
        """A bind was accepted."""
        self._bound_at = now

    def failed(self, trouble: Trouble, now: float) -> float:
        """A try failed, or a bind has ended.

        Returns: seconds to wait before the next try.
        """
        stable = self._bound_at is not None and now - self._bound_at >= self._stable_s
        self._bound_at = None
        if stable or trouble is not self._trouble:
            self._failures = 0
        self._trouble = trouble
        ceiling = self._ceilings[trouble]
        # The exponent is bounded: 2.0 ** 1024 overflows, and a link may be down for a month.
        ceiling_s = min(ceiling.first_s * 2.0 ** min(self._failures, 32), ceiling.last_s)
        self._failures += 1
        return max(self._floor_s, self._chance.uniform(0.0, ceiling_s))
