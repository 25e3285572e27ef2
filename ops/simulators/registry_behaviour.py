"""How a simulated registry behaves, and how people and scripts say so: ``decide 2s``, ``fault status 500 3``. Pure.

A ``Behaviour`` is a value; to change it at run time is to put another in its place. One table says which words there
are; docs/reference/simulators.md lists the same ones, and a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from ops.simulators.smsc_errors import BadWords
from ops.simulators.smsc_words import read_duration

DEFAULT_REASON: Final = "not on our network"


class FaultKind(StrEnum):
    """What goes wrong with a request."""

    STATUS = "status"  # nothing is done, the answer is an HTTP status
    CUT_BEFORE = "cut-before"  # the connection ends, nothing was done
    CUT_AFTER = "cut-after"  # … when it was done
    BROKEN = "broken"  # done; half of the answer is missing, though it looks whole
    PAGE = "page"  # done; the answer is a web page
    OTHERS = "others"  # done; the answer is about other numbers
    TWICE = "twice"  # done; each number is answered twice
    CONTRADICT = "contradict"  # done; each number is answered twice, and not the same
    SILENT = "silent"  # done; the answer leaves out every second number
    HUGE = "huge"  # done; the answer is longer than anybody should read


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong.

    Attributes:
        kind: how.
        left: with how many requests more; 0 for all.
        status: of ``FaultKind.STATUS``.
        retry_after: what Retry-After says with it, empty for none.
    """

    kind: FaultKind
    left: int = 0
    status: int = 500
    retry_after: str = ""


class Behaviour(msgspec.Struct, frozen=True):
    """How a registry behaves.

    Attributes:
        answer_after_s: answers come so much later than what they tell of was done.
        decide_after_s: what is asked for is decided so much later.
        wants_letter: a listing without a letter of authorization is refused (H9).
        refuses: prefix of numbers, and why.
        fault: what goes wrong now, or None.
    """

    answer_after_s: float = 0.0
    decide_after_s: float = 0.0
    wants_letter: bool = True
    refuses: tuple[tuple[str, str], ...] = ()
    fault: Fault | None = None


def spend(behaviour: Behaviour) -> tuple[Fault | None, Behaviour]:
    """What goes wrong with the request that has come, and how the registry behaves after it."""
    fault = behaviour.fault
    if fault is None or fault.left == 0:
        return fault, behaviour
    rest = None if fault.left == 1 else msgspec.structs.replace(fault, left=fault.left - 1)
    return fault, msgspec.structs.replace(behaviour, fault=rest)


# --- Words -----------------------------------------------------------------------------------------------------------

Change = dict[str, Any]


class Word(msgspec.Struct, frozen=True):
    """One thing that can be set.

    Attributes:
        name: of it.
        usage: what stands after it.
        help: what it does.
        read: makes a change of the behaviour and what stands after it.
    """

    name: str
    usage: str
    help: str
    read: Callable[[Behaviour, Sequence[str]], Change]


def _duration(word: str) -> float:
    return 0.0 if word == "off" else read_duration(word)


def _refuse(behaviour: Behaviour, words: Sequence[str]) -> Change:
    if words[0] == "off":
        return {"refuses": ()}
    if not words[0].startswith("+"):
        raise BadWords(f"{words[0]!r} is no beginning of a number, such as +1617")
    return {"refuses": (*behaviour.refuses, (words[0], " ".join(words[1:]) or DEFAULT_REASON))}


def _letters(behaviour: Behaviour, words: Sequence[str]) -> Change:
    if words[0] not in ("on", "off"):
        raise BadWords(f"{words[0]!r} is neither on nor off")
    return {"wants_letter": words[0] == "on"}


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit() and 0 < int(word) < 10**9):
        raise BadWords(f"{word!r} is no number of requests")
    return int(word)


def _fault(behaviour: Behaviour, words: Sequence[str]) -> Change:
    name, *rest = words
    if name == "off":
        return {"fault": None}
    try:
        kind = FaultKind(name)
    except ValueError:
        raise BadWords(f"{name!r} is none of off, {', '.join(FaultKind)}") from None
    fault = Fault(kind)
    if kind is FaultKind.STATUS:
        if not rest or not (rest[0].isascii() and rest[0].isdigit() and 300 <= int(rest[0]) <= 599):
            raise BadWords("fault status: a status within 300…599 is missing")
        fault = msgspec.structs.replace(fault, status=int(rest.pop(0)))
        if rest[-2:-1] == ["retry-after"]:
            fault = msgspec.structs.replace(fault, retry_after=rest[-1])
            rest = rest[:-2]
    if len(rest) > 1:
        raise BadWords(f"fault {name}: {rest[1]!r} may not stand here")
    return {"fault": msgspec.structs.replace(fault, left=_count(rest[0])) if rest else fault}


WORDS: Final = (
    Word("answer", "TIME", "answers come so much later", lambda b, w: {"answer_after_s": _duration(w[0])}),
    Word("decide", "TIME", "decisions come so much later", lambda b, w: {"decide_after_s": _duration(w[0])}),
    Word("letters", "on|off", "refuse numbers without a letter of authorization", _letters),
    Word("refuse", "PREFIX [REASON]|off", "refuse numbers that begin so", _refuse),
    Word("fault", "KIND [N]|off", "go wrong with the next N requests, or all", _fault),
)


def change(behaviour: Behaviour, words: Sequence[str]) -> Behaviour:
    """Change a behaviour as words say.

    Args:
        behaviour: as it is.
        words: ``["decide", "2s"]``, ``["fault", "status", "429", "3", "retry-after", "1"]``.

    Raises: BadWords.
    """
    for word in WORDS:
        if words and word.name == words[0]:
            if len(words) < 2:
                raise BadWords(f"{word.name}: nothing after it; write {word.name} {word.usage}")
            return msgspec.structs.replace(behaviour, **word.read(behaviour, words[1:]))
    raise BadWords(f"{' '.join(words)!r}: there are {', '.join(word.name for word in WORDS)}")
