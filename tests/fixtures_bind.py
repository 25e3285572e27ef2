"""Private name servers: BIND and Knot, on loopback, each with a zone of numbers that signed updates may change.

They run as whoever runs the tests. A machine without them fails the tests that need them: skipping would look like
passing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.servers import wait_or_kill

ZONE = "e164.test"
GUARDED_ZONE = "guarded.test"  # BIND's: it looks at the key before it looks at names
START_S = 60.0

NAMES = ("hub-key", "other-key", "reader-key")  # may update, may update as well, may only look
SECRETS = {name: b64encode(sha256(name.encode()).digest()).decode() for name in NAMES}
LIMITED = "limited-key"  # may update numbers of +1617 only
SECRETS[LIMITED] = b64encode(sha256(LIMITED.encode()).digest()).decode()

ZONE_FILE = f"""$TTL 300
@ IN SOA ns.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 60
@ IN NS ns.{ZONE}.
ns IN A 127.0.0.1
"""

BIND = """
options {{
    directory "{home}";
    pid-file "{home}/named.pid";
    session-keyfile "{home}/session.key";
    managed-keys-directory "{home}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer {{ none; }};
}};
controls {{ }};
{keys}
zone "{zone}" {{
    type primary;
    file "{home}/zone";
    max-journal-size 20m;
    {signing}
    update-policy {{
        grant hub-key subdomain {zone};
        grant other-key subdomain {zone};
        grant limited-key subdomain 7.1.6.1.{zone};
    }};
}};
zone "{guarded}" {{
    type primary;
    file "{home}/guarded";
    allow-update {{ key hub-key; }};
}};
"""

KNOT = """
server:
    rundir: {home}
    listen: 127.0.0.1@{port}
log:
  - target: {home}/knot.log
    any: info
database:
    storage: {home}/db
key:
{keys}
acl:
  - id: updates
    key: [hub-key, other-key]
    action: update
  - id: looks
    key: reader-key
    action: query
zone:
  - domain: {zone}
    storage: {home}
    file: zone
    acl: [updates, looks]
    zonefile-sync: -1
"""


class NameServer:
    """A running server.

    Attributes:
        port: of TCP and UDP on 127.0.0.1.
        home: its folder.
    """

    def __init__(self, home: Path, port: int, command: list[str]) -> None:
        self.home, self.port, self._command = home, port, command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers for the zone."""
        with (self.home / "stdout").open("ab") as stdout:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT, cwd=self.home
            )
        until = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                log = (self.home / "stdout").read_text(errors="replace")[-4000:]
                self.stop()
                pytest.fail(f"{self._command[0]} did not start:\n{log}", pytrace=False)
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        if self._process is None:
            return
        self._process.terminate()
        wait_or_kill(self._process, 30)
        self._process = None

    def _answers(self) -> bool:
        try:
            answer = dns.query.tcp(dns.message.make_query(ZONE, "SOA"), "127.0.0.1", port=self.port, timeout=2)
        except (OSError, dns.exception.DNSException, EOFError):
            return False
        return answer.rcode() == dns.rcode.NOERROR and bool(answer.answer)


def _program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is None:
        pytest.fail(f"{name} is missing: run 'ops/setup/setup system'", pytrace=False)
    return found


def make_named(home: Path, port: int) -> NameServer:
    """A BIND that is not started yet, of the configuration that ``home`` holds then."""
    return NameServer(home, port, [_program("named"), "-g", "-c", str(home / "named.conf"), "-n", "1", "-U", "1"])


def make_bind(home: Path, port: int, *, dnssec: bool = False) -> NameServer:
    """A BIND that is not started yet, with a fresh zone in ``home``, which it signs when that is asked for."""
    keys = "\n".join(
        f'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};' for name, secret in SECRETS.items()
    )
    (home / "zone").write_text(ZONE_FILE)
    (home / "guarded").write_text(ZONE_FILE.replace(ZONE, GUARDED_ZONE))
    signing = f'key-directory "{home}"; dnssec-policy default; inline-signing no;' if dnssec else ""
    told = {"home": home, "port": port, "keys": keys, "zone": ZONE, "guarded": GUARDED_ZONE, "signing": signing}
    (home / "named.conf").write_text(BIND.format(**told))
    return make_named(home, port)


def make_knot(home: Path, port: int) -> NameServer:
    """A Knot that is not started yet, with a fresh zone in ``home``."""
    keys = "\n".join(
        f"  - id: {name}\n    algorithm: hmac-sha256\n    secret: {secret}" for name, secret in SECRETS.items()
    )
    (home / "zone").write_text(ZONE_FILE)
    (home / "db").mkdir()
    (home / "knot.conf").write_text(KNOT.format(home=home, port=port, keys=keys, zone=ZONE))
    return NameServer(home, port, [_program("knotd"), "-c", str(home / "knot.conf")])


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Callable[[], int]) -> Iterator[NameServer]:
    """A private BIND, for a module."""
    server = make_bind(tmp_path_factory.mktemp("bind"), unused_tcp_port_factory())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def knot(tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Callable[[], int]) -> Iterator[NameServer]:
    """A private Knot, for a module."""
    server = make_knot(tmp_path_factory.mktemp("knot"), unused_tcp_port_factory())
    server.start()
    yield server
    server.stop()
