"""Words of scripts and terminals, and that the reference page tells of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.simulators.smsc_behaviour import Behaviour, Carries, Dlr, IdStyle, Span, Wording
from ops.simulators.smsc_errors import BadScript, BadWords
from ops.simulators.smsc_script import (
    AlertStep,
    DisconnectStep,
    ExpectBindStep,
    ExpectNothingStep,
    ExpectReceiptStep,
    ExpectStep,
    SetStep,
    TextStep,
    WaitStep,
    read_script,
)
from ops.simulators.smsc_terminal import COMMANDS, clock_words, safe
from ops.simulators.smsc_words import WORDS, change, help_lines, read_duration, read_status
from smpp.constants import CommandStatus
from smpp.receipt import ReceiptState
from smpp.segmentation import Method

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "simulators.md"


@pytest.mark.parametrize(
    ("words", "seconds"), [("0.5", 0.5), ("2s", 2.0), ("250ms", 0.25), ("2m", 120.0), (".5", 0.5), ("1.", 1.0)]
)
def test_durations(words: str, seconds: float) -> None:
    assert read_duration(words) == pytest.approx(seconds)


@pytest.mark.parametrize("words", ["", "x", "-1", "1h", "1 s", "1e3", "nan"])
def test_no_durations(words: str) -> None:
    with pytest.raises(BadWords):
        read_duration(words)


def test_statuses() -> None:
    assert read_status("ESME_RTHROTTLED") == read_status("rthrottled") == read_status("0x58") == 0x58
    for wrong in ("ESME_RNOTHING", "0xzz", ""):
        with pytest.raises(BadWords):
            read_status(wrong)


@pytest.mark.parametrize(
    ("line", "behaviour"),
    [
        ("delay 0.2", Behaviour(delay=Span(0.2, 0.2))),
        ("delay 100ms 0.5", Behaviour(delay=Span(0.1, 0.5))),
        ("delay off", Behaviour()),
        ("drop 0.1", Behaviour(drop_rate=0.1)),
        ("drop 10% delivers", Behaviour(drop_rate=0.1, drop_delivers=True)),
        ("error 0.5 ESME_RMSGQFUL", Behaviour(error_rate=0.5, error_status=CommandStatus.ESME_RMSGQFUL)),
        ("throttle 50", Behaviour(throttle_per_s=50)),
        ("throttle off", Behaviour()),
        ("disconnect 7", Behaviour(disconnect_after=7)),
        ("binds ESME_RBINDFAIL", Behaviour(refuse_binds=CommandStatus.ESME_RBINDFAIL)),
        ("binds accept", Behaviour()),
        ("ids hex-upper", Behaviour(ids=IdStyle.HEX_UPPER)),
        ("method sar", Behaviour(method=Method.SAR)),
        ("resend off", Behaviour(resend=False)),
        ("retries 3 2s", Behaviour(retries=3, retry_after_s=2.0)),
        ("dlr off", Behaviour(dlr=Dlr(on=False))),
        ("dlr always", Behaviour(dlr=Dlr(always=True))),
        ("dlr delay 1 2", Behaviour(dlr=Dlr(delay=Span(1, 2)))),
        (
            "dlr states DELIVRD=9 undeliv",
            Behaviour(dlr=Dlr(states=((ReceiptState.DELIVERED, 9), (ReceiptState.UNDELIVERABLE, 1)))),
        ),
        ("dlr error 042", Behaviour(dlr=Dlr(error="042"))),
        ("dlr id padded", Behaviour(dlr=Dlr(id_style=IdStyle.PADDED))),
        ("dlr id same", Behaviour()),
        ("dlr carries tlvs", Behaviour(dlr=Dlr(carries=Carries.TLVS))),
        ("dlr wording short", Behaviour(dlr=Dlr(wording=Wording.SHORT))),
        ("dlr dates 14", Behaviour(dlr=Dlr(date_digits=14))),
        ("dlr intermediate on", Behaviour(dlr=Dlr(intermediate=True))),
        ("dlr overtake on", Behaviour(dlr=Dlr(overtakes=True))),
        ("dlr repeat 2", Behaviour(dlr=Dlr(repeats=2))),
        ("dlr unsolicited 5%", Behaviour(dlr=Dlr(unsolicited_rate=0.05))),
    ],
)
def test_what_can_be_set(line: str, behaviour: Behaviour) -> None:
    assert change(Behaviour(), line.split()) == behaviour


def test_a_change_leaves_the_rest_as_it_was() -> None:
    behaviour = change(change(Behaviour(), ["drop", "0.1"]), ["dlr", "dates", "12"])
    assert change(behaviour, ["dlr", "off"]) == Behaviour(drop_rate=0.1, dlr=Dlr(on=False, date_digits=12))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "nothing cannot be set"),
        ("speed 9", "speed cannot be set"),
        ("drop", "drop RATE"),
        ("drop 2", "drop_rate is 2"),
        ("drop much", "no rate"),
        ("drop 0.1 all", "only 'delivers'"),
        ("error 0.1 NO", "no command_status"),
        ("throttle -3", "no whole number"),
        ("throttle 3 4", "throttle N"),
        ("ids roman", "none of decimal"),
        ("delay 2 1", "no span"),
        ("dlr", "dlr on|off|always"),
        ("dlr perhaps", "neither on nor off"),
        ("dlr dates 11", "11 digits"),
        ("dlr states GONE", "'GONE' is none of"),
        ("dlr states DELIVRD=x", "no weight"),
        ("dlr states DELIVRD=0", "no state"),
    ],
)
def test_what_cannot_be_set_says_why(line: str, why: str) -> None:
    with pytest.raises(BadWords) as refused:
        change(Behaviour(), line.split())
    assert why in str(refused.value)


def test_the_page_and_the_help_tell_of_every_word() -> None:
    page = PAGE.read_text()
    for word in WORDS:
        assert f"`{word.name} " in page, f"{word.name} is not described"
        assert any(line.startswith(f"{word.name} ") for line in help_lines())
    for usage, _ in COMMANDS:
        assert f"`{usage.split()[0]}" in page, f"{usage} is not described"


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_a_script_of_every_step() -> None:
    steps = read_script(
        """
        # a comment
        expect-bind 2 within 10s
        expect-bind
        text +16175550101 +18005550100 "are you  open?" receipt method sar parts 2,1 status RSYSERR within 1s
        text +1 +2 'say "so"'   # plain
        expect +16175550101 "yes|no" from +18005550100 parts 2 gap 0.1s within 2m
        expect-nothing +16175550101 within 0.5
        expect-receipt +16175550101 delivrd
        wait 500ms
        set dlr states DELIVRD=9 UNDELIV=1
        disconnect
        alert +16175550101
        """.splitlines()
    )
    assert [number for number, _, _ in steps] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    found = [step for _, _, step in steps]
    assert found[0] == ExpectBindStep(2, 10.0)
    assert found[1] == ExpectBindStep(1, 5.0)
    assert found[2] == TextStep(
        "+16175550101", "+18005550100", "are you  open?", True, Method.SAR, (2, 1), CommandStatus.ESME_RSYSERR, 1.0
    )
    assert found[3] == TextStep("+1", "+2", 'say "so"')
    expect = found[4]
    assert isinstance(expect, ExpectStep)
    assert expect.pattern.pattern == "yes|no"
    assert (expect.from_, expect.parts, expect.gap_s, expect.within_s) == ("+18005550100", 2, 0.1, 120.0)
    assert found[5:8] == [
        ExpectNothingStep("+16175550101", 0.5),
        ExpectReceiptStep("+16175550101", ReceiptState.DELIVERED, 5.0),
        WaitStep(0.5),
    ]
    assert found[8:] == [
        SetStep(("dlr", "states", "DELIVRD=9", "UNDELIV=1")),
        DisconnectStep(),
        AlertStep("+16175550101"),
    ]


def test_all_errors_of_a_script_are_told_at_once_with_their_lines() -> None:
    lines = [
        "wait long",
        "text +1 +2",
        "",
        "dance",
        "expect +1 [",
        'text +1 +2 "open',
        "set drop 7",
        "wait 1 within 2s",
        "expect +1 x within",
        "expect +1 x parts 1 parts 2",
        "text +1 +2 x parts two",
    ]
    with pytest.raises(BadScript) as bad:
        read_script(lines)
    errors = dict(bad.value.errors)
    assert set(errors) == {1, 2, 4, 5, 6, 7, 8, 9, 10, 11}
    assert "no time" in errors[1]
    assert "3 word" in errors[2]
    assert "'dance' is no step" in errors[4]
    assert "regular expression" in errors[5]
    assert "drop_rate" in errors[7]
    assert "may not stand here" in errors[8]
    assert "nothing after 'within'" in errors[9]


# --- the terminal's lines --------------------------------------------------------------------------------------------


def test_a_text_does_nothing_to_the_terminal() -> None:
    assert safe("plain Zoë 😀") == "plain Zoë 😀"
    assert safe("a\r\nb\nc\x1b[2J\x07") == "a⏎b⏎c?[2J?"


def test_times_are_of_the_day_in_utc() -> None:
    assert clock_words(1_700_000_000_123_456) == "22:13:20.123"
