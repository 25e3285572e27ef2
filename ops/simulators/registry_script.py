"""Scripts for a simulated registry: what it does, and what must come to it.

One step a line; quotes as in a shell; ``#`` begins a comment::

    give +16175550107 somebody
    set decide 2s
    expect +16175550100 active within 30s
    expect-numbers 10000 active within 2m
    set fault status 503 3 retry-after 1

The whole script is read before its first step runs, so that a slip in the last line does not cost a run. A step that
fails ends the run and says what was there instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import trio

from ops.simulators.registry_behaviour import Behaviour, change
from ops.simulators.registry_core import RegistryCore
from ops.simulators.script_lines import read_lines
from ops.simulators.smsc_errors import BadWords
from ops.simulators.smsc_words import read_duration
from provisioning.directories.replies import State

PATIENCE_S: Final = 5.0
"""How long a step waits when it does not say."""

_LOOK_S: Final = 0.2
"""What waits for a decision changes by the clock alone: it is looked at again."""


class SetStep(msgspec.Struct, frozen=True):
    """Behave otherwise."""

    words: tuple[str, ...]


class GiveStep(msgspec.Struct, frozen=True):
    """A number becomes somebody's; nobody's when the owner is empty."""

    number: str
    owner: str


class ExpectStep(msgspec.Struct, frozen=True):
    """A number must come to stand so; for ``owner`` is whoever the first user is."""

    number: str
    state: State
    within_s: float


class CountStep(msgspec.Struct, frozen=True):
    """So many numbers must come to stand so."""

    count: int
    state: State
    within_s: float


class WaitStep(msgspec.Struct, frozen=True):
    """Do nothing for a time."""

    seconds: float


Step = SetStep | GiveStep | ExpectStep | CountStep | WaitStep


def read_script(lines: Iterable[str]) -> list[tuple[int, str, Step]]:
    """Read a script.

    Returns: line number, line and step, in order.
    Raises: BadScript: with all its errors.
    """
    return read_lines(lines, read_step)


def read_step(words: Sequence[str]) -> Step:
    """Read one step. Raises: BadWords."""
    match list(words):
        case ["set", *rest]:
            change(Behaviour(), rest)  # to hear now of what cannot be set
            return SetStep(tuple(rest))
        case ["give", number, owner] if number.startswith("+"):
            return GiveStep(number, owner)
        case ["release", number] if number.startswith("+"):
            return GiveStep(number, "")
        case ["expect", number, state, *rest] if number.startswith("+"):
            return ExpectStep(number, _state(state), _within(rest))
        case ["expect-numbers", count, state, *rest] if count.isascii() and count.isdigit():
            return CountStep(int(count), _state(state), _within(rest))
        case ["wait", time]:
            return WaitStep(read_duration(time))
    raise BadWords(
        f"{' '.join(words)!r} is no step; there are set WORDS, give NUMBER OWNER, release NUMBER, "
        "expect NUMBER STATE [within TIME], expect-numbers N STATE [within TIME], wait TIME"
    )


def _state(word: str) -> State:
    try:
        return State(word)
    except ValueError:
        raise BadWords(f"{word!r} is none of {', '.join(State)}") from None


def _within(words: Sequence[str]) -> float:
    match list(words):
        case []:
            return PATIENCE_S
        case ["within", time]:
            return read_duration(time)
    raise BadWords(f"{' '.join(words)!r}: only 'within TIME' may stand here")


async def run_script(registry: RegistryCore, lines: Iterable[str], say: Callable[[str], None]) -> bool:
    """Run a script to its end, or to the first step that fails.

    Args:
        registry: it must have a user; numbers are looked at with the first one's eyes.
        lines: of the script.
        say: is told of each step as it is done.

    Returns: whether every step was done.
    Raises: BadScript: before anything is done.
    """
    for _, line, step in read_script(lines):
        began_s = trio.current_time()
        failure = await _do(registry, step)
        seconds = trio.current_time() - began_s
        say(f"{'FAILED' if failure else 'ok':>6} {seconds:7.3f}s  {line}{f': {failure}' if failure else ''}")
        if failure:
            return False
    return True


async def _do(registry: RegistryCore, step: Step) -> str:
    """Do a step; answers why it failed, or nothing."""
    match step:
        case SetStep():
            registry.behaviour = change(registry.behaviour, step.words)
        case GiveStep():
            await (registry.give(step.number, step.owner) if step.owner else registry.release(step.number))
        case WaitStep():
            await trio.sleep(step.seconds)
        case ExpectStep():
            return await _until(registry, step.within_s, lambda: _one(registry, step))
        case CountStep():
            return await _until(registry, step.within_s, lambda: _count(registry, step))
    return ""


async def _until(registry: RegistryCore, within_s: float, wrong: Callable[[], str]) -> str:
    """Wait until nothing is wrong; answers what is at the end."""
    with trio.move_on_after(within_s):
        while wrong():
            with trio.move_on_after(_LOOK_S):
                await registry.wait_changed()
    return wrong()


def _owner(registry: RegistryCore) -> str:
    return registry.users[0].owner_id if registry.users else ""


def _one(registry: RegistryCore, step: ExpectStep) -> str:
    found = registry.book.look_up(_owner(registry), [step.number], registry.behaviour, registry.now_us())
    state = found[0].state
    return "" if state is step.state else f"it is {state}"


def _count(registry: RegistryCore, step: CountStep) -> str:
    everything = registry.book.look_up(
        _owner(registry), list(registry.book.entries), registry.behaviour, registry.now_us()
    )
    count = sum(found.state is step.state for found in everything)
    return "" if count == step.count else f"there are {count}"
