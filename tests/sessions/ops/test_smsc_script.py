"""Scripts and the terminal drive the simulated SMSC, and say clearly what went wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from ops.simulators.smsc import SimulatedSmsc, open_simulated_smsc
from ops.simulators.smsc_behaviour import Behaviour
from ops.simulators.smsc_errors import BadScript
from ops.simulators.smsc_script import ScriptResult, run_script
from ops.simulators.smsc_settings import SmscSettings
from ops.simulators.smsc_terminal import run_terminal, simulate_smsc
from smpp.alphabet import GSM7
from smpp.events import Lost
from smpp.pdu import DeliverSm, DeliverSmResp, SubmitSm
from smpp.segmentation import segment
from smpp.session import Session, SessionEnded

from .conftest import DESK, HANDSET, bound_to

GAP_S = 0.1


@asynccontextmanager
async def with_esme(settings: SmscSettings | None = None) -> AsyncIterator[SimulatedSmsc]:
    """An SMSC, and an ESME that answers each text with ``re: …``, receipts included, part by part."""
    async with (
        open_simulated_smsc(settings or SmscSettings(seed=1), listen=False) as smsc,
        bound_to(smsc) as esme,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(echo, esme)
        nursery.start_soon(ignore_answers, esme)
        yield smsc
        nursery.cancel_scope.cancel()


async def echo(esme: Session) -> None:
    try:
        while True:
            for pdu in await esme.receive_requests():
                if isinstance(pdu, DeliverSm):
                    esme.respond([DeliverSmResp(sequence_number=pdu.sequence_number)])
                    if not pdu.esm_class & 0x3C:
                        await reply(esme, pdu)
    except SessionEnded:
        return


async def ignore_answers(esme: Session) -> None:
    try:
        while True:
            for answer in await esme.receive_answers():
                assert answer.lost is None or answer.lost is Lost.ON_WIRE
    except SessionEnded:
        return


async def reply(esme: Session, pdu: DeliverSm) -> None:
    back = {
        "source_addr_ton": 1,
        "source_addr": pdu.destination_addr,
        "dest_addr_ton": 1,
        "destination_addr": pdu.source_addr,
    }
    if pdu.registered_delivery:
        body = b"id:9 sub:001 dlvrd:001 submit date:2311142213 done date:2311142213 stat:DELIVRD err:000 text:"
        esme.submit([(SubmitSm(esm_class=0x08, short_message=body, **back), None)])
    for number, part in enumerate(segment("re: " + GSM7.decode(pdu.short_message), reference=3)):
        if number:
            await trio.sleep(GAP_S)
        esme.submit([(SubmitSm(esm_class=part.esm_class, short_message=part.short_message, **back), None)])


async def run(smsc: SimulatedSmsc, script: str, said: list[str] | None = None) -> ScriptResult:
    return await run_script(smsc, script.splitlines(), said.append if said is not None else None)


async def test_a_script_that_goes_well(autojump_clock: MockClock) -> None:
    said: list[str] = []
    async with with_esme() as smsc:
        result = await run(
            smsc,
            f"""
            expect-bind within 1s
            text {HANDSET} {DESK} "are you open?" receipt
            expect {HANDSET} "^re: .*open" from {DESK} parts 1
            expect-receipt {HANDSET} DELIVRD within 1s
            text {HANDSET} {DESK} "{"x" * 158}"
            expect {HANDSET} "^re: x+$" parts 2 gap 0.09 within 2s
            wait 0.5
            set delay 0.1
            expect-nothing {HANDSET} within 1s
            """,
            said,
        )
        assert result.ok, result.failure
        assert [step.line for step in result.steps] == list(range(2, 11))
        assert smsc.behaviour.delay.least_s == pytest.approx(0.1)
    assert len(said) == 9
    assert said[0].split() == ["ok", "0.000s", "expect-bind", "within", "1s"]


@pytest.mark.parametrize(
    ("step", "failure"),
    [
        (f'expect {HANDSET} "no such" within 2s', f"no such text; there came 're: one' from {DESK}; 're: two'"),
        ('expect +19995550100 "x" within 2s', "no such text; none came"),
        (f'expect {HANDSET} "one" from +1999 within 2s', "no such text; there came 're: one'"),
        (f'expect {HANDSET} "one" parts 2', "it came in 1 part(s), not 2"),
        (f"expect-nothing {HANDSET} within 1s", "there came 're: one'"),
        (f"expect-receipt {HANDSET} DELIVRD within 1s", "no such receipt; none came"),
        ("expect-bind 2 within 1s", "2 receiver(s) bound: not within 1 s"),
        (f"text {HANDSET} {DESK} hello status ESME_RTHROTTLED", "answered ok, not ESME_RTHROTTLED"),
        (f"text {'+' + '1' * 30} {DESK} hello", "longer than SMPP allows"),
    ],
)
async def test_a_step_that_fails_ends_the_run_and_says_why(autojump_clock: MockClock, step: str, failure: str) -> None:
    said: list[str] = []
    async with with_esme() as smsc:
        script = f"text {HANDSET} {DESK} one\ntext {HANDSET} {DESK} two\nwait 1\n{step}\nwait 1"
        result = await run(smsc, script, said)
    assert not result.ok
    assert result.steps[-1].line == 4
    assert failure in result.failure
    assert result.failure.startswith(f"line 4: {step}: ")
    assert said[-1].split()[0] == "FAILED"


async def test_a_gap_that_is_too_short_fails(autojump_clock: MockClock) -> None:
    async with with_esme() as smsc:
        script = f'text {HANDSET} {DESK} "{"x" * 158}"\nexpect {HANDSET} "x" gap 0.2'
        assert "two parts came 0.100 s apart" in (await run(smsc, script)).failure


async def test_each_text_satisfies_one_expectation(autojump_clock: MockClock) -> None:
    async with with_esme() as smsc:
        text, expect = f"text {HANDSET} {DESK} same", f"expect {HANDSET} same within 1s"
        assert (await run(smsc, f"{text}\n{text}\n{expect}\n{expect}")).ok
        assert not (await run(smsc, f"{text}\n{expect}\n{expect}\n{expect}\n{expect}")).ok


async def test_without_a_receiver_a_text_step_says_so(autojump_clock: MockClock) -> None:
    async with open_simulated_smsc(SmscSettings(seed=1), listen=False) as smsc:
        result = await run(smsc, f"text {HANDSET} {DESK} hello within 2s")
        assert result.failure.endswith("not answered within 2 s; no receiver is bound")
        assert "no receiver is bound" in (await run(smsc, f"alert {HANDSET}")).failure


async def test_disconnect_in_a_script(autojump_clock: MockClock) -> None:
    async with with_esme() as smsc:
        assert (await run(smsc, f"alert {HANDSET}\ndisconnect\nwait 1")).ok
        assert smsc.receivers == 0


async def test_a_bad_script_does_nothing_at_all(autojump_clock: MockClock) -> None:
    async with with_esme() as smsc:
        with pytest.raises(BadScript, match="line 2"):
            await run(smsc, f"text {HANDSET} {DESK} hello\nnonsense")
        assert smsc.statistics().deliveries["texts_ok"] == 0
    async with open_simulated_smsc(SmscSettings(keep_history=False), listen=False) as smsc:
        with pytest.raises(BadScript, match="without history"):
            await run(smsc, "wait 1")


# --- the terminal ----------------------------------------------------------------------------------------------------


async def at_terminal(smsc: SimulatedSmsc, *lines: str) -> list[str]:
    """What a terminal shows for some lines, of which the last is the end of the input; without its greeting."""
    shown: list[str] = []
    left = [*(f"{line}\n" for line in lines), ""]

    async def read_line() -> str:
        return left.pop(0)

    await run_terminal(smsc, write=shown.append, read_line=read_line)
    assert shown.pop(0).startswith("SMSC on port ")
    return shown


def without_times(lines: list[str]) -> list[str]:
    return [line[14:] if line[2:3] == ":" else line for line in lines]


async def test_texts_at_a_terminal_and_what_comes_back(autojump_clock: MockClock) -> None:
    async with with_esme() as smsc:
        shown = await at_terminal(
            smsc,
            f"{HANDSET} {DESK} are you open?",
            "/wait 1",
            "and tomorrow?",
            "/wait 1",
            "as +16175550102",
            "/receipt on",
            "it's me",
            "/wait 1",
        )
    # what is answered and what comes at one instant is shown in either order
    assert sorted(without_times(shown)) == sorted(
        [
            f"{HANDSET} → {DESK}: ok",
            f"{HANDSET} ← {DESK}: re: are you open?",
            f"{HANDSET} → {DESK}: ok",
            f"{HANDSET} ← {DESK}: re: and tomorrow?",
            f"+16175550102 → {DESK}: ok",
            f"+16175550102 ← {DESK}: receipt DELIVRD for 9",
            f"+16175550102 ← {DESK}: re: it's me",
        ]
    )


async def test_parts_are_shown_as_they_come_and_the_text_when_it_is_whole(autojump_clock: MockClock) -> None:
    async with with_esme() as smsc:
        shown = without_times(await at_terminal(smsc, f"/as {HANDSET}", f"/to {DESK}", "x" * 158, "/wait 1"))
    shown.remove(f"{HANDSET} → {DESK}: ok")  # before the parts or between them
    assert shown == [
        f"  part 1 of 2 from {DESK}",
        f"  part 2 of 2 from {DESK}",
        f"{HANDSET} ← {DESK}: re: {'x' * 158}  (2 parts: +0.000 +0.100 s)",
    ]


async def test_commands_at_a_terminal(autojump_clock: MockClock) -> None:
    async with with_esme() as smsc:
        shown = await at_terminal(
            smsc,
            "",
            "hello?",
            f"{HANDSET} {DESK} hi",
            "/wait 1",
            "/handsets",
            "/binds",
            "/drop 10%",
            "/set dlr dates 14",
            "/dlr off",
            "/speed 7",
            "/drop 7",
            "/wait long",
            f"/alert {HANDSET}",
            "/disconnect 5",
            "/disconnect",
            "/wait 1",
            "/quit",
            "never read",
        )
        assert (smsc.behaviour.drop_rate, smsc.behaviour.disconnect_after) == (0.1, 5)
        assert (smsc.behaviour.dlr.on, smsc.behaviour.dlr.date_digits) == (False, 14)
    lines = without_times(shown)
    assert lines[0] == "? +FROM +TO TEXT, or /as and /to first; /help says more"
    assert lines[3:] == [
        f"* {HANDSET}: 1 text(s)",
        "  hub as transceiver",
        "  1 received: 1 accepted, 0 refused, 0 throttled, 0 dropped, 0 cut; 0 wait for a receiver",
        "? speed cannot be set; /help says what there is",
        "? drop_rate is 7.0, not within 0…1; /help says what there is",
        "? 'long' is no time such as 0.5, 0.5s, 500ms or 2m",
        "  told 1 receiver(s)",
        "  1 connection(s) cut",
        "hub (here), transceiver, gone: closed",
    ]


async def test_help_tells_of_all_that_can_be_set(autojump_clock: MockClock) -> None:
    async with with_esme() as smsc:
        shown = "\n".join(await at_terminal(smsc, "/help"))
    assert "dlr unsolicited RATE" in shown
    assert "/quit" in shown


async def test_at_the_end_of_input_answers_are_waited_for(autojump_clock: MockClock) -> None:
    async with open_simulated_smsc(SmscSettings(seed=1), listen=False) as smsc:
        shown = await at_terminal(smsc, f"{HANDSET} {DESK} hello?")
    assert shown == ["  waits: no receiver is bound", "! 1 text(s) not answered"]


# --- the command's function ------------------------------------------------------------------------------------------


async def test_simulate_smsc_runs_a_script_and_says_how_it_went(tmp_path: Path) -> None:
    """On a real port: the script is of steps that need no ESME."""
    said: list[str] = []
    script = tmp_path / "script"
    for text, ok in (("wait 0\nset drop 1", True), ("expect-bind within 0.01s", False), ("dance", False)):
        script.write_text(text)
        settings = SmscSettings(port=0, behaviour=Behaviour())
        assert await simulate_smsc(settings, script=script, write=said.append) is ok
    assert said[-1].startswith("line 1: 'dance' is no step")


async def test_simulate_smsc_without_anybody_there_shows_what_happens(nursery: trio.Nursery) -> None:
    said: list[str] = []
    smsc = await nursery.start(partial(simulate_smsc, SmscSettings(port=0), write=said.append))
    async with bound_to(smsc):
        pass
    await smsc.wait_until(lambda: not smsc.binds, 5, "gone")
    with trio.fail_after(5):
        while len(said) < 3:
            await trio.lowlevel.checkpoint()
    assert without_times(said)[1] == "hub (here) bound as transceiver"
    nursery.cancel_scope.cancel()


async def test_simulate_smsc_at_a_terminal(nursery: trio.Nursery) -> None:
    lines = ["/binds\n", ""]
    said: list[str] = []

    async def read_line() -> str:
        return lines.pop(0)

    assert await simulate_smsc(SmscSettings(port=0), write=said.append, read_line=read_line)
    assert "0 received" in said[1]
