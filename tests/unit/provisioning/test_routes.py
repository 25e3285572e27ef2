"""Which route is taken, case by case, and what is said of those that are not."""

import pytest

from provisioning import Route
from provisioning.routes import RouteTable, Standing

MONDAY_US = 1_704_067_200_000_000  # 2024-01-01T00:00Z
HOUR_US = 3_600_000_000
PROVISIONED = {"link:all", "link:us", "link:boston", "link:short", "link:cheap", "group:g", "account:enum"}


@pytest.fixture
def table():
    return RouteTable(
        [
            Route(prefix="*", endpoint="link:all"),
            Route(prefix="+1", endpoint="link:us"),
            Route(prefix="+1617", endpoint="link:boston"),
            Route(prefix="123", endpoint="link:short"),
        ],
        PROVISIONED,
    )


@pytest.mark.parametrize(
    ("destination", "endpoint"),
    [
        ("+16175550001", "link:boston"),
        ("+16185550001", "link:us"),
        ("+1617", "link:boston"),
        ("+161", "link:us"),
        ("+442079460018", "link:all"),
        ("12345", "link:short"),
        ("123", "link:short"),
        ("12", "link:all"),
        ("", "link:all"),
        ("ACME", "link:all"),
    ],
)
def test_the_longest_prefix_wins(table, destination, endpoint):
    assert table.choose(destination, MONDAY_US) == endpoint


def test_no_route():
    assert RouteTable([Route(prefix="+1", endpoint="link:us")], PROVISIONED).choose("+44", 0) is None
    assert RouteTable([], PROVISIONED).choose("+44", 0) is None


def standings(routes, destination="+12025550143", now_us=MONDAY_US, element=""):
    found = RouteTable(routes, PROVISIONED).explain(destination, now_us, element)
    return [(candidate.route.endpoint, candidate.standing) for candidate in found]


def test_a_longer_prefix_that_cannot_be_taken_leaves_the_text_to_a_shorter():
    routes = [
        Route(prefix="*", endpoint="link:all"),
        Route(prefix="+1202", endpoint="link:gone"),
        Route(prefix="+1", endpoint="link:us", hours=("Tue-Sun 00:00-24:00",)),
        Route(prefix="+44", endpoint="link:short"),
    ]
    assert standings(routes) == [
        ("link:gone", Standing.NOT_PROVISIONED),
        ("link:us", Standing.SHUT),
        ("link:all", Standing.TAKEN),
    ]


def test_the_cheapest_of_a_prefix_is_taken_and_the_next_when_it_is_shut():
    routes = [
        Route(prefix="*", endpoint="link:all", cost=0.1),
        Route(prefix="+1", endpoint="link:cheap", cost=0.5, hours=("Mon 08:00-18:00",)),
        Route(prefix="+1", endpoint="link:us", cost=0.7),
    ]
    night = [("link:cheap", Standing.SHUT), ("link:us", Standing.TAKEN), ("link:all", Standing.SHORTER)]
    day = [("link:cheap", Standing.TAKEN), ("link:us", Standing.DEARER), ("link:all", Standing.SHORTER)]
    assert standings(routes) == night
    assert standings(routes, now_us=MONDAY_US + 8 * HOUR_US) == day
    assert standings(routes, now_us=MONDAY_US + 18 * HOUR_US) == night
    table = RouteTable(routes, PROVISIONED)
    hours = [table.choose("+1202", MONDAY_US + hour * HOUR_US) for hour in (7, 8, 17, 18, 9, 7)]
    assert hours == ["link:us", "link:cheap", "link:cheap", "link:us", "link:cheap", "link:us"]


def test_an_element_comes_before_the_longest_prefix():
    routes = [
        Route(prefix="+1202", endpoint="link:us"),
        Route(prefix="*", endpoint="account:enum", element="SPID:6006"),
        Route(prefix="+1", endpoint="group:g", element="SPID:7777"),
    ]
    assert standings(routes, element="SPID:6006") == [
        ("account:enum", Standing.TAKEN),
        ("link:us", Standing.ELEMENT_FIRST),
        ("group:g", Standing.OTHER_ELEMENT),
    ]
    assert standings(routes) == [
        ("link:us", Standing.TAKEN),
        ("group:g", Standing.OTHER_ELEMENT),
        ("account:enum", Standing.OTHER_ELEMENT),
    ]
    assert RouteTable(routes, PROVISIONED).choose("+12025550143", MONDAY_US, "SPID:6006") == "account:enum"
    assert RouteTable(routes, PROVISIONED).choose("+12025550143", MONDAY_US, "SPID:0000") == "link:us"


def test_routes_of_one_cost_share_and_the_others_say_so():
    routes = [Route(prefix="+1", endpoint=endpoint) for endpoint in ("link:us", "link:cheap", "group:g")]
    seen = set()
    for number in range(50):
        found = standings(routes, f"+120255501{number:02}")
        taken = [endpoint for endpoint, standing in found if standing is Standing.TAKEN]
        assert len(taken) == 1
        assert {standing for _, standing in found} == {Standing.TAKEN, Standing.ANOTHERS_SHARE}
        seen.update(taken)
    assert seen == {"link:us", "link:cheap", "group:g"}


def test_what_came_from_a_way_goes_by_those_that_share_with_it_and_by_no_worse_one():
    routes = [Route(prefix="+1", endpoint=endpoint) for endpoint in ("link:us", "link:cheap")]
    table = RouteTable([*routes, Route(prefix="*", endpoint="link:all")], PROVISIONED)
    for number in range(50):
        assert table.choose(f"+120255501{number:02}", 0, "", ["link:us"]) == "link:cheap"
    told = table.explain("+12025550143", 0, "", ["link:us"])
    assert [candidate.standing for candidate in told] == [Standing.TAKEN, Standing.WHERE_FROM, Standing.SHORTER]
    told = table.explain("+12025550143", 0, "", ["link:us", "link:cheap"])
    assert [candidate.standing for candidate in told] == [Standing.WHERE_FROM, Standing.WHERE_FROM, Standing.SHORTER]
    assert table.choose("+12025550143", 0, "", ["link:us", "link:cheap"]) in ("link:us", "link:cheap")


def test_draws_are_the_same_in_every_process():
    """A restart, or another Python, may not move customers to other ways; the digest and its form are for good."""
    table = RouteTable([Route(prefix="*", endpoint=endpoint) for endpoint in ("link:us", "link:all")], PROVISIONED)
    drawn = [table.choose(f"+120255501{n}", 0) for n in range(10, 40)]
    assert "".join(endpoint[5] for endpoint in drawn) == "uuuuuauuuaauaauuuuauaauuaauauu"
