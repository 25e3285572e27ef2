"""Groups, hours and ENUM answers, as the message path sees them."""

from __future__ import annotations

import msgspec
import pytest

from hub import routing
from hub.enum_answers import EnumAnswer, EnumAnswers
from hub.model import Reason
from provisioning import Group, Link, Number, Route, Secret, SecretKind
from tests.fixtures_hub import CUSTOMER, FAR_AWAY, NUMBER, make_directory, reply, transit
from threading_tokens import Thread

NOW = 1_704_067_200_000_000  # 2024-01-01T00:00Z, a Monday
HOUR = 3_600_000_000


class RememberedAnswers:
    """Answers that a test gives beforehand, and what was asked for."""

    def __init__(self, answers: dict[str, EnumAnswer]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def answer(self, e164: str) -> EnumAnswer | None:
        self.asked.append(e164)
        return self._answers.get(e164)


def link(name: str) -> Link:
    return Link(name=name, host="h.example", system_id="s", password=Secret(SecretKind.LITERAL, "x"))


LINKS = [link(name) for name in ("one", "two", "three")]
GROUPS = [Group(name="pair", links=("two=3", "three"))]
ROUTES = [
    Route(prefix="*", endpoint="link:one"),
    Route(prefix="+1888", endpoint="link:two", hours=("Mon 08:00-18:00",)),
    Route(prefix="+1", endpoint="group:pair", element="SPID:6006"),
]
DIRECTORY = make_directory(links=LINKS, groups=GROUPS, routes=ROUTES)


def to(destination: str = FAR_AWAY, now_us: int = NOW, answers: EnumAnswers | None = None) -> str | Reason:
    found = routing.decide_from_network(transit(destination=destination), DIRECTORY, now_us, answers)
    return found.endpoint if isinstance(found, routing.Route) else found


def back(thread_endpoint: str = "", now_us: int = NOW, number_link: str = "", **changes: object) -> str | Reason:
    directory = make_directory(**({"links": LINKS, "groups": GROUPS, "routes": ROUTES} | changes))  # type: ignore[arg-type]
    if number_link:
        numbers = [Number(number=NUMBER, call_centre="acme", link=number_link)]
        directory = make_directory(links=LINKS, groups=GROUPS, routes=ROUTES, numbers=numbers)
    thread = Thread(1, "acme", NUMBER, CUSTOMER, "token", thread_endpoint, NOW, NOW) if thread_endpoint else None
    found = routing.decide_from_desk(reply(), "acme", thread, directory, now_us)
    return found.endpoint if isinstance(found, routing.Route) else found


def test_what_the_time_says() -> None:
    assert to("+18885550100") == "link:one"
    assert to("+18885550100", NOW + 9 * HOUR) == "link:two"


def test_an_answer_names_the_element() -> None:
    answers = RememberedAnswers({FAR_AWAY: EnumAnswer("SPID:6006", "", NOW + HOUR)})
    assert to(answers=answers) == ("group:pair" if FAR_AWAY.startswith("+1") else "link:one")
    assert to("+13105550177", answers=answers) == "link:one"
    assert answers.asked == [FAR_AWAY, "+13105550177"]


def test_an_answer_names_the_way_itself() -> None:
    def answers(endpoint: str, valid_until_us: int = NOW + HOUR) -> RememberedAnswers:
        return RememberedAnswers({"+13105550177": EnumAnswer("", endpoint, valid_until_us)})

    assert to("+13105550177", answers=answers("account:agg")) == "account:agg"
    assert to("+13105550177", answers=answers("link:gone")) == "link:one", "not provisioned: the routes decide"
    assert to("+13105550177", NOW, answers("account:agg", NOW)) == "link:one", "it has run out"
    assert to("+13105550177", NOW - 1, answers("account:agg", NOW)) == "account:agg"


def test_nothing_goes_back_to_where_it_came_from_or_to_its_group() -> None:
    def decided(came_by: str, *endpoints: str, answer: str = "") -> str | Reason:
        routes = [Route(prefix="*", endpoint=endpoint) for endpoint in endpoints]
        directory = make_directory(links=LINKS, groups=GROUPS, routes=routes)
        answers = RememberedAnswers({FAR_AWAY: EnumAnswer("", answer, NOW + HOUR)}) if answer else None
        found = routing.decide_from_network(transit(), directory, NOW, answers, came_by)
        return found.endpoint if isinstance(found, routing.Route) else found

    assert decided("link:one", "link:one") is Reason.NO_ROUTE
    assert decided("link:one", "link:one", "account:agg") == "account:agg"
    assert decided("account:agg", "link:one", "account:agg") == "link:one"
    assert decided("link:two", "group:pair") is Reason.NO_ROUTE
    assert decided("link:three", "group:pair", "link:one") == "link:one"
    assert decided("link:two", "link:three") == "link:three", "another link, taken at its word"
    assert decided("link:one", "link:one", "link:two", answer="link:one") == "link:two"
    assert decided("link:gone", "link:one") == "link:one"


def test_nobody_is_asked_about_short_codes_and_call_centres_numbers() -> None:
    answers = RememberedAnswers({})
    assert to("77377", answers=answers) == "link:one"
    assert to(NUMBER, answers=answers) == "desk:help"
    assert answers.asked == []


@pytest.mark.parametrize(
    ("came_through", "goes_by"),
    [
        ("link:two", "group:pair"),
        ("link:three", "group:pair"),
        ("group:pair", "group:pair"),
        ("link:one", "link:one"),
        ("account:agg", "account:agg"),
        ("group:gone", "link:one"),  # the call centre's own
    ],
)
def test_a_conversation_goes_by_the_group_of_its_link(came_through: str, goes_by: str) -> None:
    assert back(came_through) == goes_by


def test_a_number_whose_link_is_in_a_group_goes_by_the_group() -> None:
    """A conversation has one lane: told to go by a link, and come through another of its group, it is the same."""
    assert back(number_link="link:three") == "group:pair"
    assert back(number_link="group:pair") == "group:pair"


def test_a_route_that_names_a_link_of_a_group_is_taken_at_its_word_in_transit_only() -> None:
    routes = [Route(prefix="*", endpoint="link:two")]
    directory = make_directory(links=LINKS, groups=GROUPS, routes=routes)
    found = routing.decide_from_network(transit(), directory, NOW)
    assert isinstance(found, routing.Route)
    assert found.endpoint == "link:two"
    centres = [msgspec.structs.replace(centre, default_link="") for centre in directory.call_centres.values()]
    assert back(call_centres=centres, routes=routes) == "group:pair"


def test_a_group_that_does_not_serve_yet_has_no_conversations() -> None:
    assert back("link:two", serving=["link:one", "link:two", "link:three"]) == "link:two"
    assert back("link:two", serving=["link:one"]) == "link:one"
    assert back("link:two", serving=[]) is Reason.NO_ROUTE
