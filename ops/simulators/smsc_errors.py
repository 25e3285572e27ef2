"""What can go wrong with a simulation, for whoever runs it."""

from __future__ import annotations

from smpp.constants import status_name


class SimulatorError(Exception):
    """The root."""


class Unanswered(SimulatorError):
    """A text of a handset was never answered, and is not to be sent again (``Behaviour.resend``).

    Attributes:
        parts: how many of its parts.
    """

    def __init__(self, parts: int) -> None:
        super().__init__(f"{parts} part(s) of the text were not answered")
        self.parts = parts


class Unsendable(SimulatorError):
    """SMPP has no form for it: an address that is too long, a character that no alphabet carries, too many parts."""


class NotArrived(SimulatorError, TimeoutError):
    """What was waited for did not happen in time.

    Attributes:
        what: was waited for.
        timeout_s: how long.
    """

    def __init__(self, what: str, timeout_s: float) -> None:
        super().__init__(f"{what}: not within {timeout_s:g} s")
        self.what = what
        self.timeout_s = timeout_s


class BadWords(SimulatorError):
    """A line of a script or at the terminal means nothing. Its text says why."""


class BadScript(SimulatorError):
    """A script cannot be run.

    Attributes:
        errors: ``(line number, why)``, all of them.
    """

    def __init__(self, errors: list[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"line {line}: {why}" for line, why in errors))
        self.errors = errors


def status_words(command_status: int) -> str:
    """A status as a person reads it: ``ok`` or its name."""
    return "ok" if command_status == 0 else status_name(command_status)
