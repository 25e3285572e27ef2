"""The store is full: senders are asked to wait, nothing acknowledged is lost, and it goes on when there is space again.

The disk is a small file system of its own, which only root may mount: elsewhere these tests are skipped.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from smpp.constants import CommandStatus as S
from tests.faults.postgres import is_alive
from tests.faults.process import until
from tests.faults.scene import Scene, open_scene
from tests.faults.strangers import Watch
from tests.faults.texts import Sent
from tests.fixtures_postgres import PostgresServer

pytestmark = pytest.mark.slow

DISK = "24m"
POSTGRES_DISK = "128m"  # a new cluster takes 40, its first segments of WAL 16 each
FILLING_OCTETS = 64 * 1024


@contextmanager
def _mounted(folder: Path, size: str) -> Iterator[None]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small file system may be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with _mounted(folder, DISK):
        yield folder


@pytest.fixture
def postgres_on_small_disk(
    monkeypatch: pytest.MonkeyPatch, postgres_factory: Callable[[], PostgresServer]
) -> Iterator[tuple[PostgresServer, Path]]:
    """A server, all of which lives on a small file system, and where that is."""
    # Not in pytest's own folder: a Unix socket's path has about a hundred characters, and PostgreSQL is another user.
    with tempfile.TemporaryDirectory(prefix="smshub-disk-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _mounted(folder, POSTGRES_DISK):
            with monkeypatch.context() as patch:
                patch.setattr(tempfile, "tempdir", name)
                server = postgres_factory()
            yield server, folder
            server.remove()


class Filling:
    """A file that takes all the space there is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "filling"

    def fill(self) -> None:
        """Leave nothing."""
        with self._path.open("ab", buffering=0) as file:
            size = FILLING_OCTETS
            while size >= 512:
                try:
                    written = file.write(bytes(size))
                except OSError:
                    written = 0
                if written < size:
                    size //= 2

    def clear(self) -> None:
        """Give all of it back."""
        self._path.unlink()


async def _refused(scene: Scene, since: int, status: S) -> None:
    """Send until the ESME is refused with this status."""
    give_up_at = trio.current_time() + 60
    while status not in scene.esme.refused[since:]:
        assert trio.current_time() < give_up_at, f"nobody was told that it is full: {set(scene.esme.refused)}"
        await _texts(scene, 20)


async def _texts(scene: Scene, count: int, flow: str = "A") -> list[Sent]:
    texts = []
    for _ in range(count):
        lane = scene.carrier.chance.randrange(8)
        text = scene.load._next(flow, lane)
        texts.append(text)
        if flow == "A":
            await scene.esme.ask([scene.esme.text(text, "+12005550000", f"+1300555{lane:04d}")])
        else:
            customer = scene.load.customer(lane)
            await scene.carrier.ask(scene.carrier.customer_text(text, customer, "+19995550000", 0))
        await trio.sleep(0.005)
    return texts


async def test_a_full_disk_is_told_to_senders_and_survived(
    small_disk: Path, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    url = f"sqlite:///{small_disk / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, 11) as scene:
        daemon, esme, carrier = scene.daemon, scene.esme, scene.carrier
        filling = Filling(small_disk)
        before = await _texts(scene, 100)
        await until(
            lambda: all(text.acknowledged for text in before), 20, "texts are acknowledged while there is space"
        )
        assert esme.refused == []

        watch = await Watch.begin(daemon)
        filling.fill()
        give_up_at = trio.current_time() + 60
        while S.ESME_RMSGQFUL not in esme.refused:
            assert trio.current_time() < give_up_at, f"nobody was told that it is full: {set(esme.refused)}"
            await _texts(scene, 20)
        await until(lambda: esme.unanswered == 0, 30, "every text is answered, this way or that")
        while S.ESME_RMSGQFUL not in carrier.refused:
            assert trio.current_time() < give_up_at, f"the carrier was not told: {set(carrier.refused)}"
            await _texts(scene, 20, "D")
        await until(lambda: carrier.unanswered == 0, 30, "every delivery is answered, this way or that")
        assert set(esme.refused) | set(carrier.refused) <= {S.ESME_RMSGQFUL, S.ESME_RTHROTTLED}
        await watch.counted("smshub_intake_deferred_total", "account:agg")
        await watch.counted("smshub_intake_deferred_total", "link:carrier")
        await watch.logged("journal refused a batch", error="StoreFull")
        assert esme.bound
        assert carrier.bound
        assert scene.desk.connected, "sessions live on"
        daemon.check_alive()

        filling.clear()
        refused = len(esme.refused)
        after = await _texts(scene, 100)
        await until(lambda: esme.unanswered == 0, 20, "texts are answered again")
        assert all(text.acknowledged for text in after[50:]), "it recovers by itself"
        assert len(esme.refused) - refused <= 50
        await scene.drain()
        await scene.stop()
    violations, _ = scene.account()
    assert not violations, "\n".join(violations[:50])


async def test_a_daemon_killed_on_a_full_disk_comes_back_when_there_is_space(
    small_disk: Path, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    url = f"sqlite:///{small_disk / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, 12) as scene:
        scene.carrier.is_deaf = True  # so that there is something to lose
        filling = Filling(small_disk)
        before = await _texts(scene, 60)
        await until(
            lambda: all(text.acknowledged for text in before), 20, "texts are acknowledged while there is space"
        )
        filling.fill()
        give_up_at = trio.current_time() + 60
        while S.ESME_RMSGQFUL not in scene.esme.refused:
            assert trio.current_time() < give_up_at, "nobody was told that it is full"
            await _texts(scene, 20)
        scene.daemon.kill()
        filling.clear()
        scene.carrier.is_deaf = False
        await scene.daemon.start()
        await scene.wait_up()
        await _texts(scene, 20)
        await scene.drain()
        await scene.stop()
    violations, _ = scene.account()
    assert not violations, "\n".join(violations[:50])


async def test_a_full_disk_under_postgresql_is_told_to_senders_and_survived(
    postgres_on_small_disk: tuple[PostgresServer, Path], tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """Where it is WAL that finds no space, PostgreSQL gives up and begins again: the hub waits, and goes on."""
    server, folder = postgres_on_small_disk
    async with open_scene(tmp_path, server.new_database(), unused_tcp_port_factory, 13) as scene:
        filling = Filling(folder)
        before = await _texts(scene, 60)
        await until(
            lambda: all(text.acknowledged for text in before), 60, "texts are acknowledged while there is space"
        )
        with scene.broken("disk full"):
            filling.fill()
            await _refused(scene, 0, S.ESME_RMSGQFUL)
            await until(lambda: scene.esme.unanswered == 0, 60, "every text is answered, this way or that")
            assert set(scene.esme.refused) <= {S.ESME_RMSGQFUL, S.ESME_RTHROTTLED}
            scene.daemon.check_alive()
            filling.clear()
            if not is_alive(server.process_id):  # it could not even begin again: what an operator does
                await trio.to_thread.run_sync(server.start)
            texts: list[Sent] = []
            give_up_at = trio.current_time() + 90
            while sum(1 for text in texts if text.acknowledged) < 50:
                assert trio.current_time() < give_up_at, "it recovers by itself"
                texts += await _texts(scene, 20)
                await trio.sleep(0.2)
        await scene.drain()
        await scene.stop()
    violations, _ = scene.account()
    assert not violations, "\n".join(violations[:50])
