"""The web server: what it answers, and what it does to bad peers."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from ops import web
from tests.fixtures_tls import Certificate, made_certificate

PLAIN = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
GET = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
CLOSE = b"Connection: close\r\n"
MIB = 1_048_576


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says its path; below /body how long the body was; below /big says a lot; fails, hangs or answers unasked."""
    path = scope["path"]
    if path == "/fault":
        raise LookupError("a fault of ours")
    if path == "/hang":
        await trio.sleep_forever()
    said = path.encode()
    if path == "/body":
        length, more = 0, True
        while more:
            message = await receive()
            length, more = length + len(message.get("body", b"")), message.get("more_body", False)
        said = str(length).encode()
    elif path == "/big":
        said = b"x" * (64 * MIB)
    await send({**PLAIN, "headers": [*PLAIN["headers"], (b"content-length", str(len(said)).encode())]})  # type: ignore[misc]
    await send({"type": "http.response.body", "body": said})


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: Any) -> None:
            await web.serve(application, "127.0.0.1", 0, task_status=task_status, **settings)

        yield await nursery.start(run)
        nursery.cancel_scope.cancel()


async def converse(port: int, octets: bytes) -> bytes:
    """All that comes back before the server closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    received = b""
    async with stream:
        try:
            await stream.send_all(octets)
            with trio.fail_after(60):
                while chunk := await stream.receive_some(65_536):
                    received += chunk
        except trio.BrokenResourceError:
            pass
    return received


async def test_a_page_its_status_and_head() -> None:
    async with serving() as port:
        reply = await converse(port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert reply.endswith(b"\r\n\r\n/metrics")
        reply = await converse(port, b"HEAD /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert reply.endswith(b"\r\n\r\n")


async def test_several_requests_on_one_connection() -> None:
    async with serving() as port:
        once = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
        assert (await converse(port, once + once + GET)).count(b"HTTP/1.1 200 ") == 3


async def test_bad_peers_get_an_error_or_are_closed_and_hurt_nobody() -> None:
    async with serving() as port:
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n"
        assert (await converse(port, hello)).startswith(b"HTTP/1.1 400 ")
        assert (await converse(port, b"GET /" + b"a" * 40_000)).startswith(b"HTTP/1.1 431 ")
        both = b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"
        assert (await converse(port, both)).startswith(b"HTTP/1.1 400 ")
        assert (await converse(port, GET)).startswith(b"HTTP/1.1 200 ")


async def test_a_fault_of_the_application_is_a_500_and_hurts_nobody() -> None:
    async with serving() as port:
        assert (await converse(port, GET.replace(b"/a", b"/fault"))).startswith(b"HTTP/1.1 500 ")
        assert (await converse(port, GET)).startswith(b"HTTP/1.1 200 ")


async def test_connections_are_bounded_and_busy_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "GRACE_S", 0.1)
    asked = 0

    async def hang(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        port = await nursery.start(web.serve, hang, "127.0.0.1", 0)
        busy = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(web.MAX_CONNECTIONS)]
        for stream in busy:
            await stream.send_all(GET)
        with trio.fail_after(60):
            while asked < web.MAX_CONNECTIONS:
                await trio.lowlevel.checkpoint()
        assert await converse(port, GET) == b""
        assert asked == web.MAX_CONNECTIONS
        nursery.cancel_scope.cancel()
    for stream in busy:
        await trio.aclose_forcefully(stream)


async def test_who_says_nothing_keeps_nobody_out() -> None:
    """More connections than there may be, and a request finds room: the oldest of them make it."""
    async with serving() as port:
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2 * web.MAX_CONNECTIONS)]
        for _ in range(3):  # they are taken in the order in which they came
            assert (await converse(port, GET)).startswith(b"HTTP/1.1 200 ")
        for stream in idle[: web.MAX_CONNECTIONS]:
            with trio.fail_after(60), suppress(trio.BrokenResourceError):
                assert await stream.receive_some(1) == b""
        for stream in idle:
            await trio.aclose_forcefully(stream)


async def test_an_answer_before_the_body_was_read_arrives() -> None:
    head = b"POST /%s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n"
    async with serving(max_body_octets=1000) as port:
        reply = await converse(port, head % (b"body", b"", 1000) + b"x" * 1000 + GET)
        assert reply.startswith(b"HTTP/1.1 200 ")
        for path, status in ((b"body", b"413"), (b"a", b"200")):
            reply = await converse(port, head % (path, CLOSE, 4 * MIB) + b"x" * (4 * MIB))
            assert reply.startswith(b"HTTP/1.1 " + status), path
        chunked = b"POST /body HTTP/1.1\r\nHost: h\r\n%sTransfer-Encoding: chunked\r\n\r\n" % CLOSE
        reply = await converse(port, chunked + b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 413 ")


async def test_a_head_or_body_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "IDLE_S", 0.2)
    monkeypatch.setattr(web, "LINGER_S", 0.2)
    async with serving() as port:
        assert await converse(port, b"GET /a HTTP/1.1\r\nHos") == b""
        assert b"HTTP/1.1" not in await converse(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff")
    monkeypatch.undo()
    monkeypatch.setattr(web, "BODY_S", 0.2)
    async with serving() as port:
        half = b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf"
        assert (await converse(port, half)).startswith(b"HTTP/1.1 408 ")
    monkeypatch.undo()
    monkeypatch.setattr(web, "REQUEST_S", 0.2)
    async with serving() as port:
        assert await converse(port, GET.replace(b"/a", b"/hang")) == b""


async def test_a_peer_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SEND_S", 0.2)
    async with serving() as port:
        deaf = await trio.open_tcp_stream("127.0.0.1", port)
        await deaf.send_all(GET.replace(b"/a", b"/big"))
        await trio.sleep(0.5)  # longer than the server waits for a reader
        assert (await converse(port, GET)).startswith(b"HTTP/1.1 200 ")  # and has served others meanwhile
        received = 0
        with trio.fail_after(60):
            try:
                while chunk := await deaf.receive_some(MIB):
                    received += len(chunk)
            except trio.BrokenResourceError:
                pass
        assert received < 64 * MIB
        await deaf.aclose()


async def test_stopping_waits_for_nobody_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SEND_S", 0.5)
    with trio.fail_after(60):
        async with serving() as port:
            deaf = await trio.open_tcp_stream("127.0.0.1", port)
            await deaf.send_all(GET.replace(b"/a", b"/big"))
            idle = await trio.open_tcp_stream("127.0.0.1", port)
            await idle.send_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
            said = b""
            while not said.endswith(b"/a"):
                said += await idle.receive_some(65_536)
        assert await idle.receive_some(1) == b""
    await deaf.aclose()
    await idle.aclose()


async def test_a_port_that_is_taken_is_told() -> None:
    async with serving() as port, trio.open_nursery():
        with pytest.raises(OSError, match="in use"):
            await web.serve(application, "127.0.0.1", port)


async def test_tls_and_both_versions_of_http(certificate: Certificate) -> None:
    context = ssl.create_default_context(cafile=str(certificate.cert_file))
    settings = {"tls_cert_file": str(certificate.cert_file), "tls_key_file": str(certificate.key_file)}
    async with serving(**settings) as port:
        assert await converse(port, GET) == b""  # no TLS
        stream = await trio.open_ssl_over_tcp_stream("localhost", port, ssl_context=context, https_compatible=True)
        await stream.send_all(GET)
        assert (await stream.receive_some(65_536)).startswith(b"HTTP/1.1 200 ")
        await stream.aclose()
        for version in ("--http1.1", "--http2"):
            argv = ["curl", "-sS", version, "--cacert", str(certificate.cert_file), "-w", " %{http_version}"]
            ended = await trio.run_process(
                [*argv, "--data-binary", "x" * 1000, f"https://localhost:{port}/body"],
                capture_stdout=True,
                stderr=subprocess.STDOUT,
            )
            assert ended.stdout.split()[0] == b"1000"


async def test_a_renewed_certificate_is_used_and_a_broken_one_is_not(certificate: Certificate, tmp_path: Path) -> None:
    own = Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")

    def write(source: Certificate) -> None:
        for name, new in zip(own, source, strict=True):
            name.with_suffix(".new").write_bytes(new.read_bytes())
            name.with_suffix(".new").replace(name)

    async def shown() -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=context, https_compatible=True)
        await stream.do_handshake()
        found = stream.getpeercert(binary_form=True)
        await stream.aclose()
        return bytes(found)

    write(certificate)
    async with serving(tls_cert_file=str(own.cert_file), tls_key_file=str(own.key_file)) as port:
        first = await shown()
        write(made_certificate(tmp_path / "renewed"))
        second = await shown()
        assert second != first
        own.cert_file.write_text("-----BEGIN")
        assert await shown() == second
        own.key_file.unlink()
        assert await shown() == second


async def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(OSError) as refusal:  # noqa: PT011 - an ssl.SSLError says nothing of use
        await web.serve(application, "127.0.0.1", 0, tls_cert_file=str(tmp_path / "cert.pem"))
    assert refusal.value.filename.endswith("cert.pem")


async def test_pages_that_are_only_read() -> None:
    async def answer(path: str) -> web.Page:
        return 404 if path == "/none" else 200, "text/plain", path.encode()

    async with trio.open_nursery() as nursery:
        port = await nursery.start(web.serve, web.read_only(answer), "127.0.0.1", 0)
        assert (await converse(port, GET)).endswith(b"\r\n\r\n/a")
        assert (await converse(port, GET.replace(b"/a", b"/none"))).startswith(b"HTTP/1.1 404 ")
        post = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        assert (await converse(port, post)).startswith(b"HTTP/1.1 405 ")
        nursery.cancel_scope.cancel()


async def test_too_large_a_body_is_told_in_both_versions_of_http(certificate: Certificate, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 8 * MIB)
    settings = {"tls_cert_file": str(certificate.cert_file), "tls_key_file": str(certificate.key_file)}
    async with serving(**settings) as port:
        for version in ("--http1.1", "--http2"):
            argv = ["curl", "-sS", version, "--cacert", str(certificate.cert_file), "-o", "/dev/null"]
            argv += ["-w", "%{http_code} %{http_version}", "-H", "Expect:", "--data-binary", f"@{tmp_path}/large"]
            ended = await trio.run_process([*argv, f"https://localhost:{port}/body"], capture_stdout=True, check=False)
            status, spoken = ended.stdout.decode().split()
            assert status == "413"
            assert spoken == version.removeprefix("--http").removesuffix(".0")
        assert (await trio.run_process([*argv[:-2], f"https://localhost:{port}/a"], capture_stdout=True)).stdout[
            :3
        ] == b"200"
