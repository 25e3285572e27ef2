"""Entries: what is refused, what becomes of what is not."""

import msgspec
import pytest

from provisioning import (
    KINDS,
    Account,
    BadAlias,
    BadValue,
    Block,
    CallCentre,
    Desk,
    Group,
    Link,
    Number,
    Route,
    Secret,
    SecretKind,
    build,
    built,
    key_of,
)
from provisioning.fields import fields_of

LINK = {"name": "acme", "host": "smsc.example.net", "system_id": "hub", "password": "pw"}
ACCOUNT = {"system_id": "agg1", "password": "pw"}
DESK = {
    "name": "d",
    "call_centre": "c",
    "domain": "sms.example.net",
    "secret": "s",
    "director": "boss@example.net/x",
}


def problems_of(kind, given):
    entry, problems = build(kind, given)
    assert entry is None
    return {problem.field: problem for problem in problems}


def test_every_attribute_of_every_kind_is_a_described_field():
    for kind in KINDS.values():
        assert [field.name for field in fields_of(kind)] == list(kind.__struct_fields__)
        assert all(field.spec.help for field in fields_of(kind))


def test_defaults_would_pass_their_own_checks():
    for kind in KINDS.values():
        for field in fields_of(kind):
            if not field.required and field.default not in ("", None):
                assert field.check(field.default) == field.default


def test_all_problems_come_at_once():
    found = problems_of(Link, {"name": "A", "port": 0, "windw": 5, "password": "pw", "password_env": "X"})
    assert set(found) == {"name", "port", "windw", "password", "host", "system_id"}
    assert "did you mean 'window'" in found["windw"].why
    assert "is missing" in found["host"].why


def test_a_misspelt_secret_is_not_shown():
    found = problems_of(Link, {**LINK, "pasword": "geheim"})
    assert "geheim" not in str(found["pasword"])
    assert "did you mean 'password'" in str(found["pasword"])


def test_no_repr_error_or_json_for_people_shows_a_secret():
    link = built(Link, **{**LINK, "password": "geheim"})
    assert "geheim" not in repr(link)
    found = problems_of(Link, {**LINK, "password": "geheim-and-longer"})
    assert "geheim" not in str(found["password"])
    assert "8 octets" in str(found["password"])


@pytest.mark.parametrize(
    ("key", "kind"),
    [("password", SecretKind.LITERAL), ("password_file", SecretKind.FILE), ("password_env", SecretKind.ENV)],
)
def test_the_forms_of_a_secret(key, kind):
    given = {name: value for name, value in LINK.items() if name != "password"}
    assert built(Link, **given, **{key: "x"}).password == Secret(kind, "x")


def test_only_accounts_take_a_hash():
    given = {name: value for name, value in LINK.items() if name != "password"}
    assert "password_hash" in problems_of(Link, {**given, "password_hash": "$argon2id$x"})
    account = built(Account, system_id="a", password_hash="$argon2id$x")
    assert account.password_hash == "$argon2id$x"
    assert "password_hash" in problems_of(Account, {"system_id": "a", "password_hash": "pw"})


@pytest.mark.parametrize("value", ["5", True, 5.5, None, 0, 10_001, [5]])
def test_integers_are_integers_in_bounds(value):
    assert "window" in problems_of(Link, {**LINK, "window": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "x", False])
def test_quantities_are_finite_and_in_bounds(value):
    assert "throughput_per_s" in problems_of(Link, {**LINK, "throughput_per_s": value})


def test_an_integer_is_a_quantity():
    assert built(Link, **LINK, throughput_per_s=5).throughput_per_s == 5.0


def test_the_bad_element_of_a_list_is_named():
    problem = problems_of(Account, {**ACCOUNT, "allowed_ips": ["10.0.0.0/8", "x"]})["allowed_ips"]
    assert (problem.index, problem.value) == (1, "x")
    assert "list" in problems_of(Account, {**ACCOUNT, "allowed_ips": "10.0.0.0/8"})["allowed_ips"].why


def test_canonical_values():
    account = built(Account, **ACCOUNT, allowed_ips=["192.0.2.9/24"])
    assert account.allowed_ips == ("192.0.2.0/24",)
    number = built(Number, number="+1 202-555-0143", call_centre="c", element="spid:6006")
    assert (number.e164, number.element) == ("+12025550143", "SPID:6006")


def test_endpoints_are_named_by_kind_and_key():
    assert built(Link, **LINK).endpoint == "link:acme"
    assert built(Account, **ACCOUNT).endpoint == "account:agg1"
    assert built(Desk, **DESK).endpoint == "desk:d"


def test_h2_only_a_toll_free_number_is_an_alias():
    number = built(Number, number="+18002530000", call_centre="c", alias_of="+12025550143")
    assert number.alias_of == "+12025550143"
    for given in (
        {"number": "+12025550143", "alias_of": "+12025550144"},
        {"number": "+18002530000", "alias_of": "+18002530001"},
        {"number": "+18002530000", "alias_of": "+18002530000"},
    ):
        problem = problems_of(Number, {**given, "call_centre": "c"})["alias_of"]
        assert isinstance(problem, BadAlias)


def test_h3_a_block_of_ten_thousand():
    block = built(Block, first="+16175550001", last="+16175559999", call_centre="c", alias="+18002530000")
    assert block.size == 9999
    assert block.key == "+16175550001…+16175559999"


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        ("+16175559999", "+16175550001", "last"),
        ("+448001111", "+442079460018", "last"),
        ("+12025550100", "+13105550100", "last"),
        ("+12025550100", "nonsense", "last"),
    ],
)
def test_a_senseless_block_is_refused(first, last, field):
    assert field in problems_of(Block, {"first": first, "last": last, "call_centre": "c"})


def test_a_hunt_group_stands_behind_a_toll_free_number():
    given = {"first": "+16175550001", "last": "+16175550009", "call_centre": "c", "alias": "+12025550143"}
    assert isinstance(problems_of(Block, given)["alias"], BadAlias)


@pytest.mark.parametrize(
    ("origin", "value"),
    [
        ("number", ""),
        ("business", "ACME Ltd"),
        ("product", ""),
        ("product", "ACME"),
        ("fixed", "+12025550143"),
        ("fixed", "12345"),
    ],
)
def test_h29_origins(origin, value):
    assert built(CallCentre, name="c", origin=origin, origin_value=value).origin_value == value


@pytest.mark.parametrize(
    ("origin", "value", "products"),
    [
        ("number", "x", ()),
        ("business", "", ()),
        ("business", "twelve chars", ()),
        ("business", "a@b", ()),
        ("business", "12345", ()),
        ("product", "", ("a product too long",)),
        ("fixed", "", ()),
        ("fixed", "+1555", ()),
        ("fixed", "12", ()),
        ("invented", "", ()),
    ],
)
def test_h29_origins_that_cannot_be_followed(origin, value, products):
    given = {"name": "c", "origin": origin, "origin_value": value, "products": products}
    assert set(problems_of(CallCentre, given)) <= {"origin", "origin_value", "products"}


def test_phrases_have_something_to_look_for():
    assert "key_phrases" in problems_of(CallCentre, {"name": "c", "key_phrases": ["!!"]})
    assert "key_phrases" in problems_of(CallCentre, {"name": "c", "key_phrases": [""]})
    assert "products" in problems_of(CallCentre, {"name": "c", "products": [f"p{n}" for n in range(101)]})


def test_tls_settings_go_together():
    assert "tls_key_file" in problems_of(Link, {**LINK, "tls": "verify", "tls_cert_file": "c.pem"})
    assert "tls_ca_file" in problems_of(Link, {**LINK, "tls_ca_file": "ca.pem"})


def test_csr_domains_default_to_the_directors():
    assert built(Desk, **DESK).csr_domains == ("example.net",)
    assert built(Desk, **DESK, allowed_domains=["a.example"]).csr_domains == ("a.example",)


def test_settings_that_need_each_other():
    assert "outbind_port" in problems_of(Link, {**LINK, "outbind_password": "x"})
    assert "outbind_host" in problems_of(Account, {**ACCOUNT, "outbind_password": "x"})
    assert "ton_npi_rules" in problems_of(Link, {**LINK, "ton_npi_rules": ["source 7 1/1"] * 1001})
    assert "submit_with" in problems_of(Link, {**LINK, "submit_with": "data_sm", "version": "3.3"})
    assert built(Link, **LINK, submit_with="data_sm", version="3.4").submit_with == "data_sm"
    assert "opt_out_languages" in problems_of(CallCentre, {"name": "c", "opt_out_languages": []})
    assert built(CallCentre, name="c", opt_out="off", opt_out_languages=[]).opt_out_languages == ()


def test_a_group_names_each_link_once_and_one_at_least():
    group = built(Group, name="g", links=["a=3", "b"], standby=["c"])
    assert (group.endpoint, group.members, group.link_names) == ("group:g", (("a", 3), ("b", 1)), ("a", "b", "c"))
    assert "links" in problems_of(Group, {"name": "g", "links": []})
    assert "links" in problems_of(Group, {"name": "g"})
    assert "links" in problems_of(Group, {"name": "g", "links": ["a", "a=2"]})
    assert "standby" in problems_of(Group, {"name": "g", "links": ["a"], "standby": ["a"]})
    assert "standby" in problems_of(Group, {"name": "g", "links": ["a"], "standby": ["b=2"]})
    assert "links" in problems_of(Group, {"name": "g", "links": [f"l{n}" for n in range(101)]})


def test_a_route_is_named_by_prefix_and_endpoint():
    route = built(Route, prefix="+1", endpoint="group:g", hours=["mon-fri 8:00-18:00"], time_zone="America/New_York")
    assert route.key == "+1→group:g" == key_of(Route, ["+1", "group:g"])
    assert route.hours == ("Mon-Fri 08:00-18:00",)
    assert "time_zone" in problems_of(Route, {"prefix": "*", "endpoint": "link:a", "time_zone": "Europe/London"})
    assert "hours" in problems_of(Route, {"prefix": "*", "endpoint": "link:a", "hours": ["Mon 8:00-9:00"] * 51})
    for field, value in (("weight", 0), ("weight", 1001), ("cost", -1), ("element", "x"), ("hours", ["always"])):
        assert field in problems_of(Route, {"prefix": "*", "endpoint": "link:a", field: value})


def test_a_secret_that_need_not_be_given_may_be_given_as_nothing():
    assert built(Link, **LINK, outbind_password=None).outbind_password is None
    assert "password" in problems_of(Link, {**LINK, "password": None})


@pytest.mark.parametrize("endpoint", ["desk:x", "acme", ""])
def test_routes_lead_to_the_network_side(endpoint):
    assert "endpoint" in problems_of(Route, {"prefix": "+1", "endpoint": endpoint})


def test_texts_have_no_control_characters_and_are_utf8():
    assert "title" in problems_of(CallCentre, {"name": "c", "title": "a\nb"})
    assert "title" in problems_of(CallCentre, {"name": "c", "title": "a\udce9"})


def test_entries_do_not_change():
    with pytest.raises(AttributeError):
        built(Number, number="+12025550143", call_centre="c").call_centre = "d"


def test_stored_settings_outlive_new_and_old_versions():
    stored = msgspec.json.encode({**msgspec.to_builtins(built(CallCentre, name="c")), "setting_of_the_future": 1})
    assert msgspec.json.decode(stored, type=CallCentre) == built(CallCentre, name="c")
    assert msgspec.json.decode(b'{"name":"c"}', type=CallCentre) == built(CallCentre, name="c")


def test_built_raises_the_first_problem():
    with pytest.raises(BadValue, match="host"):
        built(Link, name="acme")


@pytest.mark.parametrize(
    ("name", "words", "value"),
    [
        ("window", "5", 5),
        ("throughput_per_s", "2.5", 2.5),
        ("address_plus", "yes", True),
        ("address_plus", "false", False),
        ("alphabets", "gsm7, ucs2", ("gsm7", "ucs2")),
        ("alphabets", "", ()),
    ],
)
def test_words_of_a_command_line(name, words, value):
    field = next(field for field in fields_of(Link) if field.name == name)
    assert field.parse(words) == value


@pytest.mark.parametrize(
    ("name", "words"), [("window", "x"), ("window", "1.5"), ("address_plus", "maybe"), ("port", "")]
)
def test_wrong_words_of_a_command_line(name, words):
    field = next(field for field in fields_of(Link) if field.name == name)
    with pytest.raises(BadValue):
        field.parse(words)
