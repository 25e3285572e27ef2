"""``smshub route explain``: its answer is the message path's, whatever is provisioned."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import routing
from hub.enum_answers import EnumAnswer
from hub.model import Arrival, Reason
from ops.cli_route import explain
from provisioning import (
    Account,
    Block,
    CallCentre,
    Desk,
    Directory,
    Group,
    Link,
    Number,
    Route,
    Secret,
    SecretKind,
)
from threading_tokens import Thread

MONDAY_US = 1_704_067_200_000_000  # 2024-01-01T00:00Z
HOUR_US = 3_600_000_000
SECRET = Secret(SecretKind.LITERAL, "x")
NUMBER, OTHER, SUSPENDED, DESKLESS = "+12025550143", "+16175550005", "+12025550144", "+12025550199"
CUSTOMER = "+13105550100"


def link(name: str) -> Link:
    return Link(name=name, host="h.example", system_id="s", password=SECRET)


def make(**changes: Any) -> Directory:
    settings: dict[str, Any] = {
        "call_centres": [CallCentre(name="a", default_link="link:two"), CallCentre(name="b"), CallCentre(name="c")],
        "numbers": [
            Number(number=NUMBER, call_centre="a"),
            Number(number=SUSPENDED, call_centre="a", state="suspended"),
            Number(number="+18002530000", call_centre="a", alias_of="+12025550150"),
            Number(number=DESKLESS, call_centre="c"),
        ],
        "blocks": [Block(first="+16175550001", last="+16175550009", call_centre="b", link="link:gone")],
        "desks": [
            Desk(name=name, call_centre=name, domain=f"{name}.example", secret=SECRET, director="d@example.net")
            for name in "ab"
        ],
        "links": [link(name) for name in ("one", "two", "three")],
        "groups": [Group(name="pair", links=("two=3", "three"))],
        "accounts": [Account(system_id="agg", password=Secret(SecretKind.HASH, "$argon2id$x"))],
        "routes": [
            Route(prefix="*", endpoint="link:one"),
            Route(prefix="+1310", endpoint="account:agg", hours=("Mon 08:00-18:00",)),
            Route(prefix="+1", endpoint="group:pair", element="SPID:6006"),
        ],
    }
    return Directory(**(settings | changes))


def told(destination: str, source: str = "", now_us: int = MONDAY_US, **more: Any) -> Any:
    return explain(make(), source, destination, now_us, **more)


def test_a_number_of_a_call_centre() -> None:
    found = told(NUMBER)
    assert (found.what, found.call_centre, found.endpoint, found.routes) == ("number", "a", "desk:a", ())
    found = told("+18002530000")
    assert (found.what, found.real_number, found.endpoint) == ("number", "+12025550150", "desk:a")
    assert told("+16175550005").endpoint == "desk:b"


def test_what_is_refused_says_why() -> None:
    assert told(SUSPENDED).what == "suspended"
    assert told(SUSPENDED).refused == "no way leads there"
    assert told(DESKLESS).refused == "no way leads there"
    assert "E.164" in told("ACME").refused
    assert explain(make(routes=[]), "", CUSTOMER, MONDAY_US).refused == "no way leads there"


def test_routes_with_what_became_of_each() -> None:
    found = told(CUSTOMER)
    assert found.endpoint == "link:one"
    assert [(route.prefix, route.standing) for route in found.routes] == [
        ("+1310", "it is not open at this time"),
        ("+1", "the destination has not the element it asks for"),
        ("*", "taken"),
    ]
    assert told(CUSTOMER, now_us=MONDAY_US + 9 * HOUR_US).endpoint == "account:agg"
    assert told(CUSTOMER, element="SPID:6006").endpoint == "group:pair"


def test_a_desks_text_goes_by_the_group_of_the_link() -> None:
    found = told(CUSTOMER, NUMBER)
    assert found.endpoint == "group:pair"
    assert [(way.endpoint, way.standing) for way in found.ways] == [
        ("", "says nothing"),
        ("", "says nothing"),
        ("link:two of group:pair", "taken"),
    ]
    assert [route.standing for route in found.routes][-1] == "best of the routes, which are not asked"
    thread = Thread(1, "a", NUMBER, CUSTOMER, "token", "link:one", MONDAY_US, MONDAY_US)
    found = told(CUSTOMER, NUMBER, thread=thread)
    assert found.endpoint == "link:one"
    assert [way.standing for way in found.ways] == ["taken", "says nothing", "what stands above it comes first"]


def test_a_desks_text_whose_link_is_gone_goes_by_the_routes() -> None:
    found = told(CUSTOMER, OTHER)
    assert found.endpoint == "link:one"
    assert [way.standing for way in found.ways] == [
        "says nothing",
        "its endpoint is not provisioned",
        "says nothing",
    ]
    assert found.routes[-1].standing == "taken"


def test_who_is_out_is_told() -> None:
    assert told(CUSTOMER, NUMBER, out_since_us=MONDAY_US).opted_out_since == "2024-01-01T00:00:00Z"
    assert told(CUSTOMER, NUMBER).opted_out_since == ""


endpoints = st.sampled_from(["link:one", "link:two", "link:three", "link:gone", "group:pair", "account:agg"])
routes = st.builds(
    Route,
    prefix=st.sampled_from(["*", "+1", "+1310", "+44"]),
    endpoint=endpoints,
    element=st.sampled_from(["", "", "SPID:6006"]),
    cost=st.sampled_from([0.0, 1.0]),
    weight=st.integers(1, 3),
    hours=st.sampled_from([(), ("Mon 08:00-18:00",)]),
)


class Answers:
    def __init__(self, element: str) -> None:
        self.element = element

    def answer(self, e164: str) -> EnumAnswer | None:
        return EnumAnswer(self.element, "", MONDAY_US + 100 * HOUR_US)


@given(
    st.lists(routes, max_size=6, unique_by=lambda route: route.key),
    st.sampled_from(["", NUMBER, OTHER, SUSPENDED, CUSTOMER]),
    st.sampled_from([CUSTOMER, "+442079460018", "77377", NUMBER, SUSPENDED, DESKLESS, "x"]),
    st.integers(0, 24),
    st.sampled_from(["", "SPID:6006"]),
    st.none() | endpoints,
    st.sampled_from(["", "link:one", "link:two", "account:agg"]),
)
def test_the_explanation_is_the_decision(
    given_routes: list[Route], source: str, destination: str, hour: int, element: str, last: str | None, by: str
) -> None:
    directory, now_us = make(routes=given_routes), MONDAY_US + hour * HOUR_US
    sender = directory.number(source)
    thread = None
    if last is not None and sender is not None:
        thread = Thread(1, sender.call_centre, source, destination, "token", last, MONDAY_US, MONDAY_US)
    arrival = Arrival(source=source or "+13105550111", destination=destination, text="")
    answers = Answers(element) if element else None
    if sender is not None:
        decided = routing.decide_from_desk(arrival, sender.call_centre, thread, directory, now_us, answers)
    else:
        decided = routing.decide_from_network(arrival, directory, now_us, answers, by)
    found = explain(directory, source, destination, now_us, element=element, came_by=by, thread=thread)
    if isinstance(decided, Reason):
        assert found.refused
        assert not found.endpoint
        return
    assert found.endpoint == decided.endpoint
    ways = [way.endpoint.rpartition(" of ")[2] for way in found.ways if way.standing == "taken"]
    best = [route.endpoint for route in found.routes if route.standing == "taken"]
    if not found.endpoint.startswith("desk:"):
        assert [routing.conversation_way(way, directory) if sender else way for way in ways + best] == [found.endpoint]
    msgspec.json.encode(found)


def test_the_order_of_routing_is_the_documented_one(pytestconfig: pytest.Config) -> None:
    """The page and the code give the same names to what can become of a route."""
    from provisioning.routes import Standing

    page = (pytestconfig.rootpath / "docs/discussion/routing.md").read_text()
    assert [standing.value for standing in Standing if standing.value not in page] == []
