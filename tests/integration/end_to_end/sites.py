"""A hub as its operators run it: ``smshub run --config FILE`` as a process, between foreign peers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

from ops.cli import main
from tests.fixtures_prosody import COMPONENTS, SECRET, Prosody
from tests.integration.end_to_end.peers import PATIENCE_S, Account, Carrier, Peer, Person, until
from tests.servers import said_events

P = TypeVar("P", bound=Peer)

SMSHUB = Path(sys.executable).with_name("smshub")

DOMAIN, OTHER_DOMAIN = COMPONENTS
NUMBER = "+18005550100"  # of call centre acme: what customers know
REAL_NUMBER = "+16175550100"  # behind it
OTHER_NUMBER = "+12025550143"  # of call centre globex
CUSTOMER = "+16175551212"
PASSWORDS = {"agg1": "agg1pass", "agg2": "agg2pass"}

CONFIG = """
[store]
url = "{store}"

[smpp]
port = {smpp}
{smpps}

[metrics]
port = 0

[limits]
retry_first_s = 0.2
retry_longest_s = 1
reload_s = 0.2
drain_s = 5
{limits}

[[link]]
name = "carrier"
host = "127.0.0.1"
port = {carrier}
system_id = "smshub"
password = "carrier"
registered_delivery = "wanted"
{link}

[[account]]
system_id = "agg1"
password = "agg1pass"

[[account]]
system_id = "agg2"
password = "agg2pass"

[[call_centre]]
name = "acme"
key_phrases = ["new problem"]
products = ["Router", "Phone"]
{acme}

[[number]]
number = "{number}"
call_centre = "acme"
alias_of = "{real}"

[[desk]]
name = "acme"
call_centre = "acme"
domain = "{domain}"
port = {component}
secret = "{secret}"
director = "director@localhost"
receipt_on = "received"
{desk}

[[call_centre]]
name = "globex"
origin = "business"
origin_value = "GLOBEX"

[[number]]
number = "{other_number}"
call_centre = "globex"

[[desk]]
name = "globex"
call_centre = "globex"
domain = "{other_domain}"
port = {component}
secret = "{secret}"
director = "warden@localhost"

[[route]]
prefix = "*"
endpoint = "link:carrier"
"""


class Hub:
    """The daemon's process.

    Args:
        folder: where its file and log are.
        text: the configuration.
        options: further words of ``smshub run``.
    """

    def __init__(self, folder: Path, text: str, *options: str) -> None:
        self._options = options
        self.config = folder / "smshub.toml"
        self.config.write_text(text)
        self._log = folder / "smshub.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._read_from = 0
        self._told_to_stop = False

    def start(self) -> None:
        """Start it and wait until it serves."""
        self._told_to_stop = False
        self._read_from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(SMSHUB), "run", "--config", str(self.config), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.config.parent,
            )
        self.wait_logged("ready")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of this event since the last start."""
        return said_events(self._log, event, self._read_from)

    def wait_logged(self, event: str) -> dict[str, Any]:
        """Wait until it says so."""

        def look() -> list[dict[str, Any]]:
            if self._process is None or self._process.poll() is not None:
                pytest.fail(f"the hub ended:\n{self.log()}", pytrace=False)
            return self.logged(event)

        return dict(until(f"the hub's {event!r}", look)[0])

    def log(self) -> str:
        """The end of what it said."""
        return self._log.read_text()[-4000:] if self._log.exists() else ""

    def terminate(self) -> None:
        """Ask it to stop, once: a second word would end it at once."""
        assert self._process is not None
        self._told_to_stop = True
        self._process.send_signal(signal.SIGTERM)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Wait until it has ended. Returns: its exit status."""
        assert self._process is not None
        status = self._process.wait(within_s)
        self._process = None
        return status

    def stop(self) -> None:
        """Stop it, in order; a hub that does not, or says that something broke, is a failure."""
        if self._process is None:
            return
        if not self._told_to_stop:
            self.terminate()
        try:
            status = self.wait()
        except subprocess.TimeoutExpired:
            assert self._process is not None
            self._process.kill()
            self._process.wait()
            pytest.fail(f"the hub did not stop:\n{self.log()}", pytrace=False)
        assert status == 0, self.log()

    def command(self, *words: str, status: int = 0) -> str:
        """Run a command beside it as a process. Returns: its standard output, or its standard error when refused."""
        command = [str(SMSHUB), *words, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=self.config.parent)
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr if status else done.stdout

    def cli(self, *words: str, status: int = 0) -> str:
        """Run a command beside it as ``command`` does, but in this process: a second less for each."""
        done = CliRunner().invoke(main, [*words, "--config", str(self.config)], catch_exceptions=False)
        assert done.exit_code == status, f"{words}: {done.exit_code}\n{done.stdout}\n{done.stderr}"
        return done.stderr if status else done.stdout

    def json(self, *words: str) -> Any:
        """What a command says with ``--json``."""
        return json.loads(self.cli(*words, "--json"))


class Site:
    """A hub, its carrier, and whoever else a test brings in. Everything ends with ``close``.

    Attributes:
        hub, carrier, server: the daemon, node-smpp, Prosody.
        smpp_port, smpps_port: where accounts bind.
    """

    def __init__(
        self,
        folder: Path,
        server: Prosody,
        store: str,
        port: Callable[[], int],
        carrier: Carrier | None = None,
        **more: str,
    ) -> None:
        self.server = server
        self._peers: list[Peer] = []
        self.carrier = self.bring(carrier or Carrier())
        self.smpp_port, self.smpps_port = port(), port()
        told = {"smpps": "", "limits": "", "link": "", "acme": "", "desk": "", **more}
        text = CONFIG.format(
            store=store or f"sqlite:///{folder}/smshub.db",
            smpp=self.smpp_port,
            carrier=self.carrier.port,
            number=NUMBER,
            real=REAL_NUMBER,
            other_number=OTHER_NUMBER,
            domain=DOMAIN,
            other_domain=OTHER_DOMAIN,
            component=server.component_port,
            secret=SECRET,
            **{name: value.replace("SMPPS_PORT", str(self.smpps_port)) for name, value in told.items()},
        )
        self.hub = Hub(folder, text)

    def start(self) -> None:
        """Start the hub and wait until its carrier has it."""
        self.hub.start()
        self.carrier.expect("bound", mode="bind_transceiver", system_id="smshub")

    def bring(self, peer: P) -> P:
        """Take a peer into the site: it is stopped at the end."""
        self._peers.append(peer)
        return peer

    def person(self, name: str, domain: str = DOMAIN, resource: str = "slixmpp") -> Person:
        """Log somebody in, and let the desk know (XMPP documentation §5)."""
        person = self.bring(Person(self.server, name, resource))
        person.tell(do="presence", to=domain)
        return person

    def account(self, system_id: str = "agg1", password: str = "") -> Account:
        """Bind an aggregator."""
        account = self.bring(Account(self.smpp_port, system_id, password or PASSWORDS[system_id]))
        account.expect("bound")
        return account

    def close(self) -> None:
        """End everything, the hub first: it says goodbye to the others."""
        try:
            self.hub.stop()
        finally:
            for peer in reversed(self._peers):
                peer.stop()
