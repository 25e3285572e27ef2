"""Both adapters against the reference registry, over real ports: what is told, what is found, and what goes wrong.

Every request that the adapters make, and every answer that the registry gives on purpose, is held against the OpenAPI
document and the schema that we publish.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import trio
import xmlschema
from openapi_schema_validator import OAS31Validator

import provisioning.directories
from ops import web
from ops.simulators.registry import SimulatedRegistry, open_simulated_registry
from ops.simulators.registry_behaviour import Behaviour, change
from ops.simulators.registry_book import Wish
from ops.simulators.registry_core import Malformed
from ops.simulators.registry_settings import RegistrySettings
from ops.simulators.registry_users import User
from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories import Adapter, Answer, Finding, Listing, Task
from provisioning.directories.http_call import CallFailed, HttpCall, Reply
from provisioning.directories.making import adapter_of
from provisioning.directories.soap_xml import NAMESPACE
from provisioning.directories.xml_reading import BadXml
from provisioning.secret import Secret, SecretKind
from tests.fixtures_tls import Certificate, made_certificate

PUBLISHED = Path(provisioning.directories.__file__ or "").parent
OPENAPI = json.loads((PUBLISHED / "registry-openapi.json").read_text())
SCHEMA = xmlschema.XMLSchema(PUBLISHED / "registry.xsd")

PATIENCE_S = 150.0
LARGE_OCTETS = 10_000
USERS = (
    User(name="hub", password="pass word ü", token="t0ken", owner="us"),
    User(name="rival", password="other", token="0ther"),
)
BOTH = pytest.mark.parametrize("kind", ["rest", "soap"])


def tasks(count: int, telling: str = "1", **changes: object) -> list[Task]:
    """So many numbers, told under keys of their own."""
    full = Listing(
        number="",
        real_number="",
        call_centre="acme",
        title='Möbel & Söhne <"GmbH">',
        element="spid:1234",
        loa="l1",
        loa_digest="sha256:" + "a" * 64,
        network_id="n1",
        entity_id="e1",
        ip_address="192.0.2.1",
        texts_per_day=5000,
        white_list_reason="one-time passwords",
    )
    full = msgspec.structs.replace(full, **changes)
    return [
        Task(f"{telling}-{n}", msgspec.structs.replace(full, number=f"+1617555{n:04}", real_number=f"+1617555{n:04}"))
        for n in range(count)
    ]


# --- What is said on the wire ----------------------------------------------------------------------------------------


class Wire:
    """What was said, held against the documents. ``garbled``: answers may be none of the protocol."""

    def __init__(self) -> None:
        self.garbled = False
        self.calls: list[tuple[str, dict[str, str], bytes, Reply]] = []

    def check(self) -> None:
        # Of batches by the thousand the first of each kind is enough: they differ in nothing but numbers.
        large: set[str] = set()
        for path, headers, body, reply in self.calls:
            kind = headers.get("SOAPAction", path)
            if len(body) > LARGE_OCTETS and kind in large:
                continue
            if len(body) > LARGE_OCTETS:
                large.add(kind)
            if headers["Content-Type"] == "application/json":
                _check_json(path, headers, body, reply, self.garbled)
            else:
                _check_xml(headers, body, reply, self.garbled)


def _validate(value: object, schema: dict[str, Any]) -> None:
    OAS31Validator({**schema, "components": OPENAPI["components"]}).validate(value)


def _check_json(path: str, headers: dict[str, str], body: bytes, reply: Reply, garbled: bool) -> None:
    operation = OPENAPI["paths"][path]["post"]
    for parameter in operation.get("parameters", ()):
        _validate(headers[parameter["name"]], parameter["schema"])
    _validate(json.loads(body), operation["requestBody"]["content"]["application/json"]["schema"])
    said = operation["responses"].get(str(reply.status))
    if said is not None and "$ref" in said:
        said = OPENAPI["components"]["responses"][said["$ref"].rpartition("/")[2]]
    try:
        assert said is not None, f"{path} may not answer {reply.status}"
        _validate(json.loads(reply.body), said["content"][reply.content_type]["schema"])
    except (AssertionError, KeyError, ValueError):
        if not garbled:
            raise


def _check_xml(headers: dict[str, str], body: bytes, reply: Reply, garbled: bool) -> None:
    [request] = ElementTree.fromstring(body).find("{http://schemas.xmlsoap.org/soap/envelope/}Body")
    SCHEMA.validate(request)
    operation = request.tag.rpartition("}")[2].removesuffix("Request")
    assert headers["SOAPAction"] == f'"{NAMESPACE}/{operation}"'
    try:
        [answer] = ElementTree.fromstring(reply.body).find("{http://schemas.xmlsoap.org/soap/envelope/}Body")
        if answer.tag.endswith("}Fault"):
            [answer] = answer.find("detail")
        SCHEMA.validate(answer)
    except (SyntaxError, ValueError, TypeError):
        if not garbled:
            raise


@pytest.fixture(autouse=True)
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Looks at what is said by the real call."""
    seen = Wire()
    call = HttpCall.post

    def post(self: HttpCall, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        reply = call(self, path, body, headers)
        seen.calls.append((path, dict(headers), body, reply))
        return reply

    monkeypatch.setattr(HttpCall, "post", post)
    yield seen
    seen.check()


# --- The two ends ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def registry(*words: str, **settings: Any) -> AsyncIterator[SimulatedRegistry]:
    behaviour = Behaviour()
    for word in words:
        behaviour = change(behaviour, word.split())
    with trio.fail_after(PATIENCE_S):
        async with open_simulated_registry(
            RegistrySettings(port=0, users=USERS, behaviour=behaviour, **settings)
        ) as opened:
            yield opened


@contextmanager
def adapter(kind: str, url: str, user: str = "hub", **fields: Any) -> Iterator[Adapter]:
    [known] = [one for one in USERS if one.name == user]
    secret = Secret(SecretKind.LITERAL, known.token if kind == "rest" else known.password)
    directory = CarrierDirectory(
        name="registry",
        adapter=kind,
        url=f"{url}/v1" if kind == "rest" else f"{url}/soap",
        **{"username": user, "password": secret, **fields},
    )
    made = adapter_of(directory, os.environ)
    try:
        yield made
    finally:
        made.close()


async def ask(call: Callable[[Sequence[Task]], list[Answer]], told: Sequence[Task]) -> list[Answer]:
    answers = await trio.to_thread.run_sync(call, told, abandon_on_cancel=True)
    assert len(answers) == len(told)
    return answers


async def findings(call: Callable[[Sequence[Task]], list[Answer]], told: Sequence[Task]) -> dict[Finding, int]:
    return dict(Counter(answer.finding for answer in await ask(call, told)))


async def fails(ours: Adapter, match: str) -> None:
    """Publishing must find nobody to speak to, and say so without the names of objects."""
    with pytest.raises(OSError, match=match) as error:
        await ask(ours.publish, tasks(1))
    assert "object at 0x" not in str(error.value)


# --- As it should be -------------------------------------------------------------------------------------------------


@BOTH
async def test_ten_thousand_numbers_come_are_found_and_go(kind: str) -> None:
    async with registry() as there:
        with adapter(kind, there.url) as ours:
            block = tasks(10_000)
            assert await findings(ours.publish, block) == {Finding.ACTIVE: 10_000}
            assert await findings(ours.publish, block) == {Finding.ACTIVE: 10_000}
            assert await findings(ours.confirm, block) == {Finding.ACTIVE: 10_000}
            assert there.book.applied == 10_000, "told twice is told once"
            gone = tasks(10_000, "2")
            assert await findings(ours.withdraw, gone) == {Finding.ABSENT: 10_000}
            assert await findings(ours.withdraw, gone[:1000]) == {Finding.ABSENT: 1000}
            assert await findings(ours.confirm, gone) == {Finding.ABSENT: 10_000}
            assert there.book.applied == 20_000


@BOTH
async def test_other_content_is_seen_and_brought_up_to_date(kind: str) -> None:
    async with registry() as there:
        with adapter(kind, there.url) as ours:
            [first] = await ask(ours.publish, tasks(1))
            moved = tasks(1, "2", element="ocn:99AB", texts_per_day=0, title="")
            [differs] = await ask(ours.confirm, moved)
            assert (differs.finding, differs.reason) == (Finding.DIFFERS, "other title, element, texts_per_day")
            [second] = await ask(ours.publish, moved)
            assert await findings(ours.confirm, moved) == {Finding.ACTIVE: 1}
            assert first.remote_id
            assert second.remote_id not in ("", first.remote_id)


@BOTH
async def test_a_slow_registry_is_looked_up_again(kind: str) -> None:
    async with registry("decide 100s") as there:
        with adapter(kind, there.url) as ours:
            for call in (ours.publish, ours.publish, ours.confirm):
                for answer in await ask(call, tasks(2)):
                    assert answer.finding is Finding.SUBMITTED
                    assert 0 < answer.after_s <= 100
            clock = there.now_us
            # Within the five minutes that a UsernameToken is good for.
            there.now_us = lambda: clock() + 120_000_000
            assert await findings(ours.confirm, tasks(2)) == {Finding.ACTIVE: 2}
            assert await findings(ours.withdraw, tasks(2, "2")) == {Finding.SUBMITTED: 2}
            there.now_us = lambda: clock() + 240_000_000
            assert await findings(ours.confirm, tasks(2)) == {Finding.ABSENT: 2}


@BOTH
async def test_another_owners_number_is_a_conflict_and_stays_theirs(kind: str) -> None:
    async with registry() as there:
        with adapter(kind, there.url, "rival") as theirs, adapter(kind, there.url) as ours:
            await ask(theirs.publish, tasks(2))
            mine = tasks(3, "m")
            for call in (ours.publish, ours.confirm, ours.withdraw):
                found = [answer.finding for answer in await ask(call, mine)]
                assert found[:2] == [Finding.CONFLICT] * 2
            assert await findings(theirs.confirm, tasks(2)) == {Finding.ACTIVE: 2}
            assert await findings(theirs.withdraw, tasks(2, "w")) == {Finding.ABSENT: 2}
            assert await findings(ours.publish, mine) == {Finding.ACTIVE: 3}


@BOTH
async def test_what_is_refused_says_why_and_holds_up_nobody(kind: str) -> None:
    async with registry("refuse +16175550001 ported away") as there:
        with adapter(kind, there.url) as ours:
            answers = await ask(ours.publish, tasks(3))
            assert [answer.finding for answer in answers] == [Finding.ACTIVE, Finding.REFUSED, Finding.ACTIVE]
            assert answers[1].reason == "ported away"
            [refused] = await ask(ours.confirm, tasks(3)[1:2])
            assert refused.finding is Finding.REFUSED
            [no_letter] = await ask(ours.publish, tasks(1, "2", loa=""))
            assert no_letter.reason == "no letter of authorization"


@BOTH
async def test_what_was_told_survives_the_registry(kind: str, tmp_path: Path) -> None:
    state = tmp_path / "registry.state"
    async with registry(state=state) as there:
        with adapter(kind, there.url) as ours:
            await ask(ours.publish, tasks(50))
    async with registry(state=state) as there:
        with adapter(kind, there.url) as ours:
            assert await findings(ours.confirm, tasks(50)) == {Finding.ACTIVE: 50}
            assert await findings(ours.publish, tasks(50)) == {Finding.ACTIVE: 50}
            assert there.book.applied == 0


@BOTH
async def test_a_secret_that_changes_is_taken_up_and_none_is_told(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    async with registry() as there:
        with adapter(kind, there.url, password=Secret(SecretKind.FILE, str(file))) as ours:
            await fails(ours, "cannot be read")
            file.write_text("words\nof two lines")
            with pytest.raises(OSError, match="cannot be sent") as error:
                await ask(ours.publish, tasks(1))
            assert "words" not in str(error.value)
            file.write_text("wrong")
            [answer] = await ask(ours.publish, tasks(1))
            assert (answer.finding, "credentials" in answer.reason) == (Finding.LATER, True)
            assert "wrong" not in answer.reason.replace("wrong password", "")
            file.write_text((USERS[0].token if kind == "rest" else USERS[0].password) + "\n")
            assert await findings(ours.publish, tasks(1)) == {Finding.ACTIVE: 1}


# --- As it should not be ---------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("words", "reason", "after_s", "done"),
    [
        ("fault status 500", "failed", 0.0, 0),
        ("fault status 502", "failed (HTTP 502", 0.0, 0),
        ("fault status 503 retry-after 7", "busy", 7.0, 0),
        ("fault status 429 retry-after 90", "busy", 90.0, 0),
        ("fault status 404", "check the url", 0.0, 0),
        ("fault status 302", "elsewhere", 0.0, 0),
        ("fault status 403", "credentials", 0.0, 0),
        ("fault broken", "not what was agreed", 0.0, 4),
        ("fault page", "not what was agreed", 0.0, 4),
        ("fault others", "another number: +19995550199", 0.0, 4),
        ("fault contradict", "twice, and not the same", 0.0, 4),
    ],
)
async def test_whatever_it_says_nothing_is_believed(
    kind: str, words: str, reason: str, after_s: float, done: int, wire: Wire
) -> None:
    """What was not answered properly was not decided; told again under the same keys, it stands once."""
    wire.garbled = True
    async with registry(words) as there:
        with adapter(kind, there.url) as ours:
            for answer in await ask(ours.publish, tasks(4)):
                assert answer.finding is Finding.LATER
                assert reason in answer.reason, answer.reason
                assert answer.after_s == after_s
            assert there.book.applied == done
            there.behaviour = Behaviour()
            assert await findings(ours.publish, tasks(4)) == {Finding.ACTIVE: 4}
            assert there.book.applied == 4
            there.behaviour = change(Behaviour(), words.split())
            found = await findings(ours.confirm, tasks(4))
            # A look-up is answered by number: what is of others leaves it without an answer.
            assert found == {Finding.LATER: 4}


@BOTH
async def test_answers_that_come_twice_and_answers_that_are_left_out(kind: str) -> None:
    async with registry("fault twice") as there:
        with adapter(kind, there.url) as ours:
            for call in (ours.publish, ours.confirm):
                assert await findings(call, tasks(4)) == {Finding.ACTIVE: 4}
            there.behaviour = change(Behaviour(), ["fault", "silent"])
            for call in (ours.publish, ours.confirm):
                found = [answer.finding for answer in await ask(call, tasks(4))]
                assert found == [Finding.ACTIVE, Finding.LATER] * 2


@BOTH
@pytest.mark.parametrize(("words", "done"), [("fault cut-before 1", 0), ("fault cut-after 1", 4), ("fault huge 1", 4)])
async def test_an_answer_that_is_cut_is_none(kind: str, words: str, done: int) -> None:
    async with registry(words) as there:
        with adapter(kind, there.url) as ours:
            with pytest.raises(OSError, match=r"127\.0\.0\.1|longer than") as error:
                await ask(ours.publish, tasks(4))
            assert "object at 0x" not in str(error.value)
            assert there.book.applied == done
            assert await findings(ours.publish, tasks(4)) == {Finding.ACTIVE: 4}
            assert there.book.applied == 4


@BOTH
async def test_what_was_answered_before_it_failed_counts(kind: str, wire: Wire) -> None:
    wire.garbled = True  # a 503 of SOAP has no fault
    async with registry() as there:
        with adapter(kind, there.url) as ours:
            submit = there.submit

            async def fail_at_the_second(owner: str, wishes: Sequence[Wish]) -> Any:
                there.behaviour = change(Behaviour(), ["fault", "status", "503", "1", "retry-after", "5"])
                return await submit(owner, wishes)

            there.submit = fail_at_the_second  # type: ignore[method-assign]
            assert await findings(ours.publish, tasks(3000)) == {Finding.ACTIVE: 1000, Finding.LATER: 2000}
            assert there.requests == 2


@BOTH
async def test_a_request_that_is_refused_whole_refuses_one_number(kind: str) -> None:
    async with registry() as there:
        submit = there.submit
        tasks_there = tasks(9)

        async def choke(owner: str, wishes: Sequence[Wish]) -> Any:
            if any(wish.key == tasks_there[4].key for wish in wishes):
                raise Malformed("we do not take this one")
            return await submit(owner, wishes)

        there.submit = choke  # type: ignore[method-assign]
        with adapter(kind, there.url) as ours:
            answers = await ask(ours.publish, tasks_there)
            assert [answer.finding for answer in answers] == [
                Finding.REFUSED if at == 4 else Finding.ACTIVE for at in range(9)
            ]
            assert "we do not take this one" in answers[4].reason


# --- Time, TLS, nobody there -----------------------------------------------------------------------------------------


Serve = Callable[[socket.socket], None]


@contextmanager
def raw_server(serve: Serve, certificate: Certificate | None = None) -> Iterator[str]:
    """A server that does with each connection what it is told."""
    over = threading.Event()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def run() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                connection.settimeout(5)
                with suppress(OSError):  # the client has hung up, as it should
                    if certificate is not None:
                        connection = context.wrap_socket(connection, server_side=True)
                    with connection:
                        serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join(PATIENCE_S)


def drip(connection: socket.socket, octets: bytes) -> None:
    """Answer so slowly that each wait is short and all of them are for ever."""
    connection.recv(65_536)
    for n in range(1000):
        connection.sendall(octets if n == 0 else b"x")
        threading.Event().wait(0.05)


DRIPPING = {
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
    "the last body": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    "head": b"HTTP/1.1 200 OK\r\nX: ",
}


@pytest.mark.parametrize("what", DRIPPING)
@pytest.mark.parametrize("private", [False, True])
async def test_an_answer_that_drips_has_an_end(what: str, private: bool, certificate: Certificate) -> None:
    serve = partial(drip, octets=DRIPPING[what])
    fields: dict[str, Any] = {"timeout_s": 0.5, "ca_file": str(certificate.cert_file)}
    with raw_server(serve, certificate if private else None) as url, adapter("rest", url, **fields) as ours:
        await fails(ours, r"no answer from 127\.0\.0\.1:\d+ within 0\.5 s")


@BOTH
async def test_a_handshake_that_nobody_answers_has_an_end(kind: str) -> None:
    hung_up = threading.Event()

    def wait(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass
        hung_up.set()

    with raw_server(wait) as url, adapter(kind, url.replace("http:", "https:"), timeout_s=0.3) as ours:
        await fails(ours, r"no answer from 127\.0\.0\.1:\d+ within 0\.3 s")
        assert await trio.to_thread.run_sync(hung_up.wait, PATIENCE_S)


@BOTH
async def test_an_answer_that_never_comes_has_an_end(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "GRACE_S", 0.1)  # for who waits for the answer when the registry ends: nobody
    async with registry("answer 100s") as there:
        with adapter(kind, there.url, timeout_s=0.3) as ours:
            await fails(ours, r"within 0\.3 s")
            assert there.book.applied == 1
            there.behaviour = Behaviour()
            # By REST the first request may be under way still: then it says so, and this one changes nothing.
            assert set(await findings(ours.publish, tasks(1))) <= {Finding.ACTIVE, Finding.LATER}
            assert there.book.applied == 1


@BOTH
@pytest.mark.parametrize(
    "octets", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]
)
async def test_what_is_no_http_is_no_answer(kind: str, octets: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(octets)

    with raw_server(serve) as url, adapter(kind, url) as ours:
        with pytest.raises(OSError, match=r"127\.0\.0\.1:\d+: ") as error:
            await ask(ours.publish, tasks(1))
        assert "object at 0x" not in str(error.value)


@BOTH
async def test_a_redirect_is_not_followed(kind: str, wire: Wire) -> None:
    wire.garbled = True
    reached = []
    with raw_server(lambda connection: reached.append(1)) as elsewhere:

        def send_away(connection: socket.socket) -> None:
            connection.recv(65_536)
            connection.sendall(f"HTTP/1.1 307 x\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n".encode())

        with raw_server(send_away) as url, adapter(kind, url) as ours:
            [answer] = await ask(ours.publish, tasks(1))
    assert (answer.finding, "elsewhere" in answer.reason) == (Finding.LATER, True)
    assert not reached


OK = b"HTTP/1.1 200 OK\r\n"
ODD = [
    *(b"ICY 200\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 99999 x\r\n\r\n"),
    *(b"\xff\xff\r\n\r\n", OK + b"Content-Length: -5\r\n\r\nabc", OK + b"Content-Length: 9\r\n\r\nabc"),
    OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n",
    OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    OK + b"X: y\r\n" * 150 + b"\r\n",
    OK + b"Content-Encoding: gzip\r\nContent-Type: \xe9\xff\r\nRetry-After: \xff\r\n\r\n\x1f\x8b\x08junk",
    b"HTTP/1.1 100 x\r\n\r\n" * 50 + b"HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\nabc",
]


async def test_odd_answers_are_a_reply_or_a_call_that_failed(wire: Wire) -> None:
    answers = iter(ODD)

    def serve(connection: socket.socket) -> None:
        request = b""
        while not request.endswith(b"{}"):  # what is left unread at the end makes a reset, which may eat the answer
            request += connection.recv(65_536)
        connection.sendall(next(answers))

    with raw_server(serve) as url:
        outcomes = []
        for octets in ODD:
            call = HttpCall(url)
            try:
                await trio.to_thread.run_sync(call.post, "", b"{}", {"Content-Type": "application/json"})
                outcomes.append(octets)
            except CallFailed as error:
                assert str(error).startswith("127.0.0.1:")  # noqa: PT017
                assert len(str(error)) < 300  # noqa: PT017
            finally:
                call.close()
    wire.calls.clear()  # it was about HTTP alone
    assert set(ODD[-2:]) <= set(outcomes)
    assert len(outcomes) <= 3, "a negative length may pass for none"


async def test_a_query_in_the_address_goes_with_each_request() -> None:
    lines: list[bytes] = []

    def note(connection: socket.socket) -> None:
        lines.append(connection.recv(65_536).partition(b"\r\n")[0])

    with raw_server(note) as url:
        for address, line in {
            f"{url}/soap?service=tn%20x": b"POST /soap?service=tn%20x HTTP/1.1",
            f"{url}/": b"POST / HTTP/1.1",
            url: b"POST / HTTP/1.1",
            f"{url}/ä/": b"POST /%C3%A4 HTTP/1.1",
        }.items():
            with pytest.raises(CallFailed):
                await trio.to_thread.run_sync(HttpCall(address).post, "", b"{}", {"Content-Type": "x"})
            assert lines.pop() == line


@pytest.mark.parametrize("url", ["https://[::1", "https://registry.example.net:99999/"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(CallFailed, match="is no address"):
        HttpCall(url)


@BOTH
async def test_nobody_there(kind: str, unused_tcp_port: int) -> None:
    with adapter(kind, f"http://127.0.0.1:{unused_tcp_port}") as ours:
        await fails(ours, rf"127\.0\.0\.1:{unused_tcp_port}: Connection refused")


@BOTH
async def test_proxies_of_the_environment_are_not_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with registry() as there:
        with adapter(kind, there.url) as ours:
            assert await findings(ours.publish, tasks(1)) == {Finding.ACTIVE: 1}


@BOTH
async def test_tls_is_verified(kind: str, certificate: Certificate, tmp_path: Path) -> None:
    cert, key = str(certificate.cert_file), str(certificate.key_file)
    async with registry(tls_cert_file=cert, tls_key_file=key) as there:
        with adapter(kind, there.url, ca_file=cert) as ours:
            assert await findings(ours.publish, tasks(2)) == {Finding.ACTIVE: 2}
            assert await findings(ours.confirm, tasks(2)) == {Finding.ACTIVE: 2}
        with adapter(kind, there.url) as ours:
            await fails(ours, "certificate is not trusted")
        nowhere = str(tmp_path / "none.pem")
        with adapter(kind, there.url, ca_file=nowhere) as ours:
            await fails(ours, f"ca_file {nowhere}: No such file")
        (tmp_path / "bad.pem").write_text("no certificate")
        with adapter(kind, there.url, ca_file=str(tmp_path / "bad.pem")) as ours:
            await fails(ours, r"bad\.pem: ")
        with adapter(kind, there.url.replace("https", "http")) as ours:
            await fails(ours, r"127\.0\.0\.1")
        assert len(there.book.entries) == 2


@BOTH
async def test_authorities_that_are_renewed_are_trusted_from_the_next_call_on(
    kind: str, certificate: Certificate, tmp_path: Path
) -> None:
    """A registry's certificate changes over night; the operator puts the new authority into the file."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(made_certificate(tmp_path / "former").cert_file.read_bytes())
    cert, key = str(certificate.cert_file), str(certificate.key_file)
    async with registry(tls_cert_file=cert, tls_key_file=key) as there:
        with adapter(kind, there.url, ca_file=str(trusted)) as ours:
            await fails(ours, "certificate is not trusted")
            trusted.write_bytes(certificate.cert_file.read_bytes())
            assert await findings(ours.publish, tasks(1)) == {Finding.ACTIVE: 1}


@BOTH
async def test_a_certificate_of_another_name_is_refused(
    kind: str, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = str(certificate.cert_file), str(certificate.key_file)
    async with registry(tls_cert_file=cert, tls_key_file=key) as there:
        # The certificate names 127.0.0.1 and localhost; ::ffff:127.0.0.1 is the same machine by a third name.
        url = there.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
        with adapter(kind, url, ca_file=cert) as ours:
            await fails(ours, "certificate is not trusted")


async def test_a_connection_that_the_registry_closed_meanwhile_is_made_anew() -> None:
    closed = threading.Semaphore(0)
    body = b'{"items": [{"key": "1-0", "number": "+16175550000", "state": "active"}]}'

    def answer_once(connection: socket.socket) -> None:
        connection.recv(65_536)
        head = f"HTTP/1.1 202 x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.close()
        closed.release()

    with raw_server(answer_once) as url, adapter("rest", url) as ours:
        for _ in range(3):
            assert await findings(ours.publish, tasks(1)) == {Finding.ACTIVE: 1}
            assert await trio.to_thread.run_sync(partial(closed.acquire, timeout=PATIENCE_S))


def test_the_errors_that_are_caught_are_there() -> None:
    """What the checks above let pass when an answer is garbled are errors of these kinds."""
    assert issubclass(BadXml, ValueError)
    assert issubclass(xmlschema.XMLSchemaValidationError, ValueError)
    assert issubclass(ssl.SSLError, OSError)
