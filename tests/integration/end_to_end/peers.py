"""Foreign programs as peers: node-smpp as the carrier, smpplib as an aggregator, slixmpp as directors and CSRs.

Each is a process that obeys and tells in lines of JSON (tests/peers). What it tells is kept until a test asks for it:
peers of one hub tell at once, and no test should depend on who was first.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_prosody import PASSWORD as DESK_PASSWORD
from tests.fixtures_prosody import VHOST, Prosody

ROOT = Path(__file__).parents[3]
PEERS = ROOT / "tests" / "peers"
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
NODE_MODULES = ROOT / "var" / "node" / "node_modules"

PATIENCE_S = 60.0
THREAD = "urn:smshub:thread:1"

Told = dict[str, Any]


class Peer:
    """A process that obeys and tells in lines of JSON.

    Args:
        name: for failures.
        command: how it is started.
        environment: added to ours.
    """

    def __init__(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **(environment or {})},
        )
        self._changed = threading.Condition()
        self._told: list[Told] = []
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._changed:
                self._told.append(told)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def tell(self, **order: Any) -> None:
        """Give an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def expect(self, event: str, within_s: float = PATIENCE_S, **facts: Any) -> Told:
        """Wait for the first thing told that is of this kind and says these facts, and take it."""
        return self.expect_many(1, event, within_s, **facts)[0]

    def expect_many(self, count: int, event: str, within_s: float = PATIENCE_S, **facts: Any) -> list[Told]:
        """Wait for so many, and take them, in the order in which they were told."""
        until = time.monotonic() + within_s
        with self._changed:
            while True:
                found = [told for told in self._told if _says(told, event, facts)][:count]
                if len(found) == count:
                    self._told = [told for told in self._told if not any(told is taken for taken in found)]
                    return found
                left = until - time.monotonic()
                if left <= 0 or self._ended:
                    why = "ended" if self._ended else f"did not within {within_s:g} s"
                    pytest.fail(
                        f"{self.name} should tell {count} × {event} {facts} and {why}; it told {self._told}",
                        pytrace=False,
                    )
                self._changed.wait(left)

    def heard(self, event: str, **facts: Any) -> list[Told]:
        """What of this kind was told and not taken yet."""
        with self._changed:
            return [told for told in self._told if _says(told, event, facts)]

    def stop(self) -> None:
        """End it. It may have ended already."""
        if self._process.stdout.closed:
            return
        with contextlib.suppress(OSError, ValueError):
            self.tell(do="quit")
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        self._process.stdout.close()


def _says(told: Told, event: str, facts: dict[str, Any]) -> bool:
    return told["event"] == event and all(told.get(name) == value for name, value in facts.items())


class Carrier(Peer):
    """node-smpp as a carrier's SMSC (tests/peers/node/smpp_carrier.js).

    Args:
        tls: files of a key and its certificate, when it shall speak TLS.
    """

    PASSWORD = "carrier"

    def __init__(self, *tls: str) -> None:
        node = shutil.which("node")
        if node is None or not (NODE_MODULES / "smpp").exists():
            pytest.fail("node, or var/node/node_modules/smpp, is missing: ops/setup/setup peers", pytrace=False)
        script = str(PEERS / "node" / "smpp_carrier.js")
        super().__init__("node-smpp", [node, script, self.PASSWORD, *tls], {"NODE_PATH": str(NODE_MODULES)})
        self.port = int(self.expect("port")["port"])
        self._keys = 0

    def text(self, customer: str, number: str, text: str, **more: Any) -> Told:
        """A customer texts a number, and the hub answers for it. Returns: the answer."""
        self._keys += 1
        key = f"t{self._keys}"
        coding = 0 if text.isascii() else 8
        order = {"coding": coding, **more, "key": key, "from": customer.lstrip("+"), "to": number.lstrip("+")}
        self.tell(do="text", text=text, **order)
        return self.expect("answered", key=key)

    def report(self, taken: Told, state: str = "DELIVRD", shape: str = "both", **more: Any) -> None:
        """Send the receipt of a submit_sm that it told of, and see that the hub takes it."""
        order = {"from": taken["destination"][2], "to": taken["source"][2], **more}
        self.tell(do="receipt", id=taken["id"], state=state, shape=shape, **order)
        assert self.expect("answered", key=f"receipt {taken['id']}")["status"] == 0


class Account(Peer):
    """smpplib as an aggregator's ESME (tests/peers/smpplib_account.py)."""

    def __init__(self, port: int, system_id: str, password: str, *tls: str) -> None:
        if not PEER_PYTHON.exists():
            pytest.fail("smpplib is not installed in .venv-peers: ops/setup/setup peers", pytrace=False)
        script = str(PEERS / "smpplib_account.py")
        super().__init__("smpplib", [str(PEER_PYTHON), script, str(port), system_id, password, *tls])
        self._keys = 0

    def text(self, source: str, destination: str, text: str, *, receipt: bool = False, parts: int = 1) -> list[Told]:
        """Submit a text, and wait for the answers to all its parts. Returns: the answers."""
        self._keys += 1
        key = f"t{self._keys}"
        order = {"from": source.lstrip("+"), "to": destination.lstrip("+"), "text": text, "receipt": receipt}
        self.tell(do="text", key=key, **order)
        return self.expect_many(parts, "taken", key=key)


class Person(Peer):
    """slixmpp as a director's or CSR's client (tests/peers/slixmpp_csr.py).

    Attributes:
        jid: its bare JID.
    """

    def __init__(self, server: Prosody, name: str, resource: str = "slixmpp") -> None:
        server.add_user(name)
        self.jid = f"{name}@{VHOST}"
        command = [str(PEER_PYTHON), str(PEERS / "slixmpp_csr.py"), f"{self.jid}/{resource}", DESK_PASSWORD]
        super().__init__(name, [*command, "127.0.0.1", str(server.c2s_port)])
        self.expect("ready")
        self._ids = 0

    def text(self, body: str = "", **facts: Any) -> Told:
        """Wait for a customer's text."""
        return self.expect("message", **({"body": body} if body else {}), **facts)

    def say(self, to: str, body: str, *, token: str = "", receipt: bool = True) -> str:
        """Write to a customer. Returns: the stanza's id."""
        own = self._own()
        self.tell(do="say", to=to, id=own, body=body, token=token, request=receipt)
        return own

    def command(self, domain: str, verb: str, inner: str = "", kind: str = "set", **marks: str) -> Told:
        """Give a command. Returns: the answer."""
        own = self._own()
        attributes = "".join(f" {name}='{value}'" for name, value in marks.items())
        self.tell(do="iq", to=domain, id=own, type=kind, xml=f"<{verb} xmlns='{THREAD}'{attributes}>{inner}</{verb}>")
        return self.expect("iq", id=own)

    def _own(self) -> str:
        self._ids += 1
        return f"{self.name}-{self._ids}"


def until(what: str, look: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """Wait until ``look`` sees something in a real process. Returns: what it saw."""
    give_up_at = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > give_up_at:
            pytest.fail(f"{what} was not so within {within_s:g} s", pytrace=False)
        time.sleep(0.05)
    return seen
