"""``smshub top`` at a real daemon: driven by Textual's own pilot, and as a script runs it."""

from __future__ import annotations

import asyncio
import json
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from textual.pilot import Pilot
from textual.widgets import DataTable

from ops.cli import main
from ops.top import NobodyThere, NoMetrics, Reader, reading
from ops.top.app import TopApp
from tests.fixtures_sites import Open
from tests.integration.end_to_end.sites import CUSTOMER, NUMBER, Site

PATIENCE_S = 60.0


@pytest.fixture
def watched(open_site: Open, unused_tcp_port_factory: Callable[[], int]) -> tuple[Site, str]:
    """A site whose hub runs, and the address of its metrics."""
    site = open_site()
    port = unused_tcp_port_factory()
    config = site.hub.config
    config.write_text(config.read_text().replace("[metrics]\nport = 0", f"[metrics]\nport = {port}"))
    site.start()
    return site, f"http://127.0.0.1:{port}/metrics"


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at, text_of(pilot.app)
        await pilot.pause(0.05)


def text_of(app: object) -> str:
    assert isinstance(app, TopApp)
    return "\n".join(str(app.query_one(f"#{name}").render()) for name in ("head", "trouble", "alarms"))


def names_of(app: TopApp) -> list[str]:
    table = app.query_one(DataTable)
    return [str(table.get_row_at(row)[0]) for row in range(table.row_count)]


def driven(url: str, drive: Callable[[TopApp, Pilot[None]], Awaitable[None]]) -> None:
    """Run the view without a terminal, with somebody at its keys."""

    async def run() -> None:
        reader = Reader(url)
        app = TopApp(reader, "node 0", 0.1)
        async with app.run_test(size=(150, 40)) as pilot:
            await drive(app, pilot)
        reader.close()

    asyncio.run(run())


def test_a_live_daemon(watched: tuple[Site, str]) -> None:
    site, url = watched

    async def drive(app: TopApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.view is not None and app.view.out_per_s is not None)
        assert {"link:carrier", "desk:acme", "account:agg1"} <= set(names_of(app))
        await until(pilot, lambda: "ready" in text_of(app) and "up " in text_of(app))
        site.person("director")
        await asyncio.to_thread(site.carrier.text, CUSTOMER, NUMBER, "hello")

        def has_moved() -> bool:
            rows = {row.name: row for row in app.view.rows} if app.view else {}
            return any(rows["link:carrier"].history) and any(rows["desk:acme"].history)

        await until(pilot, has_moved)
        await pilot.press("slash", *"desk", "enter")
        assert names_of(app) == ["desk:acme", "desk:globex"]
        await pilot.press("escape")
        assert "link:carrier" in names_of(app)
        await pilot.press("s")
        assert app.order == "out/s"
        assert any("out/s ▼" in str(column.label) for column in app.query_one(DataTable).columns.values())
        await pilot.press("question_mark")
        assert app.query_one("#help").display
        await pilot.press("p")
        await pilot.pause(0.2)  # a reading that was under way
        stopped_at = app.view.at_us if app.view else 0
        await pilot.pause(0.5)
        assert app.view is not None
        assert app.view.at_us == stopped_at
        assert "PAUSED" in text_of(app)
        await pilot.press("p")
        await until(pilot, lambda: app.view is not None and app.view.at_us > stopped_at)
        await pilot.press("d")
        assert app.shows_dead
        assert [str(column.label) for column in app.query_one(DataTable).columns.values()][1] == "reason"
        await pilot.press("q")

    driven(url, drive)


def test_a_daemon_that_goes_and_comes_back(watched: tuple[Site, str]) -> None:
    site, url = watched

    async def drive(app: TopApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.view is not None)
        await asyncio.to_thread(site.hub.stop)
        await until(pilot, lambda: "nobody answers" in text_of(app))
        assert app.query_one("#trouble").display
        assert "link:carrier" in names_of(app), "what was there last stays"
        await pilot.press("s")
        await asyncio.to_thread(site.hub.start)
        await until(pilot, lambda: not app.query_one("#trouble").display)
        await pilot.press("q")

    driven(url, drive)


def test_once(watched: tuple[Site, str]) -> None:
    site, url = watched
    told = site.hub.cli("top", "--once", "--interval", "0.2")
    head, rates, store, blank, columns, *rows = told.splitlines()
    assert head.startswith("smshub ")
    assert f"node 0 {url}" in head
    assert " ready " in head
    assert rates.startswith("in ")
    assert store.startswith("store: ")
    assert blank == ""
    assert columns.split()[:3] == ["endpoint", "state", "bound"]
    assert next(row.split()[:3] for row in rows if row.startswith("link:carrier")) == ["link:carrier", "up", "1/1"]
    view = json.loads(
        site.hub.cli("top", "--once", "--json", "--interval", "0.2", "--url", url.removesuffix("/metrics"))
    )
    assert {row["name"] for row in view["rows"]} >= {"link:carrier", "desk:acme", "desk:globex"}
    assert view["missing"] == []
    assert "is no terminal" in site.hub.cli("top", status=2)
    assert "--once" in site.hub.cli("top", "--json", status=2)


def test_nobody_to_look_at(unused_tcp_port: int) -> None:
    def top(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["top", "--once", *words])
        return done.exit_code, done.stderr

    status, told = top("--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert status == 1
    assert told.startswith(f"smshub: http://127.0.0.1:{unused_tcp_port}/metrics: nobody answers")
    assert len(told.splitlines()) == 1
    assert top("--set", "metrics.port=0") == (
        2,
        "smshub: the configuration has no [metrics] port: set one, or name the daemon's with --url\n",
    )
    assert top("--url", "127.0.0.1:9464")[0] == 2


@contextmanager
def answering(octets: bytes) -> Iterator[str]:
    """A server that says the same to everybody. The address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(octets)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
        finally:
            server.shutdown()
            thread.join()


def page(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (page("hello there"), "no page of metrics"),
        (page("up 1\n"), "no metric of smshub"),
        (page("", "404 Not Found"), "status 404"),
        (page("", "302 Found"), "status 302"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"", "without response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsmshub_up 1\n", "more expected"),
        (page("smshub_up 1\n" * 20), "more than"),
    ],
)
def test_what_answers_is_something_else(octets: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "more than":
        monkeypatch.setattr(reading, "MAX_OCTETS", 100)
    with answering(octets) as url:
        reader = Reader(url)
        with pytest.raises(NobodyThere, match=why):
            reader.read()
        reader.close()


def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TIMEOUT_S", 0.2)
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as deaf:
        reader = Reader(f"http://127.0.0.1:{deaf.server_address[1]}/metrics")
        with pytest.raises(NobodyThere, match="no answer within"):
            reader.read()
        reader.close()


def test_what_is_not_a_number_is_nothing() -> None:
    sample = reading.read_sample('smshub_up NaN\nsmshub_room_parts{endpoint="a\\"b"} 3\nsmshub_x +Inf\n', 1)
    assert sample.values == {"smshub_room_parts": {(("endpoint", 'a"b'),): 3.0}}
    with pytest.raises(NoMetrics):
        reading.read_sample("smshub_up{ 1\n", 1)


def test_no_other_command_loads_textual() -> None:
    program = "import sys, ops.cli_top; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.partition(".")[0] in ("textual", "urllib3")] == []


def test_without_textual_a_table_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual.app", None)
    monkeypatch.delitem(sys.modules, "ops.top.app")
    done = CliRunner().invoke(main, ["top"])
    assert done.exit_code == 2
    assert done.stderr.startswith("smshub: the live view needs textual.app: install smshub with its extra, smshub[top]")
