"""Bad input from a desk's server, at a real daemon: XML that must not be, tokens that are not, numbers that are none.

Each gets the protocol's own error, moves a counter, and is told in a line of the log without contents. The honest
session beside it, and another call centre's desk, notice nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.faults.process import NUMBER, SECRET, until
from tests.faults.scene import open_scene
from tests.faults.strangers import ANSWER_S, Honest, Watch, never_logged
from translators.xmpp.component import ComponentStream, Phase, Role
from translators.xmpp.stanzas import THREAD_NS, TOKEN
from translators.xmpp.stream import Element

pytestmark = pytest.mark.slow

BODY = "B0DY-0F-A-STRANGER"
CUSTOMER = "+16175559999"
ARABIC_DIGITS = "+" + "\u0661\u0666\u0661\u0667\u0665\u0665\u0665\u0661\u0662"
OTHER_NUMBER = "+18005550200"

LAUGHS = (
    f"<!DOCTYPE lolz [<!ENTITY lol '{BODY}'><!ENTITY lol2 '&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;'>"
    "<!ENTITY lol3 '&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;'>]><message>&lol3;</message>"
)
BAD_XML: dict[str, tuple[bytes, str]] = {
    # name: what is sent within the stream, the stream error's condition (RFC 6120 §4.9.3)
    "dtd": (b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><message/>", "not-well-formed restricted-xml"),
    "laughs": (LAUGHS.encode(), "not-well-formed restricted-xml"),
    "entity": (f"<message><body>&{BODY};</body></message>".encode(), "not-well-formed restricted-xml"),
    "comment": (f"<message><!-- {BODY} --></message>".encode(), "restricted-xml"),
    "instruction": (f"<message><?php {BODY} ?></message>".encode(), "restricted-xml"),
    "depth": (b"<message>" + b"<a>" * 200_000, "policy-violation"),  # a deep one that ends costs itself only
    "size": (b"<message><body>" + BODY.encode() * 40_000, "policy-violation"),
    "attribute": (b"<message id='" + b"x" * 600_000, "policy-violation"),
    "mismatch": (f"<message><body>{BODY}</message></body>".encode(), "not-well-formed"),
    "utf8": (b"<message><body>" + BODY.encode() + b"\xff\xfe\xc0\x80</body></message>", "not-well-formed"),
    "nul": (b"<message><body>\0</body></message>", "not-well-formed"),
    "text": (f"<message/>{BODY}<message/>".encode(), "bad-format"),
    "http": (f"HTTP/1.1 400 Bad Request\r\n\r\n{BODY}".encode(), "bad-format not-well-formed"),
}
HUNG_UP = b"(hung up)"


def _centre(name: str, number: str, port: int) -> str:
    return f"""
[[call_centre]]
name = "{name}"
default_number = "{number}"
default_link = "link:carrier"

[[number]]
number = "{number}"
call_centre = "{name}"

[[desk]]
name = "{name}"
call_centre = "{name}"
domain = "sms.{name}.example"
port = {port}
secret = "{SECRET}"
director = "director@{name}.example"
"""


async def test_xml_that_must_not_be_ends_its_own_stream_only(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """A desk for each kind of bad XML, all on one daemon."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    domains = {f"sms.{name}.example": name for name in BAD_XML}
    tail = "".join(_centre(name, f"+1800556{at:04d}", port) for at, name in enumerate(BAD_XML))
    said: dict[str, bytes] = {}

    async def misbehave(stream: trio.SocketStream) -> None:
        machine = ComponentStream(Role.ACCEPT, secret=SECRET, domains=tuple(domains), stream_id=secrets.token_hex(8))
        async with stream:
            octets = b""
            while machine.phase is not Phase.OPEN:
                data = await stream.receive_some()
                octets += data
                machine.receive(bytes(data))
                await stream.send_all(machine.take_octets())
            name = next(name for domain, name in domains.items() if f"'{domain}'".encode() in octets)
            if name in said:  # it came back, as it should
                await trio.sleep_forever()
            rest = b""
            with trio.fail_after(ANSWER_S):
                try:
                    await stream.send_all(BAD_XML[name][0])
                    while data := await stream.receive_some():
                        rest += data
                except trio.BrokenResourceError:  # it hung up while we were still talking: its words may be lost
                    rest += HUNG_UP
            said[name] = rest

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, misbehave, listeners)
        url = f"sqlite:///{tmp_path / 'hub.db'}"
        async with open_scene(tmp_path, url, unused_tcp_port_factory, 7, start=False, tail=tail) as scene:
            daemon = scene.daemon
            await daemon.start()
            await scene.wait_up()
            honest = Honest(scene)
            nursery.start_soon(honest.run)
            await until(lambda: len(said) == len(BAD_XML), 2 * ANSWER_S, "what was asked for")
            for name, (_, conditions) in BAD_XML.items():
                heard = said[name]
                assert HUNG_UP in heard or any(f"<{c} ".encode() in heard for c in conditions.split()), (name, heard)
            watch = Watch(daemon, {})
            for name in BAD_XML:
                await watch.counted("smshub_peer_faults_total", f'endpoint="desk:{name}"', 'fault="stream-')
            lines = [line for line in daemon.log_lines() if line["event"] == "desk is not connected"]
            assert {line["desk"] for line in lines} == set(BAD_XML)
            assert scene.desk.connections == 1, "the honest desk noticed"
            await honest.finish()
            never_logged(daemon, (BODY, SECRET, "/etc/passwd"))
        nursery.cancel_scope.cancel()


class _Answers:
    """What a desk is sent back, by the id of its stanza."""

    def __init__(self) -> None:
        self.errors: dict[str, Element] = {}
        self.results: set[str] = set()
        self.token = ""

    def take(self, stanza: Element) -> None:
        if stanza.get("type") == "error":
            self.errors[stanza.get("id")] = stanza
        elif stanza.name == "iq":
            self.results.add(stanza.get("id"))
        else:
            token = stanza.child(TOKEN)
            if token is not None:
                self.token = token.text


async def test_tokens_and_numbers_that_are_none(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    """Unknown, expired, foreign and misspelt tokens; numbers that are no numbers; senders who may not."""
    other = _Answers()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    tail = _centre("other", OTHER_NUMBER, listeners[0].socket.getsockname()[1])

    async def serve_other(stream: trio.SocketStream) -> None:
        machine = ComponentStream(Role.ACCEPT, secret=SECRET, domains=("sms.other.example",), stream_id="o1")
        async with stream:
            while data := await stream.receive_some():
                for stanza in machine.receive(bytes(data)):
                    other.take(stanza)
                    if stanza.name == "iq" and stanza.get("type") == "get":
                        own, to = stanza.get("id"), stanza.get("from")
                        await stream.send_all(f"<iq type='result' id='{own}' from='other.example' to='{to}'/>".encode())
                await stream.send_all(machine.take_octets())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve_other, listeners)
        url = f"sqlite:///{tmp_path / 'hub.db'}"
        async with open_scene(tmp_path, url, unused_tcp_port_factory, 8, tail=tail) as scene:
            daemon, desk, load = scene.daemon, scene.desk, scene.load
            mine = _Answers()
            desk.on_stanza = mine.take
            honest = Honest(scene)
            nursery.start_soon(honest.run)
            # A thread of each call centre, and one that is over.
            for customer, number in ((CUSTOMER, OTHER_NUMBER), ("+16175558888", NUMBER), (CUSTOMER, NUMBER)):
                text = load._next("B", int(customer[-1]) + (number == NUMBER))
                text.wants_receipt = False
                await scene.carrier.ask(scene.carrier.customer_text(text, customer, number, 1))
                if number == OTHER_NUMBER:
                    await until(lambda: bool(other.token), 2 * ANSWER_S, "what was asked for")
                    scene.desk.pen.took(text.name, session=0)  # the other desk has it
            await until(lambda: len(desk.tokens) >= 2, 2 * ANSWER_S, "what was asked for")
            expired = desk.tokens["+16175558888"]
            desk.send(
                f"<iq from='director@desk.example/acd' to='sms.desk.example' id='rel' type='set'>"
                f"<release xmlns='{THREAD_NS}' token='{expired}'/></iq>"
            )
            await until(lambda: "rel" in mine.results, 2 * ANSWER_S, "what was asked for")
            good = desk.tokens[CUSTOMER]
            unknown = "a" * 25 + "i"
            cases: dict[str, tuple[str, str, str, str]] = {
                # id: to whom, token, the element of the hub's namespace, RFC 6120's condition
                "unknown": (CUSTOMER, unknown, "unknown-token", "item-not-found"),
                "expired": ("+16175558888", expired, "expired-token", "gone"),
                "foreign": (CUSTOMER, other.token, "foreign-token", "forbidden"),
                "misspelt": (CUSTOMER, "NO TOKEN AT ALL", "unknown-token", "item-not-found"),
                "endless": (CUSTOMER, "a" * 10_000, "unknown-token", "item-not-found"),
                "another": ("+16175557777", good, "bad-destination", "jid-malformed"),
                "letters": ("nobody", "", "bad-destination", "jid-malformed"),
                "zero": ("+0", "", "bad-destination", "jid-malformed"),
                "long": ("+161755512129999999", "", "bad-destination", "jid-malformed"),
                "arabic": (
                    "+\u0661\u0666\u0661\u0667\u0665\u0665\u0665\u0661\u0662",
                    "",
                    "bad-destination",
                    "jid-malformed",
                ),
                "sign": ("-16175551212", "", "bad-destination", "jid-malformed"),
            }
            for own_id, (customer, token, element, condition) in cases.items():
                watch = await Watch.begin(daemon)
                desk.write(own_id, customer, BODY, token, receipt=True)
                await until(partial(mine.errors.__contains__, own_id), 2 * ANSWER_S, f"an answer to {own_id}")
                error = mine.errors[own_id].child("error")
                assert error is not None, own_id
                names = [child.name.rpartition(" ")[2] for child in error.children]
                assert condition in names, (own_id, names)
                assert element in names, (own_id, names)
                if element in ("bad-destination",):
                    moved = await _either_counted(watch)
                    assert moved, own_id
                else:
                    await watch.counted("smshub_refused_total", "desk:acme", f'reason="{element}"')
                    await watch.logged("arrivals refused", endpoint="desk:acme", reasons={element: 1})
            watch = await Watch.begin(daemon)
            desk.send(
                f"<message from='mallory@elsewhere.example/x' to='{CUSTOMER}@sms.desk.example' id='mallory'>"
                f"<body>{BODY}</body></message>"
            )
            await until(lambda: "mallory" in mine.errors, 2 * ANSWER_S, "what was asked for")
            await watch.counted("smshub_peer_faults_total", "desk:acme", 'fault="forbidden"')
            await watch.logged("stanza refused", reason="forbidden", desk="acme")
            assert desk.connections == 1
            await honest.finish()
            never_logged(daemon, (BODY, SECRET, unknown, expired, good, other.token, "NO TOKEN"))
            assert other.errors == {}
        nursery.cancel_scope.cancel()


async def _either_counted(watch: Watch) -> bool:
    """A destination that is none is seen by the translator where it is no JID of ours, else by the hub's routing."""
    with trio.move_on_after(ANSWER_S):
        while True:
            now = await watch._daemon.metrics()
            for name, value in now.items():
                if ("malformed-address" in name or "bad-destination" in name) and value > watch._before.get(name, 0):
                    return True
            await trio.sleep(0.05)
    return False
