"""A daemon between its peers, all on loopback, and what happened at the end accounted for."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from tests.faults.book import Book, awaiting_receipts, pending_of, read_book, texts_of_desks
from tests.faults.check import Rules, Tally, check
from tests.faults.history import History, read
from tests.faults.peers import Carrier, Desk, Esme, Load, ProsodyDesk
from tests.faults.process import DaemonProcess, DeskSide, until
from tests.faults.weather_proxy import WeatherProxy

DRAIN_S = 60.0
STOP_S = 10.0  # less than what the daemon gives peers that do not answer


class Scene:
    """Everything that plays.

    Attributes:
        daemon, carrier, esme, desk, load: who.
        carriers: the carrier and, where a test has more, the others of its group; all keep the books of the first.
        url: the store.
        nursery: of the peers.
        history: what they saw.
        tally: how much that was, once it was accounted for.
        rules: what the account goes by.
        roads: the proxies between the daemon and its peers, by the peer's name, where a test asked for them.
    """

    def __init__(
        self, daemon: DaemonProcess, carrier: Carrier, esme: Esme, desk: Desk, url: str, history: History
    ) -> None:
        self.daemon, self.carrier, self.esme, self.desk, self.url = daemon, carrier, esme, desk, url
        self.history = history
        self.tally = Tally()
        self.rules = Rules()
        self.roads: dict[str, WeatherProxy] = {}
        self.carriers = [carrier]
        self.load = Load(carrier.chance, carrier, esme, desk)
        self.nursery: trio.Nursery | None = None

    async def wait_up(self, within_s: float = 30.0) -> None:
        """Wait until all peers are connected."""
        await until(self._is_up, within_s, "all peers are connected")

    def _is_up(self) -> bool:
        self.daemon.check_alive()
        return all(carrier.bound for carrier in self.carriers) and self.esme.bound and self.desk.connected

    async def drain(self, within_s: float = DRAIN_S) -> None:
        """Wait until the journal has nothing left to do and nobody owes anybody a receipt."""
        with trio.move_on_after(within_s):
            while True:
                self.daemon.check_alive()
                # The peers first: what they have under way may be in the journal a moment later, and done with.
                peers = sum(carrier.owes + carrier.unanswered for carrier in self.carriers) + self.esme.unanswered
                waiting = await trio.to_thread.run_sync(pending_of, self.url)
                waiting += await trio.to_thread.run_sync(awaiting_receipts, self.url)
                if not waiting and not peers:
                    # A desk is not told that a text was read: the journal says so, and it may be pending there by now.
                    waiting = len(self.desk.unread(await trio.to_thread.run_sync(texts_of_desks, self.url)))
                    waiting += await trio.to_thread.run_sync(pending_of, self.url)
                    if not waiting:
                        return
                await trio.sleep(0.1)
        book = await trio.to_thread.run_sync(read_book, self.url)
        left = {name: book.state_of[name] for name, row in book.texts.items() if not row.is_over}
        raise AssertionError(
            f"not drained in {within_s} s: {waiting} messages, peers owe {peers}: {dict(list(left.items())[:20])}"
        )

    async def add_carrier(self, port: int) -> Carrier:
        """Let another carrier of the first one's group listen."""
        assert self.nursery is not None
        other = Carrier(self.carrier.chance, self.history, f"carrier-{len(self.carriers) + 1}")
        other.taken, other.told = self.carrier.taken, self.carrier.told
        self.carriers.append(other)
        self.nursery.start_soon(
            trio.serve_listeners, other.serve, await trio.open_tcp_listeners(port, host="127.0.0.1")
        )
        return other

    async def stop(self, within_s: float = STOP_S) -> None:
        """End the daemon in order, while the peers go on: with nothing left to wait for, that is quick."""
        begun = time.monotonic()
        assert await trio.to_thread.run_sync(self.daemon.stop) == 0
        took_s = time.monotonic() - begun
        assert took_s < within_s, f"an orderly stop took {took_s:.1f} s"

    @contextmanager
    def broken(self, what: str) -> Iterator[None]:
        """While something is broken: the history says so."""
        self.history.fault(what)
        try:
            yield
        finally:
            self.history.fault(what, over=True)

    def account(self) -> tuple[list[str], Book]:
        """What breaks a promise, and the journal. The daemon has ended."""
        book = read_book(self.url)
        self.history.flush()
        found, self.tally = check(read([self.history.path]), book.texts, book.name_of_id, self.rules)
        for name, text in self.load.sent.items():
            if name[0] == "C" and name in book.texts:  # a desk is not told so: what the journal has, was accepted
                text.acknowledged = max(1, text.acknowledged)
        return [str(violation) for violation in found], book


@asynccontextmanager
async def _closing(history: History) -> AsyncIterator[None]:
    try:
        yield
    finally:
        history.close()


@asynccontextmanager
async def open_scene(
    folder: Path,
    url: str,
    new_port: Callable[[], int],
    seed: int,
    *,
    start: bool = True,
    hub_url: str = "",
    with_roads: bool = False,
    desk_port: int = 0,
    desk_side: DeskSide = DeskSide(),  # noqa: B008 - it is immutable
    **more: str,
) -> AsyncIterator[Scene]:
    """Start carrier, desk, ESME and daemon.

    Args:
        folder: for the daemon's files.
        url: of its store.
        new_port: gives free ports.
        seed: of the peers' chance.
        start: False leaves the daemon to the test.
        hub_url: the store as the daemon reaches it, when that is not how the account does.
        with_roads: let a proxy stand between the daemon and each peer.
        desk_port: of the components of a real XMPP server that the desk is behind; 0 for one of our own.
        desk_side: how the daemon knows its desk.
        more: see ``DaemonProcess``.
    """
    chance = random.Random(seed)
    history = History(folder / "history.jsonl")
    carrier = Carrier(chance, history)
    desk = ProsodyDesk(history, desk_side, desk_port) if desk_port else Desk(history, side=desk_side)
    async with _closing(history), trio.open_nursery() as nursery:
        carriers = await trio.open_tcp_listeners(0, host="127.0.0.1")
        desks = await trio.open_tcp_listeners(0, host="127.0.0.1")
        ports = [listeners[0].socket.getsockname()[1] for listeners in (carriers, desks)]
        ports[1] = desk_port or ports[1]
        roads = [WeatherProxy(("127.0.0.1", port)) for port in ports] if with_roads else []
        ports = [await nursery.start(road.run) for road in roads] or ports
        daemon = DaemonProcess(folder, hub_url or url, *ports, new_port, desk=desk_side, **more)
        daemon.history = history
        if with_roads:
            roads.append(WeatherProxy(("127.0.0.1", daemon.smpp_port)))
            await nursery.start(roads[-1].run)
        esme = Esme(chance, roads[-1].port if roads else daemon.smpp_port, history)
        scene = Scene(daemon, carrier, esme, desk, url, history)
        scene.nursery = nursery
        scene.roads = dict(zip(("carrier", "desk", "esme"), roads, strict=False))
        nursery.start_soon(trio.serve_listeners, carrier.serve, carriers)
        nursery.start_soon(trio.serve_listeners, desk.serve, desks)
        if isinstance(desk, ProsodyDesk):
            nursery.start_soon(desk.run)
        nursery.start_soon(esme.run)
        try:
            if start:
                await daemon.start()
                await scene.wait_up()
            yield scene
        finally:
            daemon.close()
            nursery.cancel_scope.cancel()
