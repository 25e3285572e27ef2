"""Who wants to hear when a handset can be reached again. Pure.

A sender may ask for a delivery pending flag (SMPP 3.4 §5.3.2.29, set_dpf): when the handset that its text could not
reach comes back, the network says so (alert_notification, §4.12) and the hub passes it on. Who asked is kept in memory
only: the news is a hint to try again, not a message, and nothing is lost that the journal owes to anybody.
"""

from __future__ import annotations

from collections import OrderedDict

MOST_ADDRESSES = 10_000  # handsets that somebody waits for, some 300 octets each
MOST_WAITING = 16  # who waits for one of them


class Alerts:
    """Endpoints that wait for handsets. The handset that was asked for longest ago is forgotten first."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, dict[tuple[str, str], None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, address: str, endpoint: str, sender: str) -> None:
        """An endpoint wants to hear of a handset.

        Args:
            address: the handset's.
            endpoint: who wants to hear.
            sender: the address that it wrote from.
        """
        waiting = self._waiting.setdefault(address, {})
        self._waiting.move_to_end(address)
        waiting.pop((endpoint, sender), None)
        waiting[endpoint, sender] = None
        if len(waiting) > MOST_WAITING:
            del waiting[next(iter(waiting))]
        if len(self._waiting) > MOST_ADDRESSES:
            self._waiting.popitem(last=False)

    def take(self, address: str) -> list[tuple[str, str]]:
        """The handset is there: who is to hear of it, as (endpoint, sender). They have asked for one alert."""
        return list(self._waiting.pop(address, ()))
