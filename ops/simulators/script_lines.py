"""The lines of a script, whichever simulator it is for: one step in each, ``#`` begins a remark. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ops.simulators.smsc_errors import BadScript, BadWords

S = TypeVar("S")


def read_lines(lines: Iterable[str], read_step: Callable[[Sequence[str]], S]) -> list[tuple[int, str, S]]:
    """Read a script.

    Args:
        lines: what it has.
        read_step: makes a step of the words of a line; raises BadWords.

    Returns: line number, line and step, in order.
    Raises: BadScript: with all its errors.
    """
    steps: list[tuple[int, str, S]] = []
    errors: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        try:
            words = shlex.split(line, comments=True)
            if words:
                steps.append((number, line.strip(), read_step(words)))
        except (BadWords, ValueError) as error:
            errors.append((number, str(error)))
    if errors:
        raise BadScript(errors)
    return steps
