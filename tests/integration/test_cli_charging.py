"""``smshub charging`` beside a real daemon that a customer texts."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from ops.cli import main
from tests.fixtures_sites import Open
from tests.integration.end_to_end.peers import until
from tests.integration.end_to_end.sites import CUSTOMER, NUMBER

WORDS = "My printer is on fire"


def show(path: Path, status: int = 0) -> str:
    """What the command says of a file. It needs no configuration."""
    done = CliRunner().invoke(main, ["charging", "show", str(path)])
    assert done.exit_code == status, done.output
    return done.output


def test_a_text_is_charged_for_and_its_record_shown(open_site: Open) -> None:
    site = open_site()
    hub, director = site.hub, site.person("director")
    folder = hub.config.parent / "charging"
    folder.mkdir()
    text = hub.config.read_text()
    settings = '[charging]\ndirectory = "charging"\nnode_address = "+16175550000"\nrotate_s = 0.2\n'
    first = text.index("[[")
    hub.config.write_text(text[:first] + settings + text[first:])
    site.start()
    site.carrier.text(CUSTOMER, NUMBER, WORDS)
    director.text(WORDS)

    def shown() -> list[dict[str, object]]:
        return [json.loads(line) for path in sorted(folder.glob("*.cdr")) for line in show(path).splitlines()]

    until("both records are in files", lambda: len(shown()) >= 2, 120)
    taken, passed = shown()[:2]
    assert (taken["record"], taken["message_type"], taken["originator"]) == ("SC-SMO", "submission", CUSTOMER)
    assert (passed["record"], passed["message_type"], passed["recipient"]) == ("SC-SMT", "delivery", NUMBER)
    assert taken["message_id"] == passed["message_id"]
    assert taken["node"] == "+16175550000"
    assert str(taken["event"]).endswith("Z")
    listed = json.loads(hub.cli("charging", "list", "--json"))
    assert {path["file"] for path in listed["files"]} == {str(path) for path in folder.glob("*.c*")}
    assert 0 < listed["position"] <= listed["feed"]
    assert "files; charging is at" in hub.cli("charging", "list")
    assert "take it out" in hub.cli("charging", "forget", status=2)

    (folder / "half.cdr").write_bytes(next(folder.glob("*.cdr")).read_bytes()[:-3])
    assert "octets are missing" in show(folder / "half.cdr", status=2)
    hub.config.write_text(text)
    assert "set charging.directory" in hub.cli("charging", "list", status=2)
    assert hub.cli("charging", "forget").strip() == "forgotten"
    assert hub.cli("charging", "forget").strip() == "there was nothing to forget"
    assert "follower" in hub.cli("audit", "list")
