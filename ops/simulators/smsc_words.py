"""How people and scripts name what a simulated SMSC shall do: ``drop 0.1``, ``dlr states DELIVRD=9 UNDELIV=1``. Pure.

One table says which words there are, how they are read, and what help says of them; docs/reference/simulators.md lists
the same ones, and a test holds the two equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from ops.simulators.smsc_behaviour import Behaviour, Carries, IdStyle, Span, Wording
from ops.simulators.smsc_errors import BadWords
from smpp.constants import status_value
from smpp.receipt import ReceiptState
from smpp.segmentation import Method

Change = dict[str, Any]

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|s|m)?")
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}

_E = TypeVar("_E", bound=StrEnum)


class Word(msgspec.Struct, frozen=True):
    """One thing that can be set.

    Attributes:
        name: one word, or two.
        usage: what stands after it.
        help: what it does.
        read: makes changes of what stands after it; ``dlr`` words change the behaviour's ``dlr``.
    """

    name: str
    usage: str
    help: str
    read: Callable[[Sequence[str]], Change]


def read_duration(word: str) -> float:
    """Seconds of ``0.5``, ``0.5s``, ``500ms`` or ``2m``. Raises: BadWords."""
    found = _DURATION.fullmatch(word)
    if found is None:
        raise BadWords(f"{word!r} is no time such as 0.5, 0.5s, 500ms or 2m")
    return float(found[1]) * _UNITS_S[found[2]]


def read_status(word: str) -> int:
    """A command_status by its name, with or without ``ESME_``, or as 0x…. Raises: BadWords."""
    try:
        return int(word, 16) if word.lower().startswith("0x") else status_value(word)
    except ValueError:
        raise BadWords(f"{word!r} is no command_status such as ESME_RSYSERR or 0x58") from None


def read_state(word: str) -> ReceiptState:
    """A state of a receipt. Raises: BadWords."""
    return _one_of(ReceiptState, word.upper())


def read_method(word: str) -> Method:
    """A way to cut long texts. Raises: BadWords."""
    return _one_of(Method, word)


def _one_of(kind: type[_E], word: str) -> _E:
    try:
        return kind(word)
    except ValueError:
        raise BadWords(f"{word!r} is none of {', '.join(kind)}") from None


def _number(word: str) -> int:
    if word == "off":
        return 0
    if not (word.isascii() and word.isdigit()):
        raise BadWords(f"{word!r} is no whole number")
    return int(word)


def _rate(word: str) -> float:
    try:
        return 0.0 if word == "off" else float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        raise BadWords(f"{word!r} is no rate such as 0.1 or 10%") from None


def _flag(word: str) -> bool:
    if word not in ("on", "off"):
        raise BadWords(f"{word!r} is neither on nor off")
    return word == "on"


def _span(words: Sequence[str]) -> Span:
    least_s, *most_s = (0.0,) if words[0] == "off" else [read_duration(word) for word in words]
    return Span(least_s, most_s[0] if most_s else least_s)


def _states(words: Sequence[str]) -> tuple[tuple[ReceiptState, float], ...]:
    states = []
    for word in words:
        name, _, weight = word.partition("=")
        try:
            states.append((read_state(name), float(weight or 1)))
        except ValueError:
            raise BadWords(f"{weight!r} is no weight") from None
    return tuple(states)


def _drop(words: Sequence[str]) -> Change:
    if words[1:] not in ([], ["delivers"]):
        raise BadWords(f"{words[1]!r}: only 'delivers' may stand here")
    return {"drop_rate": _rate(words[0]), "drop_delivers": len(words) > 1}


def _error(words: Sequence[str]) -> Change:
    change: Change = {"error_rate": _rate(words[0])}
    if len(words) > 1:
        change["error_status"] = read_status(words[1])
    return change


def _retries(words: Sequence[str]) -> Change:
    change: Change = {"retries": _number(words[0])}
    if len(words) > 1:
        change["retry_after_s"] = read_duration(words[1])
    return change


def _dlr_switch(words: Sequence[str]) -> Change:
    if words[0] == "always":
        return {"on": True, "always": True}
    return {"on": _flag(words[0]), "always": False}


_STYLES: Final = "|".join(IdStyle)

WORDS: Final = (
    Word("delay", "TIME [TIME]", "answer after a time, or one between two", lambda w: {"delay": _span(w)}),
    Word("drop", "RATE [delivers]", "leave requests unanswered; their texts are lost, or arrive all the same", _drop),
    Word("error", "RATE [STATUS]", "refuse requests", _error),
    Word("throttle", "N", "ESME_RTHROTTLED above N a second", lambda w: {"throttle_per_s": _number(w[0])}),
    Word("disconnect", "N", "cut each session at its Nth request", lambda w: {"disconnect_after": _number(w[0])}),
    Word(
        "binds",
        "accept|STATUS",
        "let ESMEs in, or refuse them",
        lambda w: {"refuse_binds": 0 if w[0] == "accept" else read_status(w[0])},
    ),
    Word("ids", _STYLES, "how message_ids look in answers", lambda w: {"ids": _one_of(IdStyle, w[0])}),
    Word("method", "|".join(Method), "how handsets cut long texts", lambda w: {"method": read_method(w[0])}),
    Word("resend", "on|off", "send again what the ESME left unanswered", lambda w: {"resend": _flag(w[0])}),
    Word("retries", "N [TIME]", "try temporary refusals N times more, so much later", _retries),
    Word("dlr delay", "TIME [TIME]", "from the answer to the receipt", lambda w: {"delay": _span(w)}),
    Word("dlr states", "STATE[=WEIGHT]…", "what messages end in", lambda w: {"states": _states(w)}),
    Word("dlr error", "CODE", "err of receipts of failures", lambda w: {"error": w[0]}),
    Word(
        "dlr id",
        f"same|{_STYLES}",
        "how message_ids look in receipts",
        lambda w: {"id_style": None if w[0] == "same" else _one_of(IdStyle, w[0])},
    ),
    Word(
        "dlr carries",
        "|".join(Carries),
        "text, TLVs or both in receipts",
        lambda w: {"carries": _one_of(Carries, w[0])},
    ),
    Word("dlr wording", "|".join(Wording), "how the text is written", lambda w: {"wording": _one_of(Wording, w[0])}),
    Word("dlr dates", "10|12|14", "digits of dates", lambda w: {"date_digits": _number(w[0])}),
    Word("dlr intermediate", "on|off", "ENROUTE comes first", lambda w: {"intermediate": _flag(w[0])}),
    Word("dlr overtake", "on|off", "receipts come before their answers", lambda w: {"overtakes": _flag(w[0])}),
    Word("dlr repeat", "N", "each receipt comes N times more", lambda w: {"repeats": _number(w[0])}),
    Word(
        "dlr unsolicited",
        "RATE",
        "receipts for ids never given out come as well",
        lambda w: {"unsolicited_rate": _rate(w[0])},
    ),
    Word("dlr", "on|off|always", "give receipts to who asks, to nobody, to all", _dlr_switch),
)
"""``dlr`` stands after the words that begin with it."""


def change(behaviour: Behaviour, words: Sequence[str]) -> Behaviour:
    """Change a behaviour as words say.

    Args:
        behaviour: as it is.
        words: ``["drop", "0.1"]``, ``["dlr", "dates", "14"]``.

    Raises: BadWords.
    """
    for word in WORDS:
        name = word.name.split()
        if list(words[: len(name)]) == name:
            break
    else:
        raise BadWords(f"{' '.join(words[:1]) or 'nothing'} cannot be set")
    values = list(words[len(name) :])
    if not values or len(values) > _most_values(word):
        raise BadWords(f"{word.name} {word.usage}")
    try:
        changes = word.read(values)
        if name[0] == "dlr":
            changes = {"dlr": msgspec.structs.replace(behaviour.dlr, **changes)}
        return msgspec.structs.replace(behaviour, **changes)
    except ValueError as error:
        raise BadWords(str(error)) from None


def _most_values(word: Word) -> int:
    return 99 if word.usage.endswith("…") else 1 + word.usage.count("[")


def help_lines() -> list[str]:
    """One line for each word."""
    return [f"{f'{word.name} {word.usage}':<40} {word.help}" for word in WORDS]
