"""A reload as an operator does it, with nothing but foreign programs around the hub: node-smpp, smpplib, slixmpp."""

from __future__ import annotations

from tests.fixtures_sites import Open
from tests.integration.end_to_end.peers import Carrier
from tests.integration.end_to_end.sites import CUSTOMER, NUMBER

ABROAD = "+447700900123"
SECOND = """
[[link]]
name = "second"
host = "127.0.0.1"
port = {port}
system_id = "smshub"
password = "carrier"

[[route]]
prefix = "+44"
endpoint = "link:second"
"""


def test_foreign_peers_notice_nothing_of_a_reload(open_site: Open) -> None:
    site = open_site()
    hub, carrier, director = site.hub, site.carrier, site.person("director")
    second = site.bring(Carrier())
    site.start()
    account = site.account()
    account.text("77377", CUSTOMER, "before")
    carrier.expect("submit", text="before")

    text = hub.config.read_text()
    hub.config.write_text(text + SECOND.format(port=second.port))
    assert "link:second would be added" in hub.cli("reload", "--dry-run")
    assert not second.heard("bound"), "a dry run changes nothing"
    told = hub.cli("reload")
    assert "link:second added" in told
    second.expect("bound", mode="bind_transceiver", system_id="smshub")
    account.text("77377", ABROAD, "by the new link")
    second.expect("submit", text="by the new link")

    text = hub.config.read_text().replace('password = "agg1pass"', 'password = "newpass1"')
    hub.config.write_text(text.replace('name = "carrier"\n', 'name = "carrier"\nthroughput_per_s = 50\nwindow = 5\n'))
    told = hub.cli("reload")
    assert "account:agg1 changed: password" in told
    assert "link:carrier changed: window, throughput_per_s" in told
    site.account(password="newpass1")
    account.text("77377", CUSTOMER, "by the bind that it had")
    carrier.expect("submit", text="by the bind that it had")

    good = hub.config.read_text()
    hub.config.write_text(good.replace("throughput_per_s = 50", "throughput_per_s = -1"))
    line = good[: good.index("throughput_per_s")].count("\n") + 1
    refused = hub.cli("reload", status=2)
    assert f"{hub.config}:{line}: link 'carrier': throughput_per_s" in refused
    hub.config.write_text(good)

    hub.cli("provision", "route", "remove", "+44", "link:second")
    hub.cli("provision", "link", "remove", "second")
    second.expect("unbound")
    account.text("77377", ABROAD, "by the first again")
    carrier.expect("submit", text="by the first again")
    assert carrier.text(CUSTOMER, NUMBER, "still there?")["status"] == 0
    assert director.text("still there?")
    assert not carrier.heard("bound"), "it was bound once, at the start"
    assert not carrier.heard("unbound")
