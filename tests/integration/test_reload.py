"""A daemon under load is reloaded: what did not change stays bound, and nothing is lost, doubled or out of order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from ops import reload_requests
from ops.cli_provision import in_store
from ops.config import load_config
from ops.reload import Answer, request_of
from ops.reload_requests import ReloadRequest
from provisioning import Link, Route, catalog
from smpp.codec import encode
from smpp.constants import CommandStatus
from smpp.pdu import BindTransceiver
from store import Transaction, audit
from tests.faults.process import ACCOUNT_PASSWORD, LINK_PASSWORD, ROOT, DaemonProcess, until
from tests.faults.scene import Scene, open_scene

T = TypeVar("T")

WITHIN_S = 60.0
SECOND_LINK = """
[[link]]
name = "second"
host = "127.0.0.1"
port = {port}
system_id = "smshub"
password = "{password}"
gap_ms = 5

[[route]]
prefix = "+44"
endpoint = "link:second"
"""
MORE_NUMBERS = "".join(
    f'\n[[number]]\nnumber = "+1617555{number:04}"\ncall_centre = "acme"\n' for number in range(200, 220)
)
OTHER_DESK = """
[[call_centre]]
name = "other"

[[desk]]
name = "other"
call_centre = "other"
domain = "sms.other.example"
port = {port}
secret = "no secret"
director = "director@other.example"
"""


def _cli(daemon: DaemonProcess, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *words, "--config", str(daemon.config_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout, done.stderr


async def cli(daemon: DaemonProcess, *words: str) -> tuple[int, str, str]:
    """Run the real command beside the daemon. Returns: exit status, what it said and what it complained of."""
    return await trio.to_thread.run_sync(_cli, daemon, *words)


async def in_store_of(daemon: DaemonProcess, work: Callable[[Transaction], T]) -> T:
    """Do what a command does, without the second that Python takes to start one."""
    config = load_config(daemon.config_path)
    return await trio.to_thread.run_sync(lambda: in_store(config, work))


async def reload(daemon: DaemonProcess) -> Answer:
    """Reload as the command does. Returns: the answer, which must not be a refusal."""
    now_us = time.time_ns() // 1000
    number = await in_store_of(daemon, lambda tx: reload_requests.ask(tx, ReloadRequest(now_us, now_us, "test")))
    with trio.fail_after(WITHIN_S):
        while True:
            _, answer = await in_store_of(daemon, lambda tx: request_of(tx, number))
            if answer is not None:
                break
            await trio.sleep(0.25)
    assert answer.state == "done", answer
    return answer


def changes(answer: Answer) -> dict[str, str]:
    return {change.endpoint: change.how.value for change in answer.endpoints}


def edit(daemon: DaemonProcess, *pairs: tuple[str, str], tail: str = "") -> None:
    """Change the configuration file."""
    text = daemon.config_path.read_text()
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    daemon.config_path.write_text(text + tail)


async def hang_up(daemon: DaemonProcess) -> dict[str, Any]:
    """Reload by SIGHUP. Returns: the line of the log that says what came of it."""
    start = daemon.log_size()
    os.kill(daemon.process_id, signal.SIGHUP)

    def told() -> list[dict[str, Any]]:
        return [line for line in daemon.log_lines(start) if line["event"] == "reload"]

    await until(lambda: bool(told()), WITHIN_S, "the reload is over")
    return told()[0]


async def may_bind(daemon: DaemonProcess, password: str) -> bool:
    """Whether the account may bind beside what is bound."""
    stream = await trio.open_tcp_stream("127.0.0.1", daemon.smpp_port)
    async with stream:
        bind = BindTransceiver(
            sequence_number=1, system_id="agg", password=password, system_type="", interface_version=0x34
        )
        await stream.send_all(encode(bind))
        with trio.fail_after(WITHIN_S):
            answer = bytes(await stream.receive_some(1024))
    return int.from_bytes(answer[8:12], "big") == CommandStatus.ESME_ROK


def seed_of(fault_seed: int) -> int:
    seed = fault_seed or time.time_ns() % 1_000_000_000
    print(f"repeat with --fault-seed={seed}")
    return seed


async def finish(scene: Scene) -> None:
    """End the load and the daemon; hold everything that happened against the promises."""
    scene.load.running = False
    await scene.drain()
    await scene.stop()
    violations, book = scene.account()
    assert not violations, "\n".join(violations[:50])
    assert book.doubts == 0
    for flow in "ABCD":
        assert sum(text.name[0] == flow and text.acknowledged > 0 for text in scene.load.sent.values()) > 1, flow
    log = scene.daemon.log_path.read_text()
    assert LINK_PASSWORD not in log
    assert ACCOUNT_PASSWORD not in log


async def test_what_does_not_change_stays_bound_whatever_else_does(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], fault_seed: int
) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    new_port = unused_tcp_port_factory
    async with open_scene(tmp_path, url, new_port, seed_of(fault_seed)) as scene, trio.open_nursery() as nursery:
        daemon, carrier, desk = scene.daemon, scene.carrier, scene.desk
        carrier_stream, esme_stream, connections = carrier.stream, scene.esme.stream, desk.connections
        other_port = new_port()
        other = await scene.add_carrier(other_port)
        scene.carriers.remove(other)  # it is not there yet, and then not any more
        nursery.start_soon(scene.load.run)

        # Added: a link with its route, numbers, a desk whose server is away.
        edit(daemon, tail=SECOND_LINK.format(port=other_port, password=LINK_PASSWORD) + MORE_NUMBERS)
        answer = await reload(daemon)
        assert changes(answer) == {"link:second": "added"}
        assert answer.added == 22
        await until(lambda: other.bound, WITHIN_S, "the new link is bound")
        edit(daemon, tail=OTHER_DESK.format(port=new_port()))
        assert changes(await reload(daemon)) == {"desk:other": "added"}

        # Changed in place: rates, gaps, windows, a log level; and the account's password, by SIGHUP.
        edit(
            daemon,
            ('name = "carrier"\n', 'name = "carrier"\nwindow = 7\nthroughput_per_s = 900\n'),
            ("[limits]\n", '[log]\nlevel = "info"\n[limits]\nheads_per_endpoint = 2000\nstore_backlog = 19000\n'),
        )
        answer = await reload(daemon)
        assert changes(answer) == {"link:carrier": "changed"}
        assert answer.settings == ("limits.heads_per_endpoint",)
        assert answer.needs_restart == ("limits.store_backlog",)
        assert await may_bind(daemon, ACCOUNT_PASSWORD)
        edit(daemon, (f'password = "{ACCOUNT_PASSWORD}"', 'password = "an0therp"'))
        told = await hang_up(daemon)
        assert told["state"] == "done"
        assert told["endpoints"] == {"changed": ["account:agg"]}
        assert not await may_bind(daemon, ACCOUNT_PASSWORD)
        assert await may_bind(daemon, "an0therp")

        # A bad file changes nothing and says why, with lines.
        good = daemon.config_path.read_text()
        daemon.config_path.write_text(good.replace('prefix = "+44"', 'prefix = "+44"\nprefics = 1'))
        status, _, complained = await cli(daemon, "reload")
        assert status == 2
        line = good[: good.index('prefix = "+44"')].count("\n") + 2
        assert f"{daemon.config_path}:{line}: " in complained
        assert (await hang_up(daemon))["state"] == "refused"
        daemon.config_path.write_text(good)

        # Removed, by commands; the file loses it first.
        edit(daemon, (SECOND_LINK.format(port=other_port, password=LINK_PASSWORD), ""))
        answer = await reload(daemon)
        assert changes(answer) == {}
        assert sorted(answer.dropped) == ["link 'second'", "route '+44→link:second'"]
        await in_store_of(daemon, lambda tx: catalog.remove(tx, Route, "+44→link:second", who="test", now_us=1))
        assert other.bound
        await in_store_of(daemon, lambda tx: catalog.remove(tx, Link, "second", who="test", now_us=1))
        await until(lambda: not other.bound, WITHIN_S, "the removed link has unbound")

        noted = await in_store_of(daemon, lambda tx: audit.read(tx, 100, kind="config"))
        told_of = [(row.who, json.loads(row.detail)["state"]) for row in reversed(noted)]
        assert told_of == [("test", "done")] * 3 + [("SIGHUP", "done"), ("SIGHUP", "refused"), ("test", "done")]

        assert carrier.stream is carrier_stream, "the carrier's session is the one it was"
        assert scene.esme.stream is esme_stream, "and so is the account's"
        assert desk.connections == connections == 1
        assert carrier.binds == 1
        await finish(scene)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_a_link_and_a_desk_that_are_restarted_under_load_lose_nothing(
    store: str,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
    fault_seed: int,
    request: pytest.FixtureRequest,
) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    if store == "postgresql":
        url = request.getfixturevalue("postgres_url")
    secret = tmp_path / "password"
    secret.write_text(LINK_PASSWORD)
    new_port = unused_tcp_port_factory
    async with open_scene(tmp_path, url, new_port, seed_of(fault_seed)) as scene, trio.open_nursery() as nursery:
        daemon, carrier, desk = scene.daemon, scene.carrier, scene.desk
        esme_stream = scene.esme.stream
        carrier.answer_delay_s = 0.02  # something is on the wire at any time
        nursery.start_soon(scene.load.run)
        edit(daemon, (f'password = "{LINK_PASSWORD}"', f'password_file = "{secret}"'))
        assert changes(await reload(daemon)) == {"link:carrier": "restarted"}, "its password is another secret"
        edit(
            daemon,
            ('name = "carrier"\n', 'name = "carrier"\nsystem_type = "VMA"\n'),
            ('domain = "sms.desk.example"\n', 'domain = "sms.desk.example"\nhost = "localhost"\n'),
        )
        assert changes(await reload(daemon)) == {"link:carrier": "restarted", "desk:acme": "restarted"}
        await scene.wait_up()
        assert (carrier.binds, desk.connections) == (3, 2)

        # The same file, the same entry: what it points to has changed. The carrier refuses it, until it is mended.
        secret.write_text("wr0ngpwd")
        assert (await hang_up(daemon))["endpoints"] == {"restarted": ["link:carrier"]}
        await until(lambda: not carrier.bound, WITHIN_S, "the carrier refuses")
        secret.write_text(LINK_PASSWORD + "\n")
        assert (await hang_up(daemon))["endpoints"] == {"restarted": ["link:carrier"]}
        await scene.wait_up()
        assert (await hang_up(daemon))["state"] == "done"
        assert carrier.binds == 4, "nothing differed"
        assert scene.esme.stream is esme_stream
        await finish(scene)
        nursery.cancel_scope.cancel()
    assert "wr0ngpwd" not in daemon.log_path.read_text()


async def test_a_kill_in_the_middle_of_a_reload_leaves_all_of_the_file_or_nothing(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], fault_seed: int
) -> None:
    seed = seed_of(fault_seed)
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, seed) as scene:
        daemon, chance = scene.daemon, scene.carrier.chance
        before = _numbers(tmp_path)
        for turn in range(2):
            batch = range(1000 + turn * 400, 1400 + turn * 400)
            tail = "".join(f'\n[[number]]\nnumber = "+1617556{n:04}"\ncall_centre = "acme"\n' for n in batch)
            edit(daemon, tail=tail + f'\n[[route]]\nprefix = "+{99800 + turn}"\nendpoint = "link:carrier"\n')
            os.kill(daemon.process_id, signal.SIGHUP)
            await trio.sleep(chance.uniform(0, 1.0))
            daemon.kill()
            found = _numbers(tmp_path)
            assert found in (before, before + len(batch)), "all of the file or nothing"
            await daemon.start()
            await scene.wait_up()
            before += len(batch)
            assert _numbers(tmp_path) == before
        assert changes(await reload(daemon)) == {}


def _numbers(folder: Path) -> int:
    import sqlite3

    connection = sqlite3.connect(folder / "hub.db")
    try:
        return int(connection.execute("SELECT count(*) FROM number").fetchone()[0])
    finally:
        connection.close()


async def test_a_reload_that_nobody_hears_says_so(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], fault_seed: int
) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    async with open_scene(tmp_path, url, unused_tcp_port_factory, 1) as scene:
        status, told, _ = await cli(scene.daemon, "reload", "--dry-run")
        assert status == 0
        assert "nothing has changed" in told
        assert "nothing differs" in told
        await scene.stop()
        status, _, complained = await cli(scene.daemon, "reload", "--wait-s", "1")
        assert status == 1
        assert "is one running on this store?" in complained
