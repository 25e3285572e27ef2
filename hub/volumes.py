"""How many texts a white-listed number may be sent before its volume trap closes (H7). Pure.

A white list says how many texts a day carriers shall expect of a number. A trap counts over seconds or minutes, and
texts do not come evenly: in telephony the busiest hour has a tenth to a sixth of a day's calls, and texts, which answer
mailings and broadcasts, keep closer together. So a number may get a **fifth of its day in one hour**, and of that hour
the trap's share; 10,000 texts a day are 34 in a minute. A list never makes a trap narrower than it is for numbers on
no list.
"""

from __future__ import annotations

from typing import Final

from provisioning.coverage import WhiteListing

BUSIEST_HOUR: Final = 5  # of a day's texts: a fifth
_HOUR_US: Final = 3_600_000_000


class ExpectedVolumes:
    """What white lists let pass.

    Args:
        listing: of one call centre, on one day.
        over_us: the time over which the call centre's trap counts.
    """

    __slots__ = ("_listing", "_over_us")

    def __init__(self, listing: WhiteListing, over_us: int) -> None:
        self._listing = listing
        self._over_us = over_us

    def texts(self, number: str) -> int:
        """How many texts within ``over_us`` are to be expected of a number, E.164; 0 when no list names it."""
        white_list = self._listing.white_list(int(number[1:]))
        if white_list is None:
            return 0
        return -(-white_list.texts_per_day * self._over_us // (BUSIEST_HOUR * _HOUR_US))  # rounded up
