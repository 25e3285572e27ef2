"""Errors of threads and tokens. Attributes carry the facts; a translator maps them to its protocol once.

A desk that names another tenant's token must not learn that the token exists (H13). `ForeignToken` is kept apart from
`UnknownToken` for the audit and for metrics; whoever answers a desk decides whether it may see the difference. No
message of these errors shows more than the first characters of a token.
"""

from __future__ import annotations

from threading_tokens.token import redacted


class ThreadingError(Exception):
    """Root of every error that this package raises on purpose."""


class TokenError(ThreadingError):
    """A token does not name a thread that may be used. `registry.by_token` returns these as values.

    Attributes:
        shown: the token, redacted.
    """

    said = "cannot be used"

    def __init__(self, token: str) -> None:
        self.shown = redacted(token)
        super().__init__(f"token {self.shown!r} {self.said}")


class UnknownToken(TokenError):
    """Nothing was ever named so, or it was forgotten since."""

    said = "names nothing"


class ExpiredToken(TokenError):
    """Its thread is closed: a token dies with its thread (H20)."""

    said = "names a thread that is closed"


class ForeignToken(TokenError):
    """Its thread belongs to another call centre (H13)."""

    said = "belongs to another call centre"


class AlreadyDesignated(ThreadingError):
    """A thread that has a CSR was to be designated to another: that is a transfer, and has to be asked for as one.

    Attributes:
        kind, value: who has it.
    """

    def __init__(self, kind: str, value: str) -> None:
        super().__init__(f"the thread is designated already, to {kind} {value!r}")
        self.kind = kind
        self.value = value


class BadDesignation(ThreadingError):
    """A designation is none of the four things that H21 allows, or is misspelt.

    Attributes:
        kind, value: what was given, the value cut at 80 characters.
        expected: what would have been right, in words.
    """

    def __init__(self, kind: str, value: str, expected: str) -> None:
        self.kind = kind
        self.value = value[:80]
        self.expected = expected
        super().__init__(f"{self.value!r} is no designation of kind {kind!r}: expected {expected}")


class BadRules(ThreadingError):
    """A call centre's thread rules or origin policy cannot be followed.

    Attributes:
        setting: the setting that is wrong.
        problem: why, with the offending value.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting
        self.problem = problem


class Contention(ThreadingError):
    """Other nodes opened and closed threads of the same pair faster than this one could look.

    Attributes:
        attempts: how often it looked. Nothing was written; the whole batch may be tried again.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(f"threads of the same pair changed under {attempts} attempts")
        self.attempts = attempts


class BadChannel(ThreadingError):
    """A thread was to go on in a mechanism that there is not.

    Attributes:
        channel: what was asked for, cut at 80 characters.
    """

    def __init__(self, channel: str) -> None:
        self.channel = channel[:80]
        super().__init__(f"{self.channel!r} is no channel: expected sms, voice or chat")
