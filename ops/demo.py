"""The demonstration: a hub on the embedded store between a simulated carrier and a simulated desk, all real protocols.

``run_demo`` shows one conversation and ends with a verdict; ``run_stage`` shows it and stays up to be played with.
Steps: a customer texts the published number; a thread opens and the director is handed its first text; the director
designates a CSR; the CSR's long answer goes out in parts, in order, at least the gap apart; the carrier's receipts
become one for the CSR, and the CSR's becomes one for the carrier.
"""

from __future__ import annotations

import math
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import trio

from ops import logs
from ops.config import read_config
from ops.daemon import Daemon, open_daemon
from ops.simulators.desk import CommandRefused, ReceivedText, SimulatedDesk
from ops.simulators.smsc import SimulatedSmsc, open_simulated_smsc
from ops.simulators.smsc_errors import SimulatorError
from ops.simulators.smsc_settings import SmscSettings

CUSTOMER: Final = "+16175550101"
NUMBER: Final = "+18005550100"
QUESTION: Final = "Hello, my router model 7 shows a red light. What now?"
ANSWER: Final = (
    "Hello, thank you for texting us. A red light on model 7 means that it has lost its line. First switch it off at "
    "the back and wait for thirty seconds. Then switch it on again and wait until the light is steady, which takes up "
    "to four minutes. If it is red even then, text us the word LINE and we will test your line from here, at once."
)
STEP_S: Final = 20.0
GAP_S: Final = 0.1
MEASURED: Final = 0.5  # of a gap: a busy machine reads one part late and the next in time

Say = Callable[[str], None]


class Stage(msgspec.Struct):
    """Everything that plays.

    Attributes:
        daemon: the hub.
        smsc: the carrier.
        desk: the call centre's.
        path: where the store and the configuration are.
    """

    daemon: Daemon
    smsc: SimulatedSmsc
    desk: SimulatedDesk
    path: Path


class StepMissed(Exception):
    """A step of the conversation was not seen.

    Attributes:
        step: which.
    """

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"{step}: {why}")
        self.step = step


@asynccontextmanager
async def open_stage(path: Path) -> AsyncIterator[Stage]:
    """Start carrier, desk and hub on a fresh store below ``path``."""
    path = _fresh_folder(path)
    desk = SimulatedDesk(secret="demo-secret", domain="sms.desk.example", self_designate=False)  # noqa: S106
    smsc_settings = SmscSettings(host="127.0.0.1", port=0, system_id="smshub", password="demo")  # noqa: S106
    async with open_simulated_smsc(smsc_settings) as smsc, desk:
        text = _CONFIGURATION.format(smsc_port=smsc.port, desk_port=desk.port, smpp_port=free_port(), http=free_port())
        (path / "smshub.toml").write_text(text)
        config = read_config(text, str(path / "smshub.toml"), path)
        async with open_daemon(config) as daemon:
            yield Stage(daemon, smsc, desk, path)


def _fresh_folder(path: Path) -> Path:
    """Empty a folder of ours and send the log there. Returns: its absolute path."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    logs.configure("info", "json", (path / "smshub.log").open("w", buffering=1))
    return path.resolve()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_CONFIGURATION: Final = """# The configuration of `make run`, written anew each time.
[store]
url = "sqlite:///smshub.db"

[smpp]
port = {smpp_port}

[metrics]
port = {http}

[[call_centre]]
name = "acme"
title = "Acme Routers"
default_number = "+18005550100"
default_link = "link:carrier"

[[number]]
number = "+18005550100"
call_centre = "acme"
alias_of = "+16175550100"

[[link]]
name = "carrier"
host = "127.0.0.1"
port = {smsc_port}
system_id = "smshub"
password = "demo"

[[desk]]
name = "acme"
call_centre = "acme"
domain = "sms.desk.example"
port = {desk_port}
secret = "demo-secret"
director = "director@desk.example"
receipt_on = "received"

[[account]]
system_id = "demo"
password = "demo"

[[route]]
prefix = "*"
endpoint = "link:carrier"
"""


class Conversation:
    """The steps, each of which waits until it was seen.

    Args:
        stage: where it plays.
        say: tells what is seen.
    """

    def __init__(self, stage: Stage, say: Say) -> None:
        self._stage = stage
        self._say = say
        self._began = time.monotonic()

    async def play(self) -> None:
        """All of it. Raises: StepMissed."""
        stage = self._stage
        with self._step("bind"):
            await stage.smsc.wait_bound(1, STEP_S)
            await stage.desk.wait_until(lambda: stage.desk.connected)
        self._tell("carrier", "hub", "bound by SMPP")
        self._tell("hub", "desk", "connected by XMPP")
        text = await self._text_in()
        with self._step("hand-over to a CSR"):
            await stage.desk.designate(text.token, stage.desk.csr)
        self._tell("director", "hub", f"thread designated to {stage.desk.csr}")
        await self._receipt_to_carrier()
        answer_id = stage.desk.answer(text, ANSWER)
        self._tell("desk", "hub", f"{stage.desk.csr}: an answer of {len(ANSWER)} characters")
        await self._answer_out()
        with self._step("receipt to the CSR"):
            state = await stage.desk.receipt_of(answer_id)
        if state != "DELIVRD":
            raise StepMissed("receipt to the CSR", f"it says {state}")
        self._tell("hub", "desk", "receipt: delivered to the customer's handset")
        await self._same_thread(text)

    async def _text_in(self) -> ReceivedText:
        stage = self._stage
        self._tell("customer", "carrier", f"{CUSTOMER} texts {NUMBER}: {QUESTION}")
        with self._step("text in"):
            status = await stage.smsc.text(CUSTOMER, NUMBER, QUESTION, wants_receipt=True)
            if status:
                raise StepMissed("text in", f"the hub answered 0x{status:08x}")
            self._tell("hub", "carrier", "acknowledged: it is on disk")
            text = await stage.desk.next_text()
        if text.body != QUESTION or text.news != "new":
            raise StepMissed("thread opened", f"the desk was given a text of a {text.news} thread")
        self._tell("hub", "desk", f"new thread {text.token[:6]}… ({text.reason}), text handed to the director")
        return text

    async def _receipt_to_carrier(self) -> None:
        with self._step("receipt to the carrier"):
            smsc = self._stage.smsc
            await smsc.wait_until(lambda: bool(smsc.acknowledgements), STEP_S, "a receipt")
        self._tell("hub", "carrier", "receipt: the CSR's client has the customer's text")

    async def _answer_out(self) -> None:
        smsc = self._stage.smsc
        with self._step("long answer out"):
            (reception,) = await smsc.wait_for(CUSTOMER, 1, STEP_S)
        arrived = [part.at_us for part in reception.parts]
        for number, at_us in enumerate(arrived, 1):
            since = "" if number == 1 else f", {(at_us - arrived[number - 2]) / 1e6:.3f} s after part {number - 1}"
            self._tell("hub", "carrier", f"part {number} of {len(arrived)}{since}")
        if reception.text != ANSWER:
            raise StepMissed("long answer out", "the handset shows another text")
        if len(arrived) < 2 or any(later - earlier < GAP_S * MEASURED * 1e6 for earlier, later in pairwise(arrived)):
            raise StepMissed("long answer out", "its parts did not keep their distance")
        if reception.from_ != NUMBER:
            raise StepMissed("long answer out", f"it came from {reception.from_}")
        self._tell("carrier", "customer", f"the handset shows all {len(reception.text)} characters, from {NUMBER}")

    async def _same_thread(self, first: ReceivedText) -> None:
        stage = self._stage
        self._tell("customer", "carrier", "texts again: LINE")
        with self._step("same CSR again"):
            await stage.smsc.text(CUSTOMER, NUMBER, "LINE")
            text = await stage.desk.next_text()
        if text.token != first.token or not text.to.startswith(stage.desk.csr):
            raise StepMissed("same CSR again", f"it went to {text.to}")
        self._tell("hub", "desk", f"same thread {text.token[:6]}…, straight to {stage.desk.csr}")

    def _tell(self, sender: str, receiver: str, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:7.3f} s  {sender:>8} → {receiver:<8}  {what}")

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        with trio.move_on_after(STEP_S) as scope:
            try:
                yield
            except (SimulatorError, CommandRefused) as error:
                raise StepMissed(name, str(error)) from error
        if scope.cancelled_caught:
            raise StepMissed(name, f"not seen within {STEP_S:g} s")


async def run_demo(path: Path, say: Say, verdict: Say) -> int:
    """Play the conversation once.

    Args:
        path: a folder for its store; emptied.
        say: tells each step.
        verdict: tells the end.

    Returns: exit status: 0 when every step was seen.
    """
    async with open_stage(path) as stage:
        try:
            await Conversation(stage, say).play()
        except StepMissed as missed:
            verdict(f"demo: FAILED at {missed}; see {path / 'smshub.log'}")
            return 1
    verdict("demo: every step was seen")
    return 0


async def run_stage(path: Path, say: Say) -> int:
    """Play the conversation, then stay up until SIGINT or SIGTERM, to be texted and watched.

    Args:
        path: a folder for its store; emptied.
        say: tells.

    Returns: exit status.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        say("smshub: a hub between a simulated carrier and a simulated desk, on a store of its own\n")
        async with open_stage(path) as stage:
            try:
                await Conversation(stage, say).play()
            except StepMissed as missed:
                say(f"smshub: FAILED at {missed}; see {path / 'smshub.log'}")
                return 1
            say(_guide(stage))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_show_phone, stage, say)
                nursery.start_soon(_show_desk, stage, say)
                nursery.start_soon(_obey_terminal, stage, say)
                async for _ in signals:
                    break
                nursery.cancel_scope.cancel()
            say("\nstopping")
    return 0


def _guide(stage: Stage) -> str:
    """How to go on from here."""
    file, ports = stage.path / "smshub.toml", stage.daemon.ports
    return f"""
It stays up. To text it, type here:
  a line           the customer {CUSTOMER} texts {NUMBER}
  @ and a line     the CSR answers
Or bind an ESME of your own: 127.0.0.1:{ports["smpp"]}, system_id demo, password demo.
To watch it, in another terminal:
  .venv/bin/smshub thread list --config {file}
  .venv/bin/smshub top --once --config {file}
  curl http://127.0.0.1:{ports["metrics"]}/metrics
  tail -f {stage.path / "smshub.log"}
To stop it: Ctrl-C.
"""


async def _show_phone(stage: Stage, say: Say) -> None:
    """Say what the customer's handset shows."""
    phone = stage.smsc.handset(CUSTOMER)
    seen = phone.count
    while True:
        received = await stage.smsc.wait_for(phone, seen + 1, math.inf)
        for reception in received[seen - phone.count :]:
            say(f"  [phone {CUSTOMER}] {reception.from_}: {reception.text}")
        seen = phone.count


async def _show_desk(stage: Stage, say: Say) -> None:
    """Say what the desk is handed."""
    while True:
        text = await stage.desk.next_text()
        say(f"  [desk {text.to}] {text.customer} ({text.news} thread {text.token[:6]}…): {text.body}")


async def _obey_terminal(stage: Stage, say: Say) -> None:
    """Text and answer what is typed; at the end of input, only stay up."""
    while True:
        line = await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        if not line:
            return
        words = line.strip()
        if words.startswith("@"):
            latest = stage.desk.conversations.get((CUSTOMER, NUMBER))
            if latest is not None and words[1:].strip():
                stage.desk.answer(latest, words[1:].strip())
        elif words:
            status = await stage.smsc.text(CUSTOMER, NUMBER, words)
            if status:
                say(f"  [carrier] the hub answered 0x{status:08x}")
