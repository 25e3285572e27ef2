"""Scenario files: who is there, how much they send, and what goes wrong when. Pure.

A scenario is a list of phases on one clock that begins when the carrier and the desk are connected. A phase says how
many applications and customers there are and how many texts a second the applications send together; one that is
``rising`` gets there in a straight line from where the phase before ended (the first one from nothing), any other at
once. Beside the phases stands the weather: spans in which the carrier or the desk is down, slow, away or throttles.
All weather is over when the last phase is: what follows is the drain, in which nobody sends anything new and all that
was acknowledged must arrive.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

MAX_APPLICATIONS = 16  # what loadtests.processes lets bind
MAX_CUSTOMERS = 10_000  # greenlets, each in a conversation: beyond it the tool is what is measured
MAX_S = 7 * 86_400.0
MEASURES = {
    "SMPP bind_transceiver": "an application's bind",
    "SMPP submit_sm": "an application's text, from when it was due to the response",
    "SMPP submit_sm to carrier": "the same, to its arrival at the carrier",
    "SMPP submit_sm to receipt": "the same, to the delivery receipt",
    "SMPP deliver_sm": "a customer's text, from the carrier's request to the response",
    "SMPP deliver_sm receipt": "a delivery receipt, from the carrier's request to the response",
    "XMPP text to desk": "a customer's text, from the carrier's first request to its arrival at the desk",
    "XMPP answer to carrier": "an answer, from the desk to its arrival at the carrier",
    "XMPP answer to receipt": "an answer, from the desk to the receipt that the CSR sees",
    "people text to answer": "a customer's text, from their telephone to the answer on it, the CSR's time included",
}

_Rate = Annotated[float, msgspec.Meta(gt=0, le=100_000)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_S)]
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Length = Annotated[int, msgspec.Meta(ge=20, le=160)]  # one part, with room for the text's key
_Window = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class ScenarioError(ValueError):
    """A scenario file that cannot be played; the message says what to change."""


class Applications(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an application does that is bound to the hub's account.

    Attributes:
        loop: ``open`` sends at the phase's rate whatever comes back; ``closed`` as fast as it is answered.
        window: requests of each that may be unanswered.
        receipts: ask for delivery receipts.
        length: characters of a text.
        addresses: customers that each texts, in turns.
    """

    loop: Literal["open", "closed"] = "open"
    window: _Window = 50
    receipts: bool = True
    length: _Length = 100
    addresses: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000


class Customers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a customer does who texts the call centre.

    Attributes:
        texts: of one conversation; then the next customer begins one.
        think_s: least and most seconds between an answer and the next text.
        patience_s: how long an answer is waited for; then it counts as failed.
        length: characters of a text.
    """

    texts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    think_s: tuple[_Seconds, _Seconds] = (0.5, 2.0)
    patience_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    length: _Length = 60


class CarrierScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the carrier is in good weather.

    Attributes:
        answer_ms: a submit_sm is answered after so long.
        receipt_ms: its receipt follows so long after the answer.
        window: requests of the carrier that may be unanswered.
    """

    answer_ms: _Milliseconds = 5.0
    receipt_ms: _Milliseconds = 50.0
    window: _Window = 100


class DeskScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the desk is in good weather.

    Attributes:
        answer_s: least and most seconds that a CSR needs for an answer.
        length: characters of an answer.
    """

    answer_s: tuple[_Seconds, _Seconds] = (0.2, 1.0)
    length: _Length = 60


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A span of time; see the module's head."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    seconds: Annotated[float, msgspec.Meta(gt=0, le=MAX_S)]
    applications: Annotated[int, msgspec.Meta(ge=0, le=MAX_APPLICATIONS)] = 0
    texts_per_s: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 0.0
    customers: Annotated[int, msgspec.Meta(ge=0, le=MAX_CUSTOMERS)] = 0
    rising: bool = False


class Weather(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong for a while.

    Attributes:
        who: carrier or desk.
        does: ``down``: its connections fall and new ones are refused. ``slow``: the carrier answers after
            ``answer_ms``, the desk's server looks at what comes, pings too, after so long. ``throttles``, the carrier:
            takes ``per_s`` texts a second and refuses the others with ESME_RTHROTTLED. ``away``, the desk: the
            director's presence says that nobody is there.
        from_s, until_s: seconds after the first phase began.
    """

    who: Literal["carrier", "desk"]
    does: Literal["down", "slow", "throttles", "away"]
    from_s: _Seconds
    until_s: _Seconds
    answer_ms: _Milliseconds | None = None
    per_s: _Rate | None = None


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the run must hold to end well.

    Attributes:
        lost, doubled, disordered: texts at most; see ``loadtests.locust.ledger``.
        failures: requests that may fail.
        arrived: texts that must have arrived in all, so that a run in which nothing happened is no success.
        drain_s: how long after the last phase all that was acknowledged may take to arrive.
        p99_ms: for some of ``MEASURES``, the most that 99% of them may take.
    """

    lost: _Count = 0
    doubled: _Count = 0
    disordered: _Count = 0
    failures: _Count = 0
    arrived: Annotated[int, msgspec.Meta(ge=1)] = 1
    drain_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 120.0
    p99_ms: dict[str, Annotated[float, msgspec.Meta(gt=0)]] = {}


class Conditions(msgspec.Struct, frozen=True):
    """The weather at one moment, for one side.

    Attributes:
        down, away: see ``Weather``.
        answer_ms: how late answers are; None: as in good weather.
        per_s: texts that are taken in a second; None: all.
    """

    down: bool = False
    away: bool = False
    answer_ms: float | None = None
    per_s: float | None = None


class Level(msgspec.Struct, frozen=True):
    """Who is there at one moment, and the texts a second of all applications together."""

    applications: int
    customers: int
    texts_per_s: float


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario file. See the module's head, and loadtests/README.md for each setting."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    phase: Annotated[tuple[Phase, ...], msgspec.Meta(min_length=1, max_length=1000)]
    about: str = ""
    seed: int = 1
    applications: Applications = Applications()
    customers: Customers = Customers()
    carrier: CarrierScript = CarrierScript()
    desk: DeskScript = DeskScript()
    weather: tuple[Weather, ...] = ()
    bounds: Bounds = Bounds()

    @property
    def total_s(self) -> float:
        """Seconds of all phases together."""
        return sum(phase.seconds for phase in self.phase)

    def phase_at(self, at_s: float) -> str:
        """The name of the phase then; ``drain`` after the last."""
        for phase in self.phase:
            at_s -= phase.seconds
            if at_s < 0:
                return phase.name
        return "drain"

    def level(self, at_s: float) -> Level:
        """Who is there so many seconds after the first phase began, and what they send."""
        before = Phase("nobody", 1.0)
        for phase in self.phase:
            if at_s < phase.seconds:
                part = at_s / phase.seconds if phase.rising else 1.0
                return Level(
                    round(before.applications + (phase.applications - before.applications) * part),
                    round(before.customers + (phase.customers - before.customers) * part),
                    before.texts_per_s + (phase.texts_per_s - before.texts_per_s) * part,
                )
            at_s -= phase.seconds
            before = phase
        return Level(0, 0, 0.0)

    def conditions(self, who: str, at_s: float) -> Conditions:
        """The weather of one side then."""
        now = [each for each in self.weather if each.who == who and each.from_s <= at_s < each.until_s]
        return Conditions(
            down=any(each.does == "down" for each in now),
            away=any(each.does == "away" for each in now),
            answer_ms=next((each.answer_ms for each in now if each.does == "slow"), None),
            per_s=next((each.per_s for each in now if each.does == "throttles"), None),
        )

    def stretched(self, seconds: float) -> Scenario:
        """The same in so many seconds: phases and weather take longer or shorter in proportion, people do not."""
        factor = seconds / self.total_s
        return msgspec.structs.replace(
            self,
            phase=tuple(msgspec.structs.replace(each, seconds=each.seconds * factor) for each in self.phase),
            weather=tuple(
                msgspec.structs.replace(each, from_s=each.from_s * factor, until_s=each.until_s * factor)
                for each in self.weather
            ),
        )

    def loaded(self, factor: float) -> Scenario:
        """The same with so many times the people, the texts and what a carrier takes; nobody who is there vanishes."""

        def people(count: int, most: int) -> int:
            return min(most, max(1, round(count * factor))) if count else 0

        return msgspec.structs.replace(
            self,
            phase=tuple(
                msgspec.structs.replace(
                    each,
                    applications=people(each.applications, MAX_APPLICATIONS),
                    customers=people(each.customers, MAX_CUSTOMERS),
                    texts_per_s=each.texts_per_s * factor,
                )
                for each in self.phase
            ),
            weather=tuple(
                msgspec.structs.replace(each, per_s=each.per_s * factor) if each.per_s is not None else each
                for each in self.weather
            ),
        )


def read_scenario(path: Path) -> Scenario:
    """Read and check a scenario file. Raises: ScenarioError."""
    try:
        words = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: is no TOML: {error}") from error
    try:
        return check_scenario(words)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from error


def check_scenario(words: dict[str, Any]) -> Scenario:
    """Make a scenario of what a file says. Raises: ScenarioError."""
    try:
        scenario = msgspec.convert(words, Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(str(error).replace("$.", "").replace("`", "'")) from error
    for problem in _problems(scenario):
        raise ScenarioError(problem)
    return scenario


def _problems(scenario: Scenario) -> list[str]:
    found: list[str] = []
    for at, phase in enumerate(scenario.phase, 1):
        where = f"phase {at} ({phase.name!r})"
        if scenario.applications.loop == "closed" and phase.texts_per_s:
            found.append(f"{where}: texts_per_s has no meaning in a closed loop, which is as fast as it is answered")
        if scenario.applications.loop == "open" and bool(phase.texts_per_s) != bool(phase.applications):
            found.append(f"{where}: give both applications and texts_per_s, or neither")
    if not any(phase.applications or phase.customers for phase in scenario.phase):
        found.append("no phase has applications or customers: nothing would be sent")
    for name in ("think_s", "answer_s"):
        least, most = scenario.customers.think_s if name == "think_s" else scenario.desk.answer_s
        if least > most:
            found.append(f"{name}: the least, {least:g}, is more than the most, {most:g}")
    for name in scenario.bounds.p99_ms:
        if name not in MEASURES:
            found.append(f"bounds.p99_ms: nothing is called {name!r}; there are: {', '.join(MEASURES)}")
    return found + _weather_problems(scenario)


def _weather_problems(scenario: Scenario) -> list[str]:
    found: list[str] = []
    for at, each in enumerate(scenario.weather, 1):
        where = f"weather {at} ({each.who} {each.does})"
        if each.from_s >= each.until_s:
            found.append(f"{where}: until_s, {each.until_s:g}, is not after from_s, {each.from_s:g}")
        if each.until_s > scenario.total_s:
            found.append(f"{where}: ends at {each.until_s:g} s, after the last phase does, at {scenario.total_s:g} s")
        if each.does == "throttles" and each.who != "carrier":
            found.append(f"{where}: only a carrier throttles")
        if each.does == "away" and each.who != "desk":
            found.append(f"{where}: only a desk is away")
        if (each.answer_ms is not None) != (each.does == "slow"):
            found.append(f"{where}: answer_ms belongs to 'slow', which needs it")
        if (each.per_s is not None) != (each.does == "throttles"):
            found.append(f"{where}: per_s belongs to 'throttles', which needs it")
        for other in scenario.weather[: at - 1]:
            if (other.who, other.does) == (each.who, each.does) and (
                other.from_s < each.until_s and each.from_s < other.until_s
            ):
                found.append(f"{where}: begins before the one of {other.from_s:g} s to {other.until_s:g} s is over")
    return found
