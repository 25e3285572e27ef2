"""``smshub`` beside a running daemon: what an operator does, and what the daemon makes of it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from tests.fixtures_sites import Open
from tests.integration.end_to_end.peers import Account, until
from tests.integration.end_to_end.sites import CUSTOMER, DOMAIN, NUMBER, Site

NEW_NUMBER = "+12025550199"
ESME_RINVDSTADR = 0x0B


@pytest.fixture
def site(open_site: Open) -> Iterator[Site]:
    """A site whose hub runs."""
    site = open_site()
    site.start()
    return site


def test_check(open_site: Open) -> None:
    """A good file is good before and after its store exists; a bad one is refused with all its lines."""
    hub = open_site().hub
    assert "store empty" in hub.command("check")
    assert "store: empty" in hub.cli("db", "show")
    assert not (hub.config.parent / "smshub.db").exists(), "a check changes nothing"
    hub.start()
    assert "no errors; 10 entries; store schema" in hub.cli("check")
    text = hub.config.read_text()
    wrong = text.replace("drain_s = 5", "drain_s = -5").replace('origin = "business"', 'orgin = "business"')
    wrong = wrong.replace('endpoint = "link:carrier"', 'endpoint = "carrier"')
    hub.config.write_text(wrong)
    lines = dict(enumerate(wrong.splitlines(), 1))
    told = hub.command("check", status=2)
    found = {lines[int(number)] for number in re.findall(r"smshub\.toml:(\d+): ", told)}
    assert {"drain_s = -5", 'orgin = "business"', 'endpoint = "carrier"'} <= found, told
    assert "did you mean 'origin'" in hub.cli("check", status=2)
    hub.config.write_text(text + "[[number\n")
    assert f":{len(text.splitlines()) + 1}: " in hub.cli("check", status=2)
    hub.config.write_text(text)
    store, program = hub.cli("db", "show").splitlines()
    assert store.removeprefix("store: ") == program.removeprefix("program: ") != "empty"


def test_what_stands_in_the_way_is_named(open_site: Open) -> None:
    """A port that is taken, a certificate that is none, a carrier that does not answer."""
    site = open_site()
    hub = site.hub
    good = hub.config.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = hub.command("run", "--set", f"smpp.port={port}", status=2)
        assert f"Address already in use: smpp 127.0.0.1:{port}" in told
        told = hub.command("run", "--set", f"metrics.port={port}", status=2)
        assert f"Address already in use: metrics 127.0.0.1:{port}" in told
    (hub.config.parent / "none.pem").write_text("no certificate")
    tls = f'tls_port = {site.smpps_port}\ntls_cert_file = "none.pem"\ntls_key_file = "none.pem"\n'
    hub.config.write_text(good.replace("[smpp]\n", f"[smpp]\n{tls}"))
    assert "none.pem" in hub.command("run", status=2)

    hub.config.write_text(good)
    site.carrier.stop()
    hub.start()
    cause = hub.wait_logged("smpp connect failed")["cause"]
    assert cause.startswith("ConnectionRefusedError: ")
    assert cause.endswith("Connection refused")


def test_a_number_is_provisioned_while_it_runs(site: Site) -> None:
    director, carrier = site.person("director"), site.carrier
    # What no route and no call centre covers would be refused; this one goes back to the carrier by the route to all.
    assert site.hub.cli("provision", "route", "remove", "*", "link:carrier") == "removed route *→link:carrier\n"
    until("the new table", lambda: carrier.text(CUSTOMER, NEW_NUMBER, "early")["status"] == ESME_RINVDSTADR)
    assert (
        site.hub.cli("provision", "number", "add", NEW_NUMBER, "--call-centre", "acme")
        == f"added number {NEW_NUMBER}\n"
    )
    until("the new number", lambda: carrier.text(CUSTOMER, NEW_NUMBER, "in time")["status"] == 0, within_s=5)
    assert director.text("in time")["sender"] == f"{CUSTOMER}@{DOMAIN}/{NEW_NUMBER}"
    numbers = site.hub.json("provision", "number", "list", "--call-centre", "acme")
    assert {each["number"] for each in numbers} >= {NUMBER, NEW_NUMBER}
    assert site.hub.json("provision", "number", "show", NEW_NUMBER)["call_centre"] == "acme"
    audit = site.hub.json("audit", "list", "--limit", "2")
    assert [(each["action"], each["kind"], each["key"]) for each in audit] == [
        ("added", "number", NEW_NUMBER),
        ("removed", "route", "*→link:carrier"),
    ]
    site.hub.cli("provision", "number", "set", NEW_NUMBER, "--state", "suspended")
    until("the suspension", lambda: carrier.text(CUSTOMER, NEW_NUMBER, "late")["status"] == ESME_RINVDSTADR)
    refused = site.hub.cli("provision", "number", "add", NUMBER, "--call-centre", "globex", status=2)
    assert NUMBER in refused


def test_dead_letters(site: Site) -> None:
    """One is sent again by request, one is given up; what waits can be given up as well, and its sender is told."""
    director, carrier, hub = site.person("director"), site.carrier, site.hub
    carrier.text(CUSTOMER, NUMBER, "hello")
    heard = director.text("hello")
    carrier.tell(do="answer", statuses=[ESME_RINVDSTADR, ESME_RINVDSTADR])
    for body in ("secret one", "secret two"):
        own = director.say(heard["sender"], body, token=heard["token"])
        assert director.expect("error", id=own)["names"] == ["recipient-unavailable", "failed"]
        carrier.expect("submit", text=body)
    one, two = hub.json("queue", "list", "--state", "dead")
    assert (one["endpoint"], one["reason"], one["characters"]) == ("link:carrier", "ESME_RINVDSTADR", 10)
    assert {"endpoint": "link:carrier", "state": "dead", "count": 2} in hub.json("queue", "count")
    shown = hub.cli("queue", "show", str(one["id"]))
    assert "ESME_RINVDSTADR" in shown
    assert "secret" not in shown + hub.cli("queue", "list", "--state", "dead")

    hub.cli("queue", "retry", str(one["id"]))
    carrier.report(carrier.expect("submit", text="secret one", within_s=5))
    until("its delivery", lambda: [m["id"] for m in hub.json("queue", "list", "--state", "delivered")].count(one["id"]))
    hub.cli("queue", "drop", str(two["id"]))
    until("no dead letters", lambda: hub.json("queue", "list", "--state", "dead") == [])
    assert [each["id"] for each in hub.json("queue", "list", "--state", "dropped")] == [two["id"]]
    assert "retry takes only what is dead" in hub.cli("queue", "retry", str(two["id"]), status=2)
    assert "there is no message 1" in hub.cli("queue", "show", "1", status=2)

    carrier.tell(do="answer", statuses=[0x58] * 1000)  # ESME_RTHROTTLED: it keeps its place and waits
    own = director.say(heard["sender"], "secret three", token=heard["token"])
    carrier.expect("submit", text="secret three")
    (waiting,) = hub.json("queue", "list")
    hub.cli("queue", "drop", str(waiting["id"]))
    assert director.expect("error", id=own, within_s=5)["names"] == ["gone", "failed"]


def test_threads(site: Site) -> None:
    director, hub = site.person("director"), site.hub
    site.carrier.text(CUSTOMER, NUMBER, "hello secret")
    heard = director.text("hello secret")
    director.command(DOMAIN, "designate", "<csr label='Alice'>alice@localhost</csr>", token=heard["token"])
    (listed,) = hub.json("thread", "list", "--call-centre", "acme")
    assert (listed["customer"], listed["number"]) == (CUSTOMER, NUMBER)
    assert heard["token"].startswith(listed["token"].rstrip("…."))
    number = str(listed["id"])
    shown = hub.json("thread", "show", number)
    assert (shown["texts_in"], shown["texts_out"]) == (1, 0)
    assert [each["kind"] for each in shown["events"]][-1] == "designated"
    everything = hub.cli("thread", "list") + hub.cli("thread", "show", number)
    assert heard["token"] not in everything
    assert "secret" not in everything
    assert hub.json("thread", "list", "--call-centre", "globex") == []

    assert hub.cli("thread", "release", number) == f"thread {number} released\n"
    assert "no open thread" in hub.cli("thread", "release", number, status=2)
    own = director.say(heard["sender"], "too late", token=heard["token"])
    assert director.expect("error", id=own)["names"] == ["gone", "expired-token"]
    site.carrier.text(CUSTOMER, NUMBER, "again")
    assert director.text("again")["news"] == "new"
    assert len(hub.json("thread", "list", "--all")) == 2


def test_the_password_of_an_account(site: Site) -> None:
    """The next bind needs the new one; a bind that is up stays up."""
    hub = site.hub
    up = site.account()
    password = hub.cli("account", "password", "agg1", "--generate").strip()
    assert len(password) == 8

    def refused() -> bool:
        peer = site.bring(Account(site.smpp_port, "agg1", "agg1pass"))
        told = until("an answer to a bind", lambda: peer.heard("bound") or peer.heard("refused"))
        peer.stop()
        return bool(told[0]["event"] == "refused" and told[0]["status"] == 0x0E)  # ESME_RINVPASWD

    until("the old password to be refused", refused, within_s=10)
    site.account(password=password)
    (taken,) = up.text("+16175550777", CUSTOMER, "still up")
    assert taken["status"] == 0
    (taken,) = up.text("+16175550777", CUSTOMER, "and again")
    assert taken["status"] == 0
    assert "no account" in hub.cli("account", "password", "nobody", "--generate", status=2)

    hub.cli("provision", "account", "remove", "agg2")

    def gone() -> bool:
        peer = site.bring(Account(site.smpp_port, "agg2", "agg2pass"))
        told = until("an answer to a bind", lambda: peer.heard("bound") or peer.heard("refused"))
        peer.stop()
        return bool(told[0]["event"] == "refused")

    until("the account to be gone", gone, within_s=10)
