"""A customer opts out and in again: a running hub between node-smpp, Prosody with slixmpp, and smpplib."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import pytest

from tests.fixtures_sites import Open
from tests.integration.end_to_end.peers import NODE_MODULES, PEERS, Peer, Person, until
from tests.integration.end_to_end.sites import CUSTOMER, NUMBER, PASSWORDS

ESME_ROK, ESME_RINVDSTADR = 0, 0x0B
OUT = "Acme Support: You are opted out and will get no more texts. Reply START to opt in again."
IN = "Acme Support: You are opted in again."
THREAD = "urn:smshub:thread:1"
STORES = ["sqlite", "postgresql"]


def refused(person: Person, to: str, token: str) -> None:
    """An answer comes back with the typed error."""
    own = person.say(to, "Are you sure?", token=token)
    error = person.expect("error", id=own)
    assert (error["type"], error["names"]) == ("modify", ["policy-violation", "opted-out"])


class NodeAccount(Peer):
    """node-smpp as an aggregator's ESME (tests/peers/node/smpp_account.js)."""

    def __init__(self, port: int) -> None:
        node = shutil.which("node")
        if node is None or not (NODE_MODULES / "smpp").exists():
            pytest.fail("node, or var/node/node_modules/smpp, is missing: ops/setup/setup peers", pytrace=False)
        command = [node, str(PEERS / "node" / "smpp_account.js"), str(port), "agg1", PASSWORDS["agg1"]]
        super().__init__("node-smpp", command, {"NODE_PATH": str(NODE_MODULES)})
        self.expect("bound", status=ESME_ROK)
        self._keys = count()

    def offer(self) -> int:
        """Send the customer something as the call centre's number. Returns: the status of the answer."""
        key = f"o{next(self._keys)}"
        self.tell(key=key, text="An offer.", **{"from": NUMBER[1:], "to": CUSTOMER[1:]})
        return int(self.expect("taken", key=key)["status"])


@pytest.mark.parametrize("store", STORES)
def test_out_and_in_again(open_site: Open, store: str) -> None:
    site = open_site(store, acme='title = "Acme Support"')
    carrier, director = site.carrier, site.person("director")
    site.start()
    site.hub.cli("provision", "account", "set", "agg1", "--allowed-sources", "*")
    site.hub.wait_logged("catalog loaded")
    account = site.bring(NodeAccount(site.smpp_port))

    carrier.text(CUSTOMER, NUMBER, "My router is red")
    heard = director.text("My router is red")
    assert heard["opt_out"] is None
    assert account.offer() == ESME_ROK
    carrier.expect("submit", text="An offer.")

    assert carrier.text(CUSTOMER, NUMBER, "Stop.")["status"] == 0
    confirmation = carrier.expect("submit", text=OUT)
    assert (confirmation["source"][2], confirmation["destination"][2]) == (NUMBER[1:], CUSTOMER[1:])
    word = director.text("Stop.")
    assert (word["opt_out"], word["news"], word["token"]) == ("stop", "continued", heard["token"])
    refused(director, heard["sender"], heard["token"])
    assert account.offer() == ESME_RINVDSTADR

    # The desk's one request; the same element again is refused.
    for own in ("ask-1", "ask-2"):
        director.tell(
            do="raw",
            xml=f"<message to='{heard['sender']}' id='{own}' type='chat'><body>Reply START, please.</body>"
            f"<opt-in-request xmlns='{THREAD}'/></message>",
        )
    carrier.expect("submit", text="Reply START, please.")
    assert director.expect("error", id="ask-2")["names"] == ["policy-violation", "opted-out"]

    assert carrier.text(CUSTOMER, NUMBER, "START")["status"] == 0
    assert director.text("START")["opt_out"] == "start"
    until("the welcome", lambda: [s for s in carrier.heard("submit") if s["text"].startswith(IN)])
    director.say(heard["sender"], "Welcome back.", token=heard["token"])
    carrier.expect("submit", text="Welcome back.")
    assert account.offer() == ESME_ROK
    carrier.expect("submit", text="An offer.")

    shown = site.hub.json("opt-out", "show", NUMBER, CUSTOMER)
    assert not shown["is_out"]
    assert [(line["action"], line["how"], line["word"]) for line in shown["audit"]] == [
        ("out", "keyword", "stop"),
        ("override", "desk", ""),
        ("in", "keyword", "start"),
    ]
    assert [line["who"] for line in shown["audit"]] == ["link:carrier", "director@localhost", "link:carrier"]


@pytest.mark.parametrize("store", STORES)
def test_the_ledger_by_the_command_line_beside_a_running_hub(open_site: Open, store: str, tmp_path: Path) -> None:
    site = open_site(store)
    carrier, director = site.carrier, site.person("director")
    site.start()
    carrier.text(CUSTOMER, NUMBER, "hello")
    heard = director.text("hello")
    cli = site.hub.cli

    cli("opt-out", "add", NUMBER, CUSTOMER, "--reason", "on the telephone")
    assert "already" in cli("opt-out", "add", NUMBER, CUSTOMER)

    tries = count()

    def is_refused() -> bool:
        body = f"still there? {next(tries)}"
        own = director.say(heard["sender"], body, token=heard["token"])
        until("an answer", lambda: director.heard("error", id=own) or carrier.heard("submit", text=body))
        # While the hub is away, the server answers for it.
        return any("opted-out" in error["names"] for error in director.heard("error", id=own))

    until("the hub's notice of it", is_refused)
    exported = tmp_path / "out.csv"
    assert "1 lines" in cli("opt-out", "export", str(exported))
    assert exported.read_text().splitlines()[0] == "number,customer,state,since,how"
    assert f"{NUMBER},{CUSTOMER},out," in exported.read_text()

    told = cli("opt-out", "remove", NUMBER, CUSTOMER, status=2)
    assert "--reason" in told
    cli("opt-out", "remove", NUMBER, CUSTOMER, "--reason", "letter")
    assert "is not out" in cli("opt-out", "remove", NUMBER, CUSTOMER, "--reason", "letter", status=2)
    director.say(heard["sender"], "Back again.", token=heard["token"])
    carrier.expect("submit", text="Back again.")
    assert cli("opt-out", "list").strip() == "none"
    assert "1 older" in cli("opt-out", "import", str(exported)), "an old list undoes nothing"

    lines = ["number,customer,state,since,how", f"{NUMBER},{CUSTOMER},perhaps,,", f"call-centre:acme,{CUSTOMER},out,,"]
    exported.write_text("\n".join(lines) + "\n")
    told = cli("opt-out", "import", str(exported), status=2)
    assert f"{exported}:2: state is 'perhaps'" in told
    assert "nothing was changed" in told
    assert "1 changed" in cli("opt-out", "import", "--skip-bad", str(exported))
    until("the hub's notice of the import", is_refused)
    [entry] = site.hub.json("opt-out", "list")
    assert (entry["number"], entry["customer"], entry["how"]) == ("call-centre:acme", CUSTOMER, "import")
    site.hub.stop()
    site.hub.start()
    until("the hub's memory of it", is_refused)
    assert not [told for told in carrier.heard("submit") if told["text"] == f"still there? {next(tries) - 1}"]
