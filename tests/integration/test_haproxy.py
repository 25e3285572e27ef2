"""HAProxy in front of two hubs, by the configuration that docs/howto/haproxy.md shows: whose each connection is, TLS
both ways, checks, and a hub that dies or hangs. The hubs are processes with a store each, where connections are what
matters; in the last test they are nodes on one PostgreSQL, and texts go through while they leave and join."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ops.config import load_config
from ops.daemon import open_daemon
from smpp.constants import CommandStatus as S
from smpp.pdu import DeliverSm, DeliverSmResp, EnquireLink, EnquireLinkResp, SubmitSmResp
from tests.documented.pages import DOCS, read_page
from tests.fixtures_tls import made_certificate
from tests.integration.esmes import PASSWORD, PATIENCE_S, Peer
from tests.integration.test_accounts_daemon import submit
from tests.servers import said_events, wait_or_kill

ROOT = Path(__file__).parents[2]
PAGE = DOCS / "howto" / "haproxy.md"
BALANCER = "127.0.0.10"  # where ESMEs connect to
HUBS = {"a": "127.0.0.11", "b": "127.0.0.12"}
FROM_BALANCER = "127.0.0.1"  # what Linux lets HAProxy connect from
ALLOWED, OTHER, GUESSER = "127.0.0.21", "127.0.0.22", "127.0.0.23"

CONFIGURATION = """
[store]
url = "{url}"
[node]
id = {node}
[cluster]
enabled = {is_cluster}
lease_s = 3
[smpp]
host = "{host}"
port = {port}
tls_port = {tls_port}
tls_cert_file = "tls/cert.pem"
tls_key_file = "tls/key.pem"
proxy_protocol = "required"
proxy_networks = ["{balancer}"]
[metrics]
port = {metrics_port}
[[account]]
system_id = "agg"
password = "{password}"
lock_out_after = 2
[[account]]
system_id = "fenced"
password = "{password}"
allowed_ips = ["{allowed}"]
[[account]]
system_id = "sink"
password = "{password}"
gap_ms = 0
[[route]]
prefix = "*"
endpoint = "account:sink"
"""


class Hub:
    """A daemon behind the balancer.

    Args:
        url: of the store that it shares with the other; empty for one of its own.
    """

    def __init__(self, folder: Path, name: str, ports: dict[str, int], url: str) -> None:
        self.name = name
        self.metrics_port = ports[f"metrics-{name}"]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        text = CONFIGURATION.format(
            url=url or f"sqlite:///hub-{name}.db",
            node=list(HUBS).index(name),
            is_cluster=str(bool(url)).lower(),
            host=HUBS[name],
            port=ports["2775"],
            tls_port=ports["3550"],
            metrics_port=self.metrics_port,
            balancer=FROM_BALANCER,
            password=PASSWORD,
            allowed=ALLOWED,
        )
        (folder / f"{name}.toml").write_text(text)

    def start(self) -> None:
        ready = self.count("ready")
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "run", "--config", str(self._folder / f"{self.name}.toml")],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        wait_until(lambda: self.count("ready") > ready, f"hub {self.name} serves", self._is_alive)

    def _is_alive(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / f"{self.name}.log").read_text()

    def tell(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            wait_or_kill(self._process, PATIENCE_S)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Lines of its log."""
        path = self._folder / f"{self.name}.log"
        return said_events(path, event) if path.exists() else []

    def count(self, event: str) -> int:
        return len(self.said(event))

    def metric(self, event: str) -> float:
        """How often something happened to its sessions."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(rf'^smshub_smpp_sessions_total\{{[^}}]*event="{event}"[^}}]*\}} (\S+)$', text, re.MULTILINE)
        return sum(map(float, found))


def wait_until(condition: Callable[[], object], what: str, check: Callable[[], None] = lambda: None) -> None:
    """Wait for what a process does."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        check()
        assert time.monotonic() < give_up_at, f"in vain: {what}"
        time.sleep(0.02)  # a real process: nothing else tells


class Site:
    """All of it.

    Attributes:
        hubs: by name.
        ports: those of the page → those of this run.
        hubs_certificate, balancers_certificate: PEM.
    """

    def __init__(self, folder: Path, new_port: Callable[[], int], url: str = "") -> None:
        self.ports = {name: new_port() for name in ("2775", "3550", "3551", "metrics-a", "metrics-b")}
        self.hubs_certificate = made_certificate(folder / "tls").cert_file
        balancer = made_certificate(folder / "balancer")
        self.balancers_certificate = balancer.cert_file
        (folder / "smpp.pem").write_bytes(balancer.cert_file.read_bytes() + balancer.key_file.read_bytes())
        self.hubs = {name: Hub(folder, name, self.ports, url) for name in HUBS}
        self._folder = folder
        self._balancer: subprocess.Popen[bytes] | None = None

    def _write_configuration(self, program: str) -> Path:
        """The page's file, with the places of this run. What the page says of it is true."""
        [shown] = [block for block in read_page(PAGE).blocks if block.file == "haproxy.cfg"]
        text = shown.text.replace("192.0.2.10", BALANCER).replace("10.0.0.", "127.0.0.")
        text = text.replace("/etc/haproxy/smpp.pem", str(self._folder / "smpp.pem"))
        # The second for machines that allow few descriptors.
        for words, here in (("inter 2s", "inter 200ms"), ("maxconn 4000", "maxconn 100")):
            assert words in text
            text = text.replace(words, here)
        path = self._folder / "haproxy.cfg"
        path.write_text(re.sub(r"\b\d{4}\b", lambda found: str(self.ports.get(found[0], found[0])), text))
        [[command]] = [block.commands for block in read_page(PAGE).blocks if block.commands]
        words = [program if word == "haproxy" else word for word in command.line.split()]
        done = subprocess.run(words, cwd=self._folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert command.prints in done.stdout + done.stderr
        assert "WARNING" not in done.stdout + done.stderr
        return path

    @contextmanager
    def running(self) -> Iterator[Site]:
        program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "HAProxy is missing: run ops/setup/setup system"
        try:
            for hub in self.hubs.values():
                hub.start()
            with (self._folder / "haproxy.log").open("wb") as log:
                command = [program, "-db", "-f", str(self._write_configuration(program))]
                self._balancer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            wait_until(
                lambda: all(hub.metric("checked") for hub in self.hubs.values()), "both are checked", self._is_alive
            )
            yield self
        finally:
            if self._balancer is not None:
                self._balancer.send_signal(signal.SIGTERM)
                wait_or_kill(self._balancer, PATIENCE_S)
            for hub in self.hubs.values():
                hub.tell(signal.SIGCONT)
                hub.end()

    def _is_alive(self) -> None:
        assert self._balancer is not None
        assert self._balancer.poll() is None, (self._folder / "haproxy.log").read_text()

    @contextmanager
    def other_balancer(self, address: str, changes: dict[str, str]) -> Iterator[None]:
        """A further HAProxy, by the same file but for some words."""
        text = (self._folder / "haproxy.cfg").read_text()
        for words, meant in {BALANCER: address, **changes}.items():
            assert words in text
            text = text.replace(words, meant)
        path = self._folder / "other.cfg"
        path.write_text(text)
        program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        with (self._folder / "other.log").open("wb") as log:
            process = subprocess.Popen([str(program), "-db", "-f", str(path)], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            wait_or_kill(process, PATIENCE_S)

    async def connect(self, source: str, port: str = "2775", balancer: str = BALANCER) -> Peer:
        return Peer(await trio.open_tcp_stream(balancer, self.ports[port], local_address=source))

    def bound_at(self, source: str) -> list[str]:
        """The hubs where somebody from there has bound, each as often as that was."""
        return [
            name for name, hub in self.hubs.items() for line in hub.said("smpp bound") if line["peer"] == source
        ]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Callable[[], int]) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site"), unused_tcp_port_factory).running() as running:
        yield running


async def test_two_esmes_go_to_two_hubs_which_know_where_they_come_from(site: Site) -> None:
    async with await site.connect("127.0.0.31") as first, await site.connect("127.0.0.32") as second:
        assert [await first.bind(), await second.bind()] == [S.ESME_ROK, S.ESME_ROK]
        [one], [other] = site.bound_at("127.0.0.31"), site.bound_at("127.0.0.32")
        assert {one, other} == {"a", "b"}
    lines = [line for hub in site.hubs.values() for line in hub.said("smpp bound")]
    assert {line["via"] for line in lines} == {FROM_BALANCER}


async def test_an_allow_list_goes_by_the_esmes_address(site: Site) -> None:
    for source, status in ((ALLOWED, S.ESME_ROK), (OTHER, S.ESME_RBINDFAIL), (ALLOWED, S.ESME_ROK)):
        async with await site.connect(source) as peer:
            assert await peer.bind("fenced") == status


async def test_who_guesses_passwords_is_locked_out_and_nobody_else(site: Site) -> None:
    statuses = []
    for _ in range(5):  # two at each hub, whichever they come to
        async with await site.connect(GUESSER) as peer:
            statuses.append(await peer.bind(password="wrongpwd"))
    assert S.ESME_RBINDFAIL in statuses
    async with await site.connect(OTHER) as peer:
        assert await peer.bind() == S.ESME_ROK


@pytest.mark.parametrize(("port", "whose"), [("3550", "hubs_certificate"), ("3551", "balancers_certificate")])
async def test_over_tls_the_address_is_known_wherever_tls_ends(site: Site, port: str, whose: str) -> None:
    source = "127.0.0.41" if port == "3550" else "127.0.0.42"
    context = ssl.create_default_context(cafile=str(getattr(site, whose)))
    stream = await trio.open_tcp_stream(BALANCER, site.ports[port], local_address=source)
    secure = trio.SSLStream(stream, context, server_hostname="localhost", https_compatible=True)
    with trio.fail_after(PATIENCE_S):
        await secure.do_handshake()  # it is the certificate of the one that is to end it
    async with Peer(secure) as peer:  # type: ignore[arg-type]
        assert await peer.bind() == S.ESME_ROK
    assert len(site.bound_at(source)) == 1


async def test_checks_are_counted_and_leave_no_line_in_the_log(site: Site) -> None:
    for hub in site.hubs.values():
        before = hub.metric("checked")
        wait_until(lambda hub=hub, before=before: hub.metric("checked") >= before + 3, "three more checks")
        assert hub.metric("no_proxy_header") == 0
        for event in ("smpp closed", "smpp bind refused", "smpp connection turned away"):
            assert FROM_BALANCER not in {line["peer"] for line in hub.said(event)}
        assert not [line for line in hub.said("locked out") if line["peer"] == FROM_BALANCER]


async def test_version_1_of_the_header_is_read_and_its_checks_are_checks(site: Site) -> None:
    with site.other_balancer("127.0.0.13", {"send-proxy-v2": "send-proxy"}):
        for hub in site.hubs.values():
            before = hub.metric("checked")
            wait_until(lambda hub=hub, before=before: hub.metric("checked") >= before + 10, "checks of both balancers")
        async with await site.connect("127.0.0.52", balancer="127.0.0.13") as peer:
            assert await peer.bind() == S.ESME_ROK
        assert len(site.bound_at("127.0.0.52")) == 1
    for hub in site.hubs.values():
        assert hub.metric("no_proxy_header") == 0
        assert FROM_BALANCER not in {line["peer"] for line in hub.said("smpp closed")}


async def test_who_goes_around_the_balancer_is_not_served(site: Site) -> None:
    for source in ("127.0.0.51", FROM_BALANCER):
        stream = await trio.open_tcp_stream(HUBS["a"], site.ports["2775"], local_address=source)
        async with Peer(stream) as peer:
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await peer.bind()
    lines = site.hubs["a"].said("smpp connection without a PROXY header closed")
    assert [(line["peer"], line["reason"]) for line in lines] == [
        ("127.0.0.51", "it is none of smpp.proxy_networks"),
        (FROM_BALANCER, "begins like no header"),
    ]


async def test_a_further_balancer_is_believed_after_a_reload(tmp_path: Path) -> None:
    def header(source: str) -> bytes:
        return f"PROXY TCP4 {source} 127.0.0.9 1025 2775\r\n".encode()

    path = tmp_path / "smshub.toml"
    text = f"""
        [store]
        url = "sqlite:///hub.db"
        [smpp]
        port = 0
        [metrics]
        port = 0
        [[account]]
        system_id = "agg"
        password = "{PASSWORD}"
        allowed_ips = ["{ALLOWED}"]
    """.replace("port = 0", "port = {port}\nproxy_protocol = 'required'\nproxy_networks = {networks}", 1)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path.write_text(text.format(port=port, networks="['127.0.0.81']"))
    async with open_daemon(load_config(path)) as daemon:

        async def status(balancer: str) -> int:
            stream = await trio.open_tcp_stream("127.0.0.1", port, local_address=balancer)
            async with Peer(stream) as peer:
                await stream.send_all(header(ALLOWED))
                return await peer.bind()

        assert await status("127.0.0.81") == S.ESME_ROK
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await status("127.0.0.82")
        path.write_text(text.format(port=port, networks="['127.0.0.81', '127.0.0.82']"))
        answer = await daemon.reload("test")
        assert (answer.state, answer.settings) == ("done", ("smpp.proxy_networks",))
        assert [await status("127.0.0.81"), await status("127.0.0.82")] == [S.ESME_ROK, S.ESME_ROK]


async def _moves(site: Site, source: str, end: Callable[[Hub], None]) -> tuple[str, str]:
    """An ESME that binds again when it is cut, as all do. Returns: the hub where it was, and where it is then."""
    peer = await site.connect(source)
    async with peer:
        assert await peer.bind() == S.ESME_ROK
        [before] = site.bound_at(source)
        end(site.hubs[before])
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await peer.next()
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                async with await site.connect(source) as peer:
                    assert await peer.bind() == S.ESME_ROK
                    await peer.send(submit("hello"))
                    answer = await peer.next()
                    assert isinstance(answer, SubmitSmResp)
                    assert answer.command_status == S.ESME_ROK
                    break
            except (EOFError, OSError, trio.BrokenResourceError):
                await trio.sleep(0.1)
    [after] = set(site.bound_at(source)) - {before}
    return before, after


async def test_a_hub_that_dies_gives_its_esmes_to_the_other_and_gets_some_when_it_is_back(site: Site) -> None:
    before, after = await _moves(site, "127.0.0.61", Hub.end)
    assert {before, after} == {"a", "b"}
    back = site.hubs[before]
    back.start()
    with trio.fail_after(PATIENCE_S):
        while before not in site.bound_at("127.0.0.62"):
            async with await site.connect("127.0.0.62") as first, await site.connect("127.0.0.62") as second:
                await first.bind()
                await second.bind()


async def test_a_hub_that_hangs_is_found_by_the_check_and_its_esmes_are_taken_to_the_other(site: Site) -> None:
    before, after = await _moves(site, "127.0.0.71", lambda hub: hub.tell(signal.SIGSTOP))
    assert {before, after} == {"a", "b"}
    hub = site.hubs[before]
    hub.tell(signal.SIGCONT)
    checked = hub.metric("checked")
    wait_until(lambda: hub.metric("checked") > checked, "it is checked again")


# --- nodes that leave and join under load -----------------------------------------------------------------------------


AHEAD = 20  # texts that may be on their way


class Flow:
    """An ESME that submits texts, and one that takes them; both bind again when they are cut.

    Attributes:
        acknowledged: what was submitted and answered for, in order.
        taken: what was delivered.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self.acknowledged: list[str] = []
        self.taken: set[str] = set()
        self.is_over = False

    async def submit(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._bound, "127.0.0.91", "agg", self._submit)
            await self._until(lambda: self.is_over)
            nursery.cancel_scope.cancel()

    async def take(self) -> None:
        await self._bound("127.0.0.92", "sink", self._take)

    async def more(self, count: int) -> None:
        """Wait until so many further texts have gone through."""
        wanted = len(self.taken) + count
        await self._until(lambda: len(self.taken) >= wanted)

    async def whole(self) -> None:
        """Let no more be submitted, and wait until what was acknowledged has been delivered."""
        self.is_over = True
        await self._until(lambda: self.taken.issuperset(self.acknowledged))

    async def _until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(2 * PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.02)

    async def _bound(self, source: str, system_id: str, work: Callable[[Peer], Awaitable[None]]) -> None:
        while True:
            try:
                async with await self._site.connect(source) as peer:
                    if await peer.bind(system_id) == S.ESME_ROK:
                        await work(peer)
            except (EOFError, OSError, trio.BrokenResourceError):
                pass
            await trio.sleep(0.05)

    async def _submit(self, peer: Peer) -> None:
        while True:
            while len(self.acknowledged) > len(self.taken) + AHEAD:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.02)
            text = f"text {len(self.acknowledged)}"  # one that was not answered for is submitted again
            await peer.send(submit(text))
            answer = await peer.next()
            while not isinstance(answer, SubmitSmResp):
                answer = await peer.next()
            if answer.command_status == S.ESME_ROK:
                self.acknowledged.append(text)
            else:
                await trio.sleep(0.05)

    async def _take(self, peer: Peer) -> None:
        while True:
            pdu = await peer.next()
            if isinstance(pdu, DeliverSm):
                self.taken.add(pdu.short_message.decode())
                await peer.send(DeliverSmResp(sequence_number=pdu.sequence_number))
            elif isinstance(pdu, EnquireLink):
                await peer.send(EnquireLinkResp(sequence_number=pdu.sequence_number))


async def test_nodes_leave_and_join_under_load_and_nothing_acknowledged_is_lost(
    tmp_path: Path, postgres_url: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    with Site(tmp_path, unused_tcp_port_factory, postgres_url).running() as site:
        flow = Flow(site)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flow.take)
            nursery.start_soon(flow.submit)
            await flow.more(20)
            for name, number in (("a", signal.SIGTERM), ("b", signal.SIGKILL)):
                await trio.to_thread.run_sync(site.hubs[name].end, number)
                await flow.more(20)
                await trio.to_thread.run_sync(site.hubs[name].start)
                await flow.more(20)
            await flow.whole()
            nursery.cancel_scope.cancel()
        assert len(flow.acknowledged) >= 100
        assert len({line["node"] for hub in site.hubs.values() for line in hub.said("smpp bound")}) == 2
