"""Steady load while links flap and throttle: what happens to a hub in years, in minutes.

Two carriers make a group. All the time one or the other is cut, goes deaf, is slow, refuses binds, drops its window, or
asks to go slower. At the end everything is accounted for, as after a kill.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from smpp.constants import CommandStatus
from smpp.pdu import PDU
from tests.faults.check import Rules
from tests.faults.peers import Answered, Carrier, Load
from tests.faults.process import AGGREGATED, LINK_PASSWORD, NUMBER, until
from tests.faults.scene import Scene, open_scene
from tests.faults.texts import Sent, Taken

TICK_S = 0.02
LOOK_S = 5.0
MAX_UNANSWERED = 4000  # a sender that is this far behind waits
LANES = 100

QUICK_LINK = "response_timeout_s = 5\nenquire_link_s = 5\nwindow = 200"
SECOND = """
[[link]]
name = "second"
host = "127.0.0.1"
port = {port}
system_id = "smshub"
password = "{password}"
gap_ms = 5
{link}

[[group]]
name = "carriers"
links = ["carrier=2", "second"]
gap_ms = 5

[[route]]
prefix = "+1300"
endpoint = "group:carriers"
"""


class Sample(msgspec.Struct, frozen=True):
    """What was seen at one moment.

    Attributes:
        at_s: since the beginning.
        sent, acknowledged, taken: texts so far.
        rss_mb: the daemon's resident memory.
        descriptors: the daemon's open files.
        store_mb: the store's files.
        ack_p50_ms, ack_p99_ms: how long the ESME waited for its answers since the sample before; 0 without any.
    """

    at_s: float
    sent: int
    acknowledged: int
    taken: int
    rss_mb: float
    descriptors: int
    store_mb: float
    ack_p50_ms: float = 0.0
    ack_p99_ms: float = 0.0


class SteadyLoad(Load):
    """So many texts a second, over a hundred lanes of each flow.

    | flow | share |
    | --- | --- |
    | A: ESME → hub → group | 70% |
    | B: carrier → hub → desk | 10% |
    | C: desk → hub → group, three parts each | 5% |
    | D: carrier → hub → ESME | 15% |

    Attributes:
        waits_s: of the ESME for its answers, since somebody looked.
    """

    LANES = LANES
    SHARES = (("A", 0.70), ("B0", 0.05), ("B1", 0.05), ("C", 0.05), ("D0", 0.075), ("D1", 0.075))

    def __init__(self, scene: Scene, per_s: float) -> None:
        super().__init__(scene.carrier.chance, scene.carrier, scene.esme, scene.desk)
        self.per_s = per_s
        self.waits_s: list[float] = []
        self._carriers = scene.carriers
        self._owed = {flow: 0.0 for flow, _ in self.SHARES}  # texts that are due, by flow and carrier

    async def run(self) -> None:
        """Send until ``running`` is False; what a peer that is away should have sent is sent when it is back."""
        last = time.monotonic()
        while self.running:
            await trio.sleep(TICK_S)
            now = time.monotonic()
            for flow, share in self.SHARES:
                self._owed[flow] = min(self._owed[flow] + (now - last) * self.per_s * share, 2.0 * self.per_s)
            last = now
            await self._send_from_esme()
            for flow in "BD":
                await self._send_from_carriers(flow)
            self._send_from_desk()

    def _due(self, flow: str) -> int:
        due = int(self._owed[flow])
        self._owed[flow] -= due
        return due

    async def _send_from_esme(self) -> None:
        if not self._esme.bound or self._esme.unanswered >= MAX_UNANSWERED:
            return
        lanes = [self._lane() for _ in range(self._due("A"))]
        if lanes:
            begun = time.monotonic()
            texts = [self._esme.text(self._next("A", at), "+12005550000", f"+1300555{at:04d}") for at in lanes]
            await self._esme.ask([(pdu, self._timed(answered, begun)) for pdu, answered in texts])

    def _timed(self, answered: Answered, begun: float) -> Answered:
        def noting(status: int, response: PDU) -> None:
            self.waits_s.append(time.monotonic() - begun)
            answered(status, response)

        return noting

    async def _send_from_carriers(self, flow: str) -> None:
        for at, carrier in enumerate(self._carriers):
            if not carrier.bound or carrier.unanswered >= MAX_UNANSWERED:
                continue
            batch = []
            for _ in range(self._due(f"{flow}{at}")):
                # A customer's texts come by one carrier: two would not keep their order among them.
                lane = self._chance.randrange(at, self.LANES, len(self._carriers))
                destination = NUMBER if flow == "B" else f"{AGGREGATED}5550000"
                batch += carrier.customer_text(self._next(flow, lane), self.customer(lane), destination, 0)
            if batch:
                await carrier.ask(batch)

    def _send_from_desk(self) -> None:
        for _ in range(self._due("C")):
            lane = self._lane()
            if self._desk.connected and self.customer(lane) in self._desk.tokens:
                self._desk.answer(self._next("C", lane), self.customer(lane))


class Weather:
    """What happens to the carriers.

    It begins with a cut, so that the shortest run has lost a link. What follows is chance, of its own seed: it does not
    hang on how many texts were drawn in between.

    Args:
        scene: whose.
        often_s: seconds between two events, on average.

    Attributes:
        events: what happened, and how often.
    """

    def __init__(self, scene: Scene, often_s: float) -> None:
        self.events: Counter[str] = Counter()
        self._scene = scene
        self._often_s = often_s
        self._chance = random.Random(scene.carrier.chance.getrandbits(64))

    async def run(self) -> None:
        """Until cancelled; whoever cancels calls ``clear``."""
        kinds = {
            "cut": self._cut,
            "drops its window": self._drop,
            "throttles": self._throttle,
            "is slow": self._slow,
            "is deaf": self._deaf,
            "refuses binds": self._refuse_binds,
        }
        while True:
            await trio.sleep(self._chance.uniform(0.2, 1.8) * self._often_s)
            carrier = self._chance.choice(self._scene.carriers)
            name = self._chance.choices(list(kinds), weights=(5, 3, 5, 2, 1, 2))[0] if self.events else "cut"
            self.events[name] += 1
            await kinds[name](carrier)

    def clear(self) -> None:
        """Let the sun shine."""
        for carrier in self._scene.carriers:
            carrier.drops_answers = carrier.is_deaf = False
            carrier.takes_binds = True
            carrier.answer_delay_s = 0.0
            carrier.status_for = _ok

    async def _cut(self, carrier: Carrier) -> None:
        await carrier.cut()

    async def _drop(self, carrier: Carrier) -> None:
        carrier.drops_answers = True
        with trio.move_on_after(2):
            while carrier.bound:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.01)
        carrier.drops_answers = False

    async def _throttle(self, carrier: Carrier) -> None:
        carrier.status_for = _Bucket(self._chance.choice((50, 200, 600)))
        await trio.sleep(self._chance.uniform(0.5, 3))
        carrier.status_for = _ok

    async def _slow(self, carrier: Carrier) -> None:
        carrier.answer_delay_s = 0.3
        await trio.sleep(self._chance.uniform(0.5, 2))
        carrier.answer_delay_s = 0.0

    async def _deaf(self, carrier: Carrier) -> None:
        carrier.is_deaf = True
        await trio.sleep(self._chance.uniform(0.5, 2))
        carrier.is_deaf = False

    async def _refuse_binds(self, carrier: Carrier) -> None:
        carrier.takes_binds = False
        await carrier.cut()
        await trio.sleep(self._chance.uniform(0.2, 1))
        carrier.takes_binds = True


def _ok(_: Taken) -> int:
    return 0


class _Bucket:
    """Takes so many texts a second; throttles the others."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._tokens, self._at = per_s / 10, time.monotonic()

    def __call__(self, _: Taken) -> int:
        now = time.monotonic()
        self._tokens = min(self._per_s / 10, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1:
            return int(CommandStatus.ESME_RTHROTTLED)
        self._tokens -= 1
        return 0


@asynccontextmanager
async def open_soak(
    folder: Path, url: str, new_port: Callable[[], int], seed: int, per_s: float
) -> AsyncIterator[Scene]:
    """A scene with two carriers in a group, under ``SteadyLoad``."""
    port = new_port()
    tail = SECOND.format(port=port, password=LINK_PASSWORD, link=QUICK_LINK)
    async with open_scene(folder, url, new_port, seed, start=False, link=QUICK_LINK, tail=tail) as scene:
        await scene.add_carrier(port)
        scene.load = SteadyLoad(scene, per_s)
        scene.rules = Rules(patience_s=0.0)  # what is slow for these links is not slow for a busy machine
        await scene.daemon.start()
        await scene.wait_up()
        yield scene


async def soak(scene: Scene, seconds: float, often_s: float, look: Callable[[Sample], None]) -> Counter[str]:
    """Load for so long under weather, then let the sun shine.

    Args:
        scene: of ``open_soak``.
        seconds: how long.
        often_s: seconds between two events, on average.
        look: is shown a sample from time to time.

    Returns: what happened to the carriers, and how often.
    """
    weather = Weather(scene, often_s)
    begun = time.monotonic()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.load.run)
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as inner:
                inner.start_soon(weather.run)
                while True:
                    await trio.sleep(LOOK_S)
                    scene.daemon.check_alive()
                    look(sample(scene, begun))
        weather.clear()
        scene.load.running = False
    await until(lambda: all(carrier.bound for carrier in scene.carriers), 120, "both links are bound in the end")
    return weather.events


def sample(scene: Scene, begun: float) -> Sample:
    """Look at the daemon and the books now."""
    process = Path(f"/proc/{scene.daemon.process_id}")
    pages = int((process / "statm").read_text().split()[1])
    store = Path(scene.url.partition(":///")[2])
    octets = sum(path.stat().st_size for path in store.parent.glob(f"{store.name}*")) if store.name else 0
    texts: list[Sent] = list(scene.load.sent.values())
    waits_s: list[float] = []
    if isinstance(scene.load, SteadyLoad):
        waits_s, scene.load.waits_s = sorted(scene.load.waits_s), []
    return Sample(
        at_s=time.monotonic() - begun,
        sent=len(texts),
        acknowledged=sum(1 for text in texts if text.acknowledged),
        taken=len(scene.carrier.taken) + len(scene.esme.taken) + len(scene.desk.taken),
        rss_mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        descriptors=len(list((process / "fd").iterdir())),
        store_mb=octets / 1e6,
        ack_p50_ms=waits_s[len(waits_s) // 2] * 1e3 if waits_s else 0.0,
        ack_p99_ms=waits_s[len(waits_s) * 99 // 100] * 1e3 if waits_s else 0.0,
    )
