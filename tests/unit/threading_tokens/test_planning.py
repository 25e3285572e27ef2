"""A batch of arrivals means the same as its arrivals one after the other."""

from __future__ import annotations

from itertools import count

from threading_tokens.designation import Designation
from threading_tokens.planning import Pair, Plan, pair_of, plan_arrivals
from threading_tokens.rules import ThreadRules
from threading_tokens.thread import Thread, ThreadArrival, ThreadEvent

NOW = 1_700_000_000_000_000
RULES = {"acme": ThreadRules(products=("Router", "Modem"))}
ALICE = Designation("address", "alice@desk.example")


def text(body: str = "hello", customer: str = "+16175551212", endpoint: str = "link:one") -> ThreadArrival:
    return ThreadArrival("acme", "+18005550100", customer, endpoint, body)


def plan(*arrivals: ThreadArrival, threads: tuple[Thread, ...] = (), now_us: int = NOW) -> Plan:
    ids = count(1000)
    known: dict[Pair, Thread] = {pair_of(thread): thread for thread in threads}
    return plan_arrivals(known, arrivals, RULES, now_us, lambda: next(ids), (f"token{n}" for n in count()))


def opened(**changes: object) -> Thread:
    (resolution,) = plan(text()).resolutions
    fields = {name: getattr(resolution.thread, name) for name in Thread.__struct_fields__}
    return Thread(**{**fields, "opened_us": NOW - 60_000_000, "last_us": NOW - 60_000_000, **changes})


def kinds(made: Plan) -> list[str]:
    return [row[4] for row in made.openings] + [str(ThreadEvent(**event).kind) for event in made.events]


def test_a_new_pair_opens_one_thread() -> None:
    made = plan(text())
    (resolution,) = made.resolutions
    thread = resolution.thread
    assert resolution.news == "new:new-address"
    assert resolution.closed is None
    assert (thread.token, thread.opened_us, thread.last_us, thread.channel) == ("token0", NOW, NOW, "sms")
    assert made.born == {thread.id: thread}
    assert made.changed == {}
    assert kinds(made) == ["opened"]


def test_two_texts_of_a_new_pair_share_a_thread() -> None:
    made = plan(text(), text("and more"))
    first, second = made.resolutions
    assert second.thread is first.thread
    assert (first.news, second.news) == ("new:new-address", "")
    assert len(made.born) == 1


def test_two_key_phrases_in_a_batch_open_two_threads_and_write_each_once() -> None:
    made = plan(text(), text("new problem"), text("a new problem"))
    one, two, three = made.resolutions
    assert len({one.thread.id, two.thread.id, three.thread.id}) == 3
    assert two.closed is not None
    assert two.closed.id == one.thread.id
    assert two.closed.close_reason == "key-phrase"
    assert [thread.closed_us for thread in made.born.values()] == [NOW, NOW, 0]
    assert kinds(made) == ["opened", "opened", "opened", "closed", "closed"]


def test_going_on_moves_the_last_time_and_nothing_else() -> None:
    old = opened()
    made = plan(text(), text(), threads=(old,))
    assert made.born == {}
    assert made.changed == {}
    assert list(made.touched) == [old.id]
    assert made.touched[old.id].last_us == NOW
    assert kinds(made) == []


def test_the_customers_last_endpoint_is_kept_and_the_desks_is_not() -> None:
    old = opened()
    outbound = ThreadArrival(old.call_centre, old.number, old.customer, "link:three", outbound=True)
    first, second = plan(text(endpoint="link:two"), outbound, threads=(old,)).resolutions
    assert first.thread.network_endpoint == "link:two"
    assert second.thread.network_endpoint == "link:two"


def test_what_the_desk_writes_opens_nothing_new() -> None:
    old = opened(product="Router")
    arrival = ThreadArrival(old.call_centre, old.number, old.customer, "link:one", "new problem, Modem", outbound=True)
    (resolution,) = plan(arrival, threads=(old,)).resolutions
    assert resolution.thread.id == old.id
    assert resolution.thread.product == "Router"


def test_the_desk_may_write_first_and_the_answer_reaches_who_wrote() -> None:
    arrival = ThreadArrival(
        "acme", "+18005550100", "+16175551212", "link:one", "Router?", outbound=True, designation=ALICE, desk_label="Al"
    )
    made = plan(arrival, text("yes"))
    first, second = made.resolutions
    assert first.news == "new:outbound"
    assert first.thread.product == ""
    assert second.thread.address == "alice@desk.example"
    assert second.thread.desk_label == "Al"
    assert kinds(made) == ["opened", "designated"]


def test_a_csr_who_writes_into_a_thread_that_nobody_has_has_it() -> None:
    old = opened()
    arrival = ThreadArrival(
        old.call_centre, old.number, old.customer, "link:one", "hello", outbound=True, designation=ALICE
    )
    made = plan(arrival, threads=(old,))
    assert made.resolutions[0].thread.designation == ALICE
    other = Designation("login", "bob")
    (resolution,) = plan(
        ThreadArrival(old.call_centre, old.number, old.customer, "link:one", "hi", outbound=True, designation=other),
        threads=(made.resolutions[0].thread,),
    ).resolutions
    assert resolution.thread.designation == ALICE


def test_the_first_product_is_noted() -> None:
    old = opened()
    made = plan(text("it is the modem"), threads=(old,))
    assert made.changed[old.id].product == "Modem"
    assert kinds(made) == ["product"]


def test_a_closed_thread_lets_its_routing_go_and_keeps_its_csr() -> None:
    old = opened(designation_kind=ALICE.kind, designation_value=ALICE.value, product="Modem")
    made = plan(text("the Router", endpoint="link:two"), threads=(old,))
    (resolution,) = made.resolutions
    closed = resolution.closed
    assert closed is not None
    assert (closed.id, closed.network_endpoint, closed.closed_us) == (old.id, "", NOW)
    assert closed.designation == ALICE
    assert made.changed == {old.id: closed}
    assert resolution.news == "new:product"
    assert resolution.thread.designation is None
    assert resolution.thread.network_endpoint == "link:two"


def test_time_ends_a_thread_as_expired() -> None:
    old = opened()
    made = plan(text(), threads=(old,), now_us=NOW + 86_400_000_000)
    assert made.resolutions[0].news == "new:elapsed"
    assert kinds(made) == ["opened", "expired"]


def test_a_call_and_a_text_share_a_thread_and_each_names_the_channel() -> None:
    call = ThreadArrival("acme", "+18005550100", "+16175551212", "", channel="voice")
    made = plan(call, text(), call)
    first, second, third = made.resolutions
    assert first.news == "new:call"
    assert [each.thread.channel for each in (first, second, third)] == ["voice", "sms", "voice"]
    assert third.thread.network_endpoint == "link:one"
    assert kinds(made) == ["opened", "channel", "channel"]


def test_call_centres_do_not_meet() -> None:
    arrivals = [ThreadArrival(name, "+18005550100", "+16175551212", "link:one") for name in ("acme", "other")]
    one, two = plan(*arrivals).resolutions
    assert one.thread.id != two.thread.id
    assert one.thread.token != two.thread.token


def test_a_clock_that_steps_back_moves_nothing_back() -> None:
    old = opened(last_us=NOW + 5)
    (resolution,) = plan(text(), threads=(old,)).resolutions
    assert resolution.thread.last_us == NOW + 5
