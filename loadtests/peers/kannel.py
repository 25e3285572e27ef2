"""Kannel as Debian packages it: bearerbox and smsbox.

Applications speak HTTP to its smsbox; an SMPP server for them (opensmppbox) is not packaged. So it is measured twice:
HTTP in and SMPP out, its usual place, and SMPP in and out: texts of one carrier rerouted to another inside bearerbox,
without smsbox, which is the shortest way there is through it. On the second path smshub gets exactly the same.

The store is bearerbox's: each text is written when it comes and struck out when it went, to a file or as a file of its
own in a spool; one that is rerouted is written as it comes and again as it goes. Nothing is synced. Logs are set to
errors alone, which is the kindest setting.
"""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from loadtests.peers.gateway import Gateway, Logged, is_listening, program, says, wait_until
from loadtests.processes import PASSWORD, Tool, free_ports

SENDER = "12125550100"
BEYOND = "12125550199"  # whom texts in transit are for: somebody behind the other carrier
TEXT = "x" * 100  # as the SMPP tools send
CONNECTIONS = 16  # from 4 to 64 rates differ by less than from run to run; with more, only waits grow
SOURCE_WINDOW = (
    100  # of the carrier that texts in transit come from; with 1,000 the rate is the same, waits are ten times
)
MAX_PENDING = 100  # submit_sm unanswered on the way out; its default is 10
ERRORS = "3"

CORE = """\
group = core
admin-port = {admin}
admin-password = {password}
admin-interface = "127.0.0.1"
smsbox-port = {smsbox}
smsbox-interface = "127.0.0.1"
box-allow-ip = "127.0.0.1"
dlr-storage = internal
{store}
"""
SMSC = """
group = smsc
smsc = smpp
smsc-id = {name}
host = 127.0.0.1
port = {port}
transceiver-mode = true
smsc-username = hub
smsc-password = {password}
system-type = ""
interface-version = 34
source-addr-ton = 1
source-addr-npi = 1
dest-addr-ton = 1
dest-addr-npi = 1
max-pending-submits = {pending}
{more}"""
SMSBOX = """
group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
sendsms-interface = "127.0.0.1"

group = sendsms-user
username = load
password = {password}
max-messages = 1

group = sms-service
keyword = default
catch-all = true
max-messages = 0
text = "unused"
"""


def store_lines(kind: str, location: Path) -> str:
    """The store's configuration: "file" at a path, "spool" in a directory that is there, "none". Raises: ValueError."""
    if kind == "none":
        return ""
    if kind not in ("file", "spool"):
        raise ValueError(f"no store of Kannel: {kind}")
    return f"store-type = {kind}\nstore-location = {location}"


def configuration(*, store: str, admin: int, smsbox: int, sendsms: int, carrier: int, source: int | None = None) -> str:
    """The file for both boxes.

    Args:
        store: what ``store_lines`` returns.
        admin, smsbox: ports of bearerbox.
        sendsms: port of smsbox's HTTP; bearerbox wants it in the file, also where there will be no smsbox.
        carrier: port of the carrier that texts go to.
        source: port of the carrier whose texts are rerouted to it; None without.
    """
    text = CORE.format(admin=admin, smsbox=smsbox, password=PASSWORD, store=store)
    links = {"carrier": (carrier, "")}
    if source is not None:  # without the names that are allowed, texts would go back to where they come from as well
        links = {
            "carrier": (carrier, "allowed-smsc-id = carrier\n"),
            "source": (source, "allowed-smsc-id = source\nreroute-smsc-id = carrier\n"),
        }
    for name, (port, more) in links.items():
        text += SMSC.format(name=name, port=port, password=PASSWORD, pending=MAX_PENDING, more=more)
    return text + SMSBOX.format(sendsms=sendsms, password=PASSWORD)


def target() -> str:
    """The request target of a text, for ``http_load``."""
    query = urllib.parse.urlencode({"username": "load", "password": PASSWORD, "from": SENDER, "text": TEXT})
    return f"/cgi-bin/sendsms?{query}&to={{customer}}"


class Kannel(Gateway):
    """What both paths share."""

    kind = "file"
    source: int | None = None

    def __init__(self, directory: Path, carrier: Tool) -> None:
        super().__init__(directory, carrier)
        self.admin, self.smsbox, self.sendsms, self.carrier_port = free_ports(4)

    def versions(self) -> str:
        (words, *_) = says(program("bearerbox", "kannel"), "--version").splitlines()
        return words.replace("bearerbox version ", "").replace("`", "").rstrip("'.")

    def bearerbox(self) -> None:
        """Start it between its carriers."""
        store = self.directory / "store"
        if self.kind == "spool":
            store.mkdir()
        config = self.directory / "kannel.conf"
        config.write_text(
            configuration(
                store=store_lines(self.kind, store),
                admin=self.admin,
                smsbox=self.smsbox,
                sendsms=self.sendsms,
                carrier=self.carrier_port,
                source=self.source,
            )
        )
        self.carrier.ask("listen", port=self.carrier_port)
        self.run(Logged([program("bearerbox", "kannel"), "-v", ERRORS, str(config)], self.directory / "bearerbox.log"))
        wait_until("listening", lambda: is_listening(self.smsbox), self)
        self.carrier.ask("bound")

    def status(self) -> str:
        """The status page, empty before there is one."""
        url = f"http://127.0.0.1:{self.admin}/status.txt?password={PASSWORD}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return ""


class KannelHttp(Kannel):
    """HTTP in, SMPP out, with the store as a file."""

    name = "Kannel, file store"
    path = "application"
    legs = "HTTP → SMPP"
    durability = "written to a file, not synced"
    load = f"{CONNECTIONS} connections"

    def start(self) -> None:
        self.bearerbox()
        config = str(self.directory / "kannel.conf")
        self.run(Logged([program("smsbox", "kannel"), "-v", ERRORS, config], self.directory / "smsbox.log"))
        wait_until("in touch", lambda: is_online(self.status()) and is_listening(self.sendsms), self)
        self.tool = self.stack.enter_context(Tool("loadtests.peers.http_load"))

    def positive(self) -> str:
        return "202"

    def send(self, count: int, customer: int) -> dict[str, Any]:
        return self.tool.ask(
            "load",
            300,
            port=self.sendsms,
            target=target(),
            connections=CONNECTIONS,
            count=count,
            customer=customer,
        )


class KannelHttpSpool(KannelHttp):
    """The same with a file for each text."""

    name = "Kannel, spool store"
    kind = "spool"
    durability = "a file for each text, not synced"
    share = 4


class KannelTransit(Kannel):
    """SMPP in, SMPP out: rerouted inside bearerbox."""

    name = "Kannel, file store"
    path = "transit"
    legs = "SMPP → SMPP"
    durability = "written to a file, not synced"
    load = f"window {SOURCE_WINDOW}"

    def start(self) -> None:
        (self.source,) = free_ports(1)
        self.tool = self.stack.enter_context(Tool("loadtests.smsc_sink"))
        self.tool.ask("listen", port=self.source)
        self.bearerbox()
        self.tool.ask("bound")

    def send(self, count: int, customer: int) -> dict[str, Any]:
        return self.tool.ask("load", 300, count=count, window=SOURCE_WINDOW, customer=customer, destination=BEYOND)


class KannelTransitNoStore(KannelTransit):
    """The same, in memory."""

    name = "Kannel, no store"
    kind = "none"
    durability = "in memory"


def is_online(status: str) -> bool:
    """Whether a status page of bearerbox shows its smsbox connected and a carrier bound."""
    return "on-line" in status and "(online" in status
