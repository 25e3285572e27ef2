"""What locust is told: each request with its name, its seconds, and how it failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from loadtests.locust.scenario import MEASURES

if TYPE_CHECKING:
    from locust.env import Environment


class Measures:
    """A door to locust's ``request`` event.

    Args:
        environment: locust's.
    """

    def __init__(self, environment: Environment) -> None:
        self._request = environment.events.request
        self._names = {name: name.partition(" ")[::2] for name in MEASURES}

    def fire(self, name: str, since: float, length: int, error: Exception | str | None = None) -> None:
        """One request is over.

        Args:
            name: one of ``MEASURES``.
            since: when it was due, by ``time.monotonic``.
            length: octets of the text.
            error: why it failed, if it did.
        """
        request_type, rest = self._names[name]
        self._request.fire(
            request_type=request_type,
            name=rest,
            response_time=(time.monotonic() - since) * 1e3,
            response_length=length,
            exception=error,
            context={},
        )
