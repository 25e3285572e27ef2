"""TLS with the programs of others, both ways: smpplib and node-smpp call us, we call node-smpp, each with certificates.

The certificates are made for the run: one authority, and one for each end. What is said inside is as in
``test_smpp_peers``; here it matters who is let in, and that what the link's settings say is what is shown.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from hub import Kind, Message, Outcome, Part, Result
from ops.wiring import link_settings
from provisioning import Link, Secret, SecretKind
from smpp.client import BindType, connect_and_bind
from smpp.events import Ending
from smpp.server import serve
from smpp.session import SessionEnded
from tests.integration.test_smpp_peers import (
    PATIENCE_S,
    PEERS,
    Smsc,
    converse,
    node_smsc,
    peer_node,
    peer_python,
    run,
    target,
)
from tests.sessions.hub.test_smpp_endpoint import EPOCH_US, WritingRoad
from translators.smpp_links import SmppLink


class Certificate(NamedTuple):
    """A certificate and its key, PEM."""

    cert: Path
    key: Path


class Papers(NamedTuple):
    """What is needed for a test: the authority's certificate, one for each end, and a stranger's authority."""

    authority: Path
    hub: Certificate
    peer: Certificate
    stranger: Certificate


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Made for this run, good for two days."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.fail("openssl is missing: it makes the certificates of the TLS tests", pytrace=False)
    folder = tmp_path_factory.mktemp("papers")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

    def call(*words: str) -> None:
        subprocess.run([openssl, *words], check=True, capture_output=True, cwd=folder, timeout=60)

    for name in ("authority", "stranger"):
        call("req", "-x509", *curve, "-days", "2", "-keyout", f"{name}.key", "-out", f"{name}.pem",
             "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    for name in ("hub", "peer"):
        call("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}.test",
             "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{name}.test")  # fmt: skip
        call("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial",
             "-copy_extensions", "copy", "-days", "2", "-out", f"{name}.pem")  # fmt: skip

    def of(name: str) -> Certificate:
        return Certificate(folder / f"{name}.pem", folder / f"{name}.key")

    return Papers(folder / "authority.pem", of("hub"), of("peer"), of("stranger"))


def shown(monkeypatch: pytest.MonkeyPatch, authority: Path | None, own: Certificate | None) -> None:
    """What the foreign program believes, and what it shows."""
    words = {"PEER_TLS_CA": authority, "PEER_TLS_CERT": own and own.cert, "PEER_TLS_KEY": own and own.key}
    for word, path in words.items():
        monkeypatch.setenv(word, str(path)) if path else monkeypatch.delenv(word, raising=False)


# --- The hub is the server -------------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_port(papers: Papers, *, asks: bool) -> AsyncIterator[tuple[Smsc, int]]:
    """A TLS port of ours, which may ask for the certificates of those who come."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(papers.authority))
    context.load_cert_chain(*papers.hub)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
    ours = Smsc()
    async with trio.open_nursery() as nursery:
        start = partial(serve, ours.handle, ours.authenticate, host="127.0.0.1", port=0, ssl_context=context)
        listeners = await nursery.start(start)
        yield ours, listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("asks", [False, True])
async def test_smpplib_is_an_esme_of_ours_over_tls(papers, monkeypatch, asks):
    shown(monkeypatch, papers.authority, papers.peer if asks else None)
    async with tls_port(papers, asks=asks) as (ours, port):
        seen = await run(*peer_python(), str(PEERS / "smpplib_esme.py"), str(port), "20")
        assert seen["ids"] == [f"id{n}" for n in range(20)]
        assert len(seen["receipts"]) == 20
        assert seen["texts"] == ["hello"]
        assert len(ours.texts) == 20


@pytest.mark.parametrize("asks", [False, True])
async def test_node_smpp_is_an_esme_of_ours_over_tls(papers, monkeypatch, asks):
    shown(monkeypatch, papers.authority, papers.peer if asks else None)
    async with tls_port(papers, asks=asks) as (ours, port):
        seen = await run(*peer_node(), str(PEERS / "node" / "smpp_esme.js"), str(port), "50")
        assert (seen["bind"], seen["enquired"], seen["version"]) == (0, 0, 0x50)
        assert seen["ids"] == [f"id{n}" for n in range(50)]
        assert len(seen["receipts"]) == 50
        assert seen["texts"] == ["hello"]
        assert ours.texts == [f"text {n}".encode() for n in range(50)]


async def tried(port: int) -> int | None:
    """What node-smpp's bind was answered with; None when it was not. It ends with an error or a close, as it comes."""
    try:
        seen = await run(*peer_node(), str(PEERS / "node" / "smpp_esme.js"), str(port), "1")
    except AssertionError:
        return None
    return seen["bind"]


async def test_an_esme_without_the_certificate_that_we_ask_for_does_not_bind(papers, monkeypatch):
    shown(monkeypatch, papers.authority, None)
    async with tls_port(papers, asks=True) as (ours, port):
        assert await tried(port) is None
        assert ours.texts == []
        shown(monkeypatch, papers.authority, papers.peer)  # and the port is still there for those who have it
        assert await tried(port) == 0


async def test_an_esme_that_does_not_know_our_authority_does_not_bind(papers, monkeypatch):
    shown(monkeypatch, papers.stranger.cert, None)
    async with tls_port(papers, asks=False) as (ours, port):
        assert await tried(port) is None
        assert ours.texts == []


# --- The hub is the client -------------------------------------------------------------------------------------------


def client_tls(authority: Path, own: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    if own is not None:
        context.load_cert_chain(*own)
    return context


def over(context: ssl.SSLContext, port: int, name: str = "") -> object:
    plain = target(port)
    return type(plain)(
        host=plain.host, port=port, credentials=plain.credentials, ssl_context=context, server_hostname=name
    )


@pytest.mark.parametrize("asks", [False, True])
async def test_node_smpp_is_an_smsc_to_us_over_tls(papers, monkeypatch, asks):
    shown(monkeypatch, papers.authority if asks else None, papers.peer)
    async with node_smsc() as (process, port):
        with trio.fail_after(PATIENCE_S):
            context = client_tls(papers.authority, papers.hub if asks else None)
            async with connect_and_bind(over(context, port, "peer.test"), BindType.TRX) as session:
                ids, deliveries = await converse(session)
            assert session.ended.ending is Ending.UNBOUND
            seen = json.loads(await process.stdout.receive_some())
    assert (len(set(ids.values())), len(deliveries)) == (10, 11)
    assert seen["unbound"] is True
    assert seen["certificates"] == (["hub.test"] if asks else [])


async def test_an_smsc_that_asks_for_a_certificate_does_not_let_us_in_without(papers, monkeypatch):
    """By TLS 1.3 a client thinks it is in before the server has looked: the refusal may come in place of an answer."""
    shown(monkeypatch, papers.authority, papers.peer)
    async with node_smsc() as (_, port):
        with trio.fail_after(PATIENCE_S), pytest.raises((SessionEnded, OSError, trio.BrokenResourceError)):
            async with connect_and_bind(over(client_tls(papers.authority), port)):
                pytest.fail("it is bound")


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_an_smsc_with_the_wrong_certificate_is_not_told_our_password(papers, monkeypatch, wrong):
    shown(monkeypatch, None, papers.peer)
    async with node_smsc() as (_, port):
        authority = papers.stranger.cert if wrong == "authority" else papers.authority
        name = "peer.test" if wrong == "authority" else "somebody.else"
        with trio.fail_after(PATIENCE_S), pytest.raises(trio.BrokenResourceError) as broken:
            async with connect_and_bind(over(client_tls(authority), port, name)):
                pytest.fail("it is bound")
        assert isinstance(broken.value.__cause__, ssl.SSLCertVerificationError)


class Bells(WritingRoad):
    """A road that rings when the link has room, and when something has been reported."""

    def __init__(self) -> None:
        super().__init__()
        self.room = trio.Event()
        self.done = trio.Event()

    def wake(self, endpoint: str) -> None:
        super().wake(endpoint)
        self.room.set()

    async def report(self, endpoint: str, outcomes: Sequence[Outcome]) -> None:
        await super().report(endpoint, outcomes)
        if len(self.reported) >= 5:
            self.done.set()


async def test_a_link_shows_the_certificate_of_its_settings(papers, monkeypatch):
    """From what is provisioned to what the carrier's program has seen: our certificate, and its own checked by us."""
    shown(monkeypatch, papers.authority, papers.peer)
    road, shutdown = Bells(), trio.Event()
    async with node_smsc() as (process, port):
        link = Link(
            name="acme",
            host="127.0.0.1",
            port=port,
            system_id="smshub",
            password=Secret(SecretKind.LITERAL, "secret"),
            tls="verify",
            tls_ca_file=str(papers.authority),
            tls_cert_file=str(papers.hub.cert),
            tls_key_file=str(papers.hub.key),
            tls_server_name="peer.test",
        )
        endpoint = SmppLink(link_settings(link, {}), road, lambda: EPOCH_US)
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(endpoint.run, shutdown)
                await road.room.wait()
                endpoint.deliver([part_of(endpoint, number) for number in range(1, 6)])
                await road.done.wait()
                shutdown.set()
                out = await process.stdout.receive_some()
                assert out, (await process.stderr.receive_some()).decode()
                seen = json.loads(out)
    assert sorted(road.results()) == [(number, Result.ACCEPTED) for number in range(1, 6)]
    assert seen["certificates"] == ["hub.test"]
    assert seen["texts"] == [f"text {n}" for n in range(1, 6)]


def part_of(link: SmppLink, number: int) -> Part:
    message = Message(
        id=number,
        kind=Kind.TEXT,
        origin="account:a",
        endpoint=link.name,
        source="+12025550100",
        destination="+447700900123",
        text=f"text {number}",
        received_us=EPOCH_US,
        expires_us=EPOCH_US + 1,
    )
    (payload,) = link.split(message)
    return Part(message, 1, 1, payload)
