"""XEP-0114, both sides: the table, and the two machines against each other."""

from __future__ import annotations

import itertools

import pytest

from translators.xmpp.component import TABLE, Act, ComponentStream, Input, Phase, Role, proof
from translators.xmpp.stream import Element


def connecting(secret: str = "s3cret", domain: str = "sms.example") -> ComponentStream:
    machine = ComponentStream(Role.CONNECT, secret=secret, domain=domain)
    machine.start()
    return machine


def accepting(secret: str = "s3cret") -> ComponentStream:
    return ComponentStream(Role.ACCEPT, secret=secret, domains=("sms.example",), stream_id="id1")


def talk(one: ComponentStream, other: ComponentStream) -> list[list[Element]]:
    """Carry octets to and fro until nobody has any."""
    got: list[list[Element]] = [[], []]
    while True:
        first, second = one.take_octets(), other.take_octets()
        if not first and not second:
            return got
        if first:
            got[1] += other.receive(first)
        if second:
            got[0] += one.receive(second)


def opened() -> tuple[ComponentStream, ComponentStream]:
    hub, server = connecting(), accepting()
    talk(hub, server)
    return hub, server


def test_table_is_total() -> None:
    assert set(TABLE) == set(itertools.product(Role, Phase, Input))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("event", Input)
def test_closed_stays_closed(role: Role, event: Input) -> None:
    assert TABLE[role, Phase.CLOSED, event] is Act.IGNORE


def test_proof_is_the_standards_example() -> None:
    # XEP-0114 §3, example 3: id 3BF96D32 and the secret "test" (errata list).
    assert proof("3BF96D32", "test") == "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e"


def test_handshake_opens_both_sides() -> None:
    hub, server = opened()
    assert hub.phase is Phase.OPEN
    assert server.phase is Phase.OPEN
    assert server.domain == "sms.example"


def test_wrong_secret() -> None:
    hub, server = connecting(secret="wrong"), accepting()
    talk(hub, server)
    assert hub.phase is Phase.CLOSED
    assert server.phase is Phase.CLOSED
    assert hub.error is not None
    assert hub.error.condition == "not-authorized"
    assert hub.error.remote


def test_unknown_domain() -> None:
    hub, server = connecting(domain="other.example"), accepting()
    talk(hub, server)
    assert hub.error is not None
    assert hub.error.condition == "host-unknown"


def test_stanzas_before_the_proof_are_refused() -> None:
    hub, server = connecting(), accepting()
    server.receive(hub.take_octets())
    assert server.receive(b"<message from='sms.example' to='a@b'/><iq/>") == []
    assert server.phase is Phase.CLOSED
    assert server.error is not None
    assert server.error.condition == "not-authorized"


def test_only_stanzas_may_follow() -> None:
    _, server = opened()
    assert [item.name for item in server.receive(b"<message/><handshake/><message/>")] == ["message"]
    assert server.phase is Phase.CLOSED


def test_stanzas_in_the_octets_of_the_handshake() -> None:
    hub, server = connecting(), accepting()
    server.receive(hub.take_octets())
    hub.receive(server.take_octets())
    server.receive(hub.take_octets())
    found = hub.receive(server.take_octets() + b"<presence/>")
    assert [item.name for item in found] == ["presence"]


def test_proper_end() -> None:
    hub, server = opened()
    hub.close()
    server.receive(hub.take_octets())
    assert server.phase is Phase.CLOSED
    assert [item.name for item in hub.receive(b"<message/>" + server.take_octets())] == ["message"]
    assert hub.phase is Phase.CLOSED
    assert hub.error is None


def test_transport_ends_inside_the_stream() -> None:
    hub, _ = opened()
    hub.receive_end()
    assert hub.phase is Phase.CLOSED
    assert hub.error is not None
    assert hub.error.remote


def test_broken_xml_is_answered_with_a_stream_error() -> None:
    hub, server = opened()
    assert hub.receive(b"<message></iq>") == []
    assert hub.error is not None
    server.receive(hub.take_octets())
    assert server.error is not None
    assert server.error.condition == "not-well-formed"


def test_error_before_any_stream_stands_in_one() -> None:
    server = accepting()
    server.receive(b"<html>")
    octets = server.take_octets()
    assert b"<stream:stream" in octets
    assert b"<invalid-namespace" in octets
    assert octets.endswith(b"</stream:stream>")
