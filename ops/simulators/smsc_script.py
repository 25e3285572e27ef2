"""Scripts for a simulated SMSC: what handsets write, and what must come back.

One step a line; quotes as in a shell; ``#`` begins a comment::

    expect-bind within 10s
    text +16175550101 +18005550100 "Are you open today?" receipt
    expect +16175550101 "until (5|17)" within 5s parts 1
    expect-receipt +16175550101 DELIVRD within 5s
    set drop 0.1
    text +16175550101 +18005550100 "And tomorrow?"

The whole script is read before its first step runs, so that a slip in the last line does not cost a run. A step that
fails ends the run. Each text satisfies one ``expect`` only.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import trio

from ops.simulators.script_lines import read_lines
from ops.simulators.smsc import SimulatedSmsc
from ops.simulators.smsc_behaviour import Behaviour
from ops.simulators.smsc_errors import BadScript, BadWords, NotArrived, SimulatorError, status_words
from ops.simulators.smsc_handset import Acknowledgement, Reception
from ops.simulators.smsc_words import change, read_duration, read_method, read_state, read_status
from smpp.receipt import ReceiptState
from smpp.segmentation import Method

PATIENCE_S: Final = 5.0
"""How long a step waits when it does not say."""

SHOWN: Final = 5
"""Texts that a failure lists."""


class TextStep(msgspec.Struct, frozen=True):
    """``text FROM TO "…" [receipt] [method M] [parts 2,1] [status S] [within T]``."""

    from_: str
    to: str
    text: str
    wants_receipt: bool = False
    method: Method | None = None
    order: tuple[int, ...] | None = None
    command_status: int = 0
    within_s: float = PATIENCE_S


class ExpectStep(msgspec.Struct, frozen=True):
    """``expect HANDSET "pattern" [from X] [parts N] [gap T] [within T]``."""

    handset: str
    pattern: re.Pattern[str]
    from_: str = ""
    parts: int = 0
    gap_s: float = 0.0
    within_s: float = PATIENCE_S


class ExpectNothingStep(msgspec.Struct, frozen=True):
    """``expect-nothing HANDSET [within T]``: no text but those that were expected, for so long."""

    handset: str
    within_s: float = 1.0


class ExpectReceiptStep(msgspec.Struct, frozen=True):
    """``expect-receipt HANDSET STATE [within T]``."""

    handset: str
    state: ReceiptState
    within_s: float = PATIENCE_S


class ExpectBindStep(msgspec.Struct, frozen=True):
    """``expect-bind [N] [within T]``: so many receivers."""

    receivers: int = 1
    within_s: float = PATIENCE_S


class WaitStep(msgspec.Struct, frozen=True):
    """``wait T``."""

    seconds: float


class SetStep(msgspec.Struct, frozen=True):
    """``set NAME VALUE…``: see ``smsc_words``."""

    words: tuple[str, ...]


class DisconnectStep(msgspec.Struct, frozen=True):
    """``disconnect``: cut every connection now."""


class AlertStep(msgspec.Struct, frozen=True):
    """``alert HANDSET``."""

    handset: str


Step = (
    TextStep
    | ExpectStep
    | ExpectNothingStep
    | ExpectReceiptStep
    | ExpectBindStep
    | WaitStep
    | SetStep
    | DisconnectStep
    | AlertStep
)


class StepResult(msgspec.Struct, frozen=True):
    """How one step went.

    Attributes:
        line: its number in the script, from 1.
        step: as it was written.
        seconds: how long it took.
        failure: why it failed, or empty.
    """

    line: int
    step: str
    seconds: float
    failure: str = ""


class ScriptResult(msgspec.Struct, frozen=True):
    """How a script went.

    Attributes:
        steps: those that were run, in order; only the last one may have failed.
    """

    steps: tuple[StepResult, ...]

    @property
    def ok(self) -> bool:
        """Every step went as it should."""
        return not self.failure

    @property
    def failure(self) -> str:
        """``line 3: expect …: why``, or empty."""
        last = self.steps[-1] if self.steps else None
        return f"line {last.line}: {last.step}: {last.failure}" if last is not None and last.failure else ""


class _Failed(Exception):
    """A step did not go as it should; its text says how."""


# --- reading ---------------------------------------------------------------------------------------------------------


def read_script(lines: Iterable[str]) -> list[tuple[int, str, Step]]:
    """Read a script.

    Returns: line number, line and step, in order.
    Raises: BadScript: with all its errors.
    """
    return read_lines(lines, read_step)


def read_step(words: Sequence[str]) -> Step:
    """Read one step. Raises: BadWords."""
    name, rest = words[0], list(words[1:])
    if name == "set":
        change(Behaviour(), rest)  # to hear now of what cannot be set
        return SetStep(tuple(rest))
    reader = _READERS.get(name)
    if reader is None:
        raise BadWords(f"{name!r} is no step; there are set, {', '.join(_READERS)}")
    least, most, options, make = reader
    positional = rest[:least]
    at = least
    while at < len(rest) and at < most and rest[at] not in options:
        positional.append(rest[at])
        at += 1
    if len(positional) < least:
        raise BadWords(f"{name} wants {least} word(s) at least")
    return make(positional, _read_options(name, rest[at:], options))


Options = dict[str, str]


def _read_options(name: str, words: Sequence[str], options: dict[str, bool]) -> Options:
    found: Options = {}
    at = 0
    while at < len(words):
        word = words[at]
        if word not in options or word in found:
            raise BadWords(f"{name}: {word!r} may not stand here")
        at += 1
        found[word] = ""
        if options[word]:
            if at == len(words):
                raise BadWords(f"{name}: nothing after {word!r}")
            found[word] = words[at]
            at += 1
    return found


def _within(options: Options, default_s: float = PATIENCE_S) -> float:
    return read_duration(options["within"]) if "within" in options else default_s


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise BadWords(f"{word!r} is no whole number")
    return int(word)


def _text_step(words: list[str], options: Options) -> Step:
    return TextStep(
        words[0],
        words[1],
        words[2],
        "receipt" in options,
        read_method(options["method"]) if "method" in options else None,
        tuple(_count(number) for number in options["parts"].split(",")) if "parts" in options else None,
        read_status(options["status"]) if "status" in options else 0,
        _within(options),
    )


def _expect_step(words: list[str], options: Options) -> Step:
    try:
        pattern = re.compile(words[1], re.DOTALL)
    except re.error as error:
        raise BadWords(f"{words[1]!r} is no regular expression: {error}") from None
    return ExpectStep(
        words[0],
        pattern,
        options.get("from", ""),
        _count(options.get("parts", "0")),
        read_duration(options.get("gap", "0")),
        _within(options),
    )


Reader = tuple[int, int, dict[str, bool], Callable[[list[str], Options], Step]]

_READERS: Final[dict[str, Reader]] = {
    # least and most words before the options; options, and whether a word stands after each
    "text": (3, 3, {"receipt": False, "method": True, "parts": True, "status": True, "within": True}, _text_step),
    "expect": (2, 2, {"from": True, "parts": True, "gap": True, "within": True}, _expect_step),
    "expect-nothing": (1, 1, {"within": True}, lambda w, o: ExpectNothingStep(w[0], _within(o, 1.0))),
    "expect-receipt": (2, 2, {"within": True}, lambda w, o: ExpectReceiptStep(w[0], read_state(w[1]), _within(o))),
    "expect-bind": (0, 1, {"within": True}, lambda w, o: ExpectBindStep(_count(w[0]) if w else 1, _within(o))),
    "wait": (1, 1, {}, lambda w, o: WaitStep(read_duration(w[0]))),
    "disconnect": (0, 0, {}, lambda w, o: DisconnectStep()),
    "alert": (1, 1, {}, lambda w, o: AlertStep(w[0])),
}


# --- running ---------------------------------------------------------------------------------------------------------


async def run_script(
    smsc: SimulatedSmsc, lines: Iterable[str], say: Callable[[str], None] | None = None
) -> ScriptResult:
    """Run a script to its end, or to the first step that fails.

    Args:
        smsc: it must keep history.
        lines: of the script.
        say: is told of each step as it is done.

    Raises: BadScript: before anything is done.
    """
    if not smsc.settings.keep_history:
        raise BadScript([(0, "an SMSC without history cannot say what came")])
    run = _Run(smsc)
    results: list[StepResult] = []
    for number, line, step in read_script(lines):
        began_s = trio.current_time()
        failure = ""
        try:
            await run.do(step)
        except (_Failed, SimulatorError) as error:
            failure = str(error)
        result = StepResult(number, line, trio.current_time() - began_s, failure)
        results.append(result)
        if say is not None:
            say(f"{'FAILED' if failure else 'ok':>6} {result.seconds:7.3f}s  {line}{f': {failure}' if failure else ''}")
        if failure:
            break
    return ScriptResult(tuple(results))


class _Run:
    """A script under way: which texts and receipts have been expected already."""

    def __init__(self, smsc: SimulatedSmsc) -> None:
        self.smsc = smsc
        self._used: defaultdict[str, set[int]] = defaultdict(set)
        self._receipts_used: dict[int, Acknowledgement] = {}  # by identity: repeated ones are equal

    async def do(self, step: Step) -> None:
        """Do a step. Raises: _Failed, SimulatorError."""
        smsc = self.smsc
        match step:
            case TextStep():
                await self._text(step)
            case ExpectStep():
                await self._expect(step)
            case ExpectNothingStep():
                await self._expect_nothing(step)
            case ExpectReceiptStep():
                await self._expect_receipt(step)
            case ExpectBindStep():
                await smsc.wait_bound(step.receivers, step.within_s)
            case WaitStep():
                await trio.sleep(step.seconds)
            case SetStep():
                smsc.behaviour = change(smsc.behaviour, step.words)
            case DisconnectStep():
                smsc.disconnect()
            case AlertStep():
                if not smsc.alert(step.handset):
                    raise _Failed("no receiver is bound")

    async def _text(self, step: TextStep) -> None:
        sent = self.smsc.text_nowait(
            step.from_,
            step.to,
            step.text,
            wants_receipt=step.wants_receipt,
            method=step.method,
            order=step.order,
        )
        status: int | None = None
        with trio.move_on_after(step.within_s):
            status = await sent.answered()
        if status is None:
            bound = "" if self.smsc.receivers else "; no receiver is bound"
            raise _Failed(f"not answered within {step.within_s:g} s{bound}")
        if status != step.command_status:
            raise _Failed(f"answered {status_words(status)}, not {status_words(step.command_status)}")

    async def _expect(self, step: ExpectStep) -> None:
        try:
            await self.smsc.wait_until(lambda: self._find(step) is not None, step.within_s, "")
        except NotArrived:
            raise _Failed(f"no such text; {self._others(step.handset)}") from None
        found = self._find(step)
        if found is None:  # pragma: no cover - it was there a moment ago, and nothing ran in between
            raise _Failed("it was there")
        at, reception = found
        self._used[step.handset].add(at)
        if step.parts and len(reception.parts) != step.parts:
            raise _Failed(f"it came in {len(reception.parts)} part(s), not {step.parts}")
        least_us = min(reception.gaps_us, default=None)
        if step.gap_s and least_us is not None and least_us < step.gap_s * 1e6:
            raise _Failed(f"two parts came {least_us / 1e6:.3f} s apart")

    async def _expect_nothing(self, step: ExpectNothingStep) -> None:
        try:
            await self.smsc.wait_until(lambda: bool(self._open_texts(step.handset)), step.within_s, "")
        except NotArrived:
            return
        raise _Failed(self._others(step.handset))

    async def _expect_receipt(self, step: ExpectReceiptStep) -> None:
        def find() -> Acknowledgement | None:
            for news in self.smsc.acknowledgements:
                if id(news) not in self._receipts_used and news.to == step.handset and news.receipt.state is step.state:
                    return news
            return None

        try:
            await self.smsc.wait_until(lambda: find() is not None, step.within_s, "")
        except NotArrived:
            states = [news.receipt.state.value for news in self.smsc.acknowledgements if news.to == step.handset]
            came = f"there came {', '.join(states[-SHOWN:])}" if states else "none came"
            raise _Failed(f"no such receipt; {came}") from None
        found = find()
        if found is not None:
            self._receipts_used[id(found)] = found

    def _open_texts(self, number: str) -> list[tuple[int, Reception]]:
        """The texts at a handset that no step has expected, with their numbers since the start."""
        handset = self.smsc.handset(number)
        received = handset.received
        first = handset.count - len(received)
        used = self._used[number]
        return [(at, reception) for at, reception in enumerate(received, first) if at not in used]

    def _find(self, step: ExpectStep) -> tuple[int, Reception] | None:
        for at, reception in self._open_texts(step.handset):
            if (not step.from_ or reception.from_ == step.from_) and step.pattern.search(reception.text):
                return at, reception
        return None

    def _others(self, number: str) -> str:
        """What has come to a handset beside what was expected."""
        texts = [f"{r.text[:60]!r} from {r.from_}" for _, r in self._open_texts(number)]
        parts = self.smsc.handset(number).phone.waiting
        waiting = f", {parts} text(s) are not whole" if parts else ""
        return (f"there came {'; '.join(texts[-SHOWN:])}" if texts else "none came") + waiting
