"""What a change means for a running daemon: a table, and that every setting has its place in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops.config import read_config
from ops.plan import (
    NEW_SESSION,
    NEXT_SESSION,
    Change,
    How,
    Known,
    dropped,
    entries_of,
    how_it_takes,
    plan_endpoints,
    plan_settings,
    pointers,
)
from ops.settings import SETTINGS
from provisioning import Account, CallCentre, Desk, Directory, Group, Link, built
from provisioning.fields import fields_of

KINDS: dict[str, type[Any]] = {"link": Link, "group": Group, "account": Account, "desk": Desk}
LINK = built(Link, name="a", host="h", system_id="s", password="x")
GROUP = built(Group, name="g", links=["a"])
ACCOUNT = built(Account, system_id="e", password="x")
CENTRE = built(CallCentre, name="c")
DESK = built(Desk, name="d", call_centre="c", domain="sms.d", secret="x", director="who@d.example")


def known(entry: Any, **prints: str) -> dict[str, Known]:
    return {entry.endpoint: Known(entry, prints)}


def changed(entry: Any, **fields: Any) -> tuple[Change, ...]:
    return plan_endpoints(known(entry), known(msgspec.structs.replace(entry, **fields)))


def test_what_is_equal_is_not_in_the_plan() -> None:
    everything = known(LINK) | known(GROUP) | known(ACCOUNT) | known(DESK)
    assert plan_endpoints(everything, dict(everything)) == ()
    assert plan_endpoints({}, {}) == ()


def test_what_comes_and_what_goes() -> None:
    assert plan_endpoints(known(LINK), known(DESK)) == (
        Change("desk:d", How.ADDED),
        Change("link:a", How.REMOVED),
    )


@pytest.mark.parametrize(
    ("entry", "fields", "how"),
    [
        (LINK, {"window": 9, "gap_ms": 7, "throughput_per_s": 3.0}, How.CHANGED),
        (LINK, {"in_doubt": "hold"}, How.CHANGED),
        (LINK, {"tls_ca_file": "/ca.pem"}, How.CHANGED),
        (LINK, {"port": 9}, How.RESTARTED),
        (LINK, {"port": 9, "window": 9}, How.RESTARTED),
        (LINK, {"tls": "verify"}, How.RESTARTED),
        (LINK, {"binds": 2}, How.RESTARTED),
        (GROUP, {"links": ("a=3", "b")}, How.CHANGED),
        (ACCOUNT, {"allowed_sources": ("77377",), "max_binds": 1}, How.CHANGED),
        (DESK, {"director": "other@d.example/x"}, How.CHANGED),
        (DESK, {"director": "who@elsewhere.example"}, How.RESTARTED),
        (DESK, {"domain": "sms.e"}, How.RESTARTED),
        (DESK, {"allowed_domains": ("d.example",), "window": 4}, How.CHANGED),
    ],
)
def test_only_what_a_session_was_made_by_ends_it(entry: Any, fields: dict[str, Any], how: How) -> None:
    (change,) = changed(entry, **fields)
    assert change.how is how
    assert set(change.fields) == set(fields)


def test_a_secret_in_a_file_may_change_behind_its_name() -> None:
    assert plan_endpoints(known(LINK, password="1"), known(LINK, password="2")) == (
        Change("link:a", How.RESTARTED, ("password",)),
    )
    assert plan_endpoints(known(LINK, tls_cert_file="1"), known(LINK, tls_cert_file="2")) == (
        Change("link:a", How.CHANGED, ("tls_cert_file",)),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_names_only_settings_that_there_are(kind: str) -> None:
    names = {field.name for field in fields_of(KINDS[kind])}
    assert NEW_SESSION[kind] <= names
    assert NEXT_SESSION[kind] <= names
    assert not NEW_SESSION[kind] & NEXT_SESSION[kind]
    assert {how_it_takes(kind, name) for name in NEW_SESSION[kind]} <= {"new session"}


def test_the_endpoints_of_a_snapshot_and_what_they_point_to() -> None:
    directory = Directory(call_centres=[CENTRE], links=[LINK], groups=[GROUP], accounts=[ACCOUNT], desks=[DESK])
    assert entries_of(directory) == {
        "link:a": LINK,
        "group:g": GROUP,
        "account:e": ACCOUNT,
        "desk:d": DESK,
    }
    assert set(pointers(LINK)) == {"password", "outbind_password", "tls_ca_file", "tls_cert_file", "tls_key_file"}


def test_settings_of_the_daemon_hold_now_or_at_the_next_start(tmp_path: Any) -> None:
    old = read_config("", "", tmp_path)
    new = read_config("[log]\nlevel='debug'\nformat='console'\n[smpp]\nport=1\nmax_unbound=7\n", "", tmp_path)
    plan = plan_settings(SETTINGS, old, new)
    assert set(plan.live) == {"log.level", "smpp.max_unbound"}
    assert set(plan.waiting) == {"log.format", "smpp.port"}
    assert plan_settings(SETTINGS, new, new) == type(plan)((), ())


def test_what_a_file_names_no_more() -> None:
    assert dropped([LINK, GROUP], [msgspec.structs.replace(LINK, port=9)]) == ("group 'g'",)


def test_the_page_names_what_needs_a_new_session() -> None:
    page = (Path(__file__).parents[3] / "docs/discussion/reload.md").read_text()
    for kind in ("link", "desk"):
        told = ", ".join(f"`{name}`" for name in sorted(NEW_SESSION[kind]))
        assert f"- {kind}: {told}" in page
    assert not NEW_SESSION["group"] | NEW_SESSION["account"], "the page says that these never do"
