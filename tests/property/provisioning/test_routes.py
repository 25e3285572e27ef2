"""Routes: the quick way and the slow one agree, the order is what is documented, shares are near the weights."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from provisioning import Route
from provisioning.hours import is_open
from provisioning.routes import RouteTable, Standing

ENDPOINTS = ("link:a", "link:b", "group:c", "account:d")
ELEMENTS = ("", "SPID:6006", "OCN:1234")
MONDAY_US = 1_704_067_200_000_000  # 2024-01-01T00:00Z
HOUR_US = 3_600_000_000

routes = st.builds(
    Route,
    prefix=st.text("+12", min_size=1, max_size=4) | st.just("*"),
    endpoint=st.sampled_from(ENDPOINTS),
    element=st.sampled_from(ELEMENTS),
    cost=st.sampled_from([0.0, 0.5, 2.0]),
    weight=st.integers(1, 5),
    hours=st.sampled_from([(), (), ("Mon 08:00-18:00",), ("Sat 22:00-06:00", "Mon-Fri 12:00-13:00")]),
    time_zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"]),
)
tables = st.builds(
    RouteTable,
    st.lists(routes, max_size=8, unique_by=lambda route: route.key),
    st.sets(st.sampled_from(ENDPOINTS), min_size=2),
)
destinations = st.text("+12", max_size=6)
times = st.integers(0, 7 * 24 * 60).map(lambda minute: MONDAY_US + minute * 60_000_000)


@given(
    tables,
    destinations,
    st.lists(times, min_size=1, max_size=5),
    st.sampled_from(ELEMENTS),
    st.sets(st.sampled_from(ENDPOINTS), max_size=2),
)
def test_the_quick_way_is_the_explained_one(table, destination, nows, element, besides):
    """Asked several times of one table: what it keeps from minute to minute must not outlive its minute."""
    for now_us in nows:
        explained = table.explain(destination, now_us, element, besides)
        taken = [candidate.route.endpoint for candidate in explained if candidate.standing is Standing.TAKEN]
        chosen = table.choose(destination, now_us, element, besides)
        assert taken == ([] if chosen is None or chosen in besides else [chosen])


@given(tables, destinations, times, st.sampled_from(ELEMENTS), st.sets(st.sampled_from(ENDPOINTS), min_size=2))
def test_what_is_taken_is_the_best_of_what_can_be(table, destination, now_us, element, provisioned):
    """The order as documented, written down once more."""
    table = RouteTable(table.routes, provisioned)

    def begins(route):
        return route.prefix == "*" or destination.startswith(route.prefix)

    usable = [
        route
        for route in table.routes
        if begins(route)
        and route.endpoint in provisioned
        and route.element in ("", element)
        and is_open(route.hours, route.time_zone, now_us)
    ]
    own = [route for route in usable if route.element]
    usable = own or usable
    longest = max((len(route.prefix.strip("*")) for route in usable), default=0)
    usable = [route for route in usable if len(route.prefix.strip("*")) == longest]
    least = min((route.cost for route in usable), default=0)
    usable = [route for route in usable if route.cost == least]
    chosen = table.choose(destination, now_us, element)
    assert chosen in {route.endpoint for route in usable} if usable else chosen is None


@given(st.lists(st.integers(1, 20), min_size=2, max_size=4), st.integers(0, 9_000_000))
def test_shares_are_near_the_weights_and_a_customer_stays(weights, first):
    ways = [Route(prefix="+1", endpoint=ENDPOINTS[at], weight=weight) for at, weight in enumerate(weights)]
    table = RouteTable(ways, ENDPOINTS)
    customers = [f"+1202{first + n:07}" for n in range(2000)]
    chosen = [table.choose(customer, MONDAY_US) for customer in customers]
    assert chosen == [table.choose(customer, MONDAY_US + HOUR_US) for customer in customers]
    assert chosen == [RouteTable(ways[::-1], ENDPOINTS).choose(customer, 0) for customer in customers]
    for way in ways:
        share = way.weight / sum(weights)
        spread = (2000 * share * (1 - share)) ** 0.5
        assert abs(chosen.count(way.endpoint) - 2000 * share) < 6 * spread
    # When one goes, only its own customers move.
    fewer = RouteTable(ways[1:], ENDPOINTS)
    for customer, before in zip(customers, chosen, strict=True):
        assert before == ENDPOINTS[0] or fewer.choose(customer, MONDAY_US) == before


@given(destinations, times)
def test_no_route_leads_nowhere(destination, now_us):
    table = RouteTable([], ENDPOINTS)
    assert table.choose(destination, now_us) is None
    assert table.explain(destination, now_us) == ()
