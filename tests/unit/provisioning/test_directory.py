"""The snapshot's look-ups."""

import pytest

from provisioning import Block, CallCentre, Desk, Directory, Group, Link, Number, Route, Secret, SecretKind


def desk(name, call_centre):
    secret = Secret(SecretKind.LITERAL, "x")
    return Desk(name=name, call_centre=call_centre, domain=f"{name}.example", secret=secret, director="d@example.net")


def link(name):
    return Link(name=name, host="h.example", system_id="s", password=Secret(SecretKind.LITERAL, "x"))


@pytest.fixture
def directory():
    return Directory(
        call_centres=[CallCentre(name="a", element="SPID:6006"), CallCentre(name="b")],
        numbers=[
            Number(number="+12025550143", call_centre="a", link="link:x"),
            Number(number="+12025550144", call_centre="a", state="suspended"),
            Number(number="+18002530000", call_centre="a", alias_of="+12025550150", element="OCN:7421"),
            Number(number="+18882530000", call_centre="b"),
            Number(number="+18772530000", call_centre="a", alias_of="+12025550151", state="suspended"),
            Number(number="+16175550500", call_centre="b", state="suspended"),
            Number(number="+16175550501", call_centre="b", link="link:y"),
        ],
        blocks=[
            Block(first="+16175550001", last="+16175559999", call_centre="b", alias="+18882530000", element="OCN:1234"),
            Block(first="+13105550100", last="+13105550199", call_centre="a"),
            Block(first="+13105550300", last="+13105550399", call_centre="a", state="suspended"),
        ],
        desks=[desk("second", "a"), desk("first", "a")],
        revision=7,
    )


def test_a_number_by_itself(directory):
    number = directory.number("+12025550143")
    assert (number.call_centre, number.link, number.element) == ("a", "link:x", "SPID:6006")


@pytest.mark.parametrize("e164", ["+16175550001", "+16175551234", "+16175559999"])
def test_a_number_in_a_block(directory, e164):
    number = directory.number(e164)
    assert (number.e164, number.call_centre, number.element) == (e164, "b", "OCN:1234")


def test_a_number_of_its_own_inside_a_block_wins(directory):
    assert directory.number("+16175550501").link == "link:y"


@pytest.mark.parametrize(
    "e164",
    [
        "+12025550144",  # suspended
        "+16175550500",  # suspended, though inside a block
        "+13105550350",  # in a suspended block
        "+18772530000",
        "+12025550151",  # behind a suspended alias
        "+12025550199",
        "+16175550000",
        "+16175560000",
        "+1617555000",
        "+161755500010",
        "12025550143",
        "",
        "+",
        "+1617555000a",
        "+1617555٠٠٠١",
        "ACME",
    ],
)
def test_unknown_or_suspended(directory, e164):
    assert directory.number(e164) is None


def test_h2_both_the_8xx_and_the_real_number_are_the_call_centres(directory):
    assert directory.number("+18002530000").element == "OCN:7421"
    real = directory.number("+12025550150")
    assert (real.e164, real.call_centre, real.alias_of) == ("+12025550150", "a", "")
    assert directory.real_number("+18002530000") == "+12025550150"
    assert directory.published_number("+12025550150") == "+18002530000"


def test_h3_a_block_is_the_hunt_group_behind_an_8xx(directory):
    assert directory.real_number("+18882530000") == "+16175550001"
    assert directory.published_number("+16175551234") == "+18882530000"
    assert [block.first for block in directory.hunt_group("+18882530000")] == ["+16175550001"]
    assert directory.hunt_group("+18002530000") == ()


def test_other_numbers_stand_for_themselves(directory):
    for e164 in ("+12025550143", "+13105550150", "+999", "ACME"):
        assert directory.real_number(e164) == e164
        assert directory.published_number(e164) == e164


def test_the_first_desk_by_name_is_the_call_centres(directory):
    assert directory.desk_of("a").name == "first"
    assert directory.desk_of("b") is None
    assert directory.desk("second").call_centre == "a"


def test_look_ups_by_name(directory):
    assert directory.call_centre("b").name == "b"
    assert directory.call_centre("c") is None
    assert directory.link("x") is None
    assert directory.account("x") is None
    assert directory.revision == 7


def test_the_snapshot_does_not_change(directory):
    with pytest.raises(TypeError):
        directory.call_centres["x"] = None
    with pytest.raises(TypeError):
        directory.groups["x"] = None


def test_endpoints_that_do_not_serve_yet_are_passed_over():
    """What was added beside a running daemon is provisioned, and no text can go by it."""
    made = {
        "links": [link("old"), link("new")],
        "groups": [Group(name="g", links=("old", "new"))],
        "routes": [Route(prefix="*", endpoint="link:old"), Route(prefix="+1", endpoint="group:g")],
    }
    everything, before = Directory(**made), Directory(**made, serving=["link:old", "link:removed", "desk:d"])
    assert everything.endpoints == {"link:old", "link:new", "group:g"}
    assert before.endpoints == {"link:old"}
    assert everything.routes.choose("+1", 0) == "group:g"
    assert before.routes.choose("+1", 0) == "link:old"
    assert everything.group_of("old").name == "g"
    assert before.group_of("old") is None
    assert before.group("g").links == ("old", "new")


def test_a_desk_that_does_not_serve_yet_takes_no_texts_from_the_one_that_does():
    """The first by name takes a call centre's texts: of those that serve."""
    made = {"call_centres": [CallCentre(name="acme")], "desks": [desk("a", "acme"), desk("b", "acme")]}
    assert Directory(**made).desk_of("acme").name == "a"
    assert Directory(**made, serving=["desk:b"]).desk_of("acme").name == "b"
    assert Directory(**made, serving=[]).desk_of("acme") is None
    assert Directory(**made, serving=["desk:b"]).desk("a") is not None


def test_a_group_knows_its_links_and_their_weights():
    group = Group(name="g", links=("a=3", "b"), standby=("c",))
    assert group.members == (("a", 3), ("b", 1))
    assert group.link_names == ("a", "b", "c")
    directory = Directory(links=[link(name) for name in "abcd"], groups=[group])
    assert [directory.group_of(name) for name in "abcd"] == [group, group, group, None]
    assert directory.group("g") is group
    assert directory.group("a") is None
