"""Errors of the message path. Attributes carry the facts; the edge maps them to its protocol."""

from __future__ import annotations


class HubError(Exception):
    """Root of every error that the hub raises on purpose."""


class Unsplittable(HubError):
    """An endpoint cannot carry a message whatever it does: too many parts, or data it has no form for.

    Attributes:
        reason: one word for metrics and dead letters, for example ``"too-long"``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the endpoint cannot carry this message: {reason}")
        self.reason = reason


class UnknownEndpoint(HubError):
    """A name that no endpoint is registered under.

    Attributes:
        name: the name asked for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"no endpoint is registered as {name!r}")
        self.name = name
