"""Names, addresses, identification elements (H8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning import BadValue, ElementKind, parse_element
from provisioning.syntax import (
    read_domain,
    read_endpoint,
    read_host,
    read_jid,
    read_member,
    read_name,
    read_network,
    read_prefix,
    read_range,
    read_source,
    read_system_id,
    read_ton_npi_rule,
)
from translators.smpp_addresses import read_ton_npi_rule as smpp_rule


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("SPID:6006", ElementKind.SPID, "SPID:6006"),
        ("spid:x12z", ElementKind.SPID, "SPID:X12Z"),
        ("eSPID:E12345", ElementKind.ESPID, "eSPID:E12345"),
        ("vSPID:V123", ElementKind.VSPID, "vSPID:V123"),
        ("altspid:6006", ElementKind.ALT_SPID, "AltSPID:6006"),
        ("OCN:7421", ElementKind.OCN, "OCN:7421"),
        ("sip:helpline@example.net", ElementKind.SIP_URI, "sip:helpline@example.net"),
        ("SIPS:+12025550143@[2001:db8::1]:5061;user=phone", ElementKind.SIP_URI, None),
    ],
)
def test_each_kind_of_element(text, kind, shown):
    element = parse_element(text)
    assert element.kind is kind
    assert parse_element(str(element)) == element
    if shown is not None:
        assert str(element) == shown


@pytest.mark.parametrize(
    "text",
    [
        "6006",
        "SPID",
        "SPID:",
        "SPID:600",
        "SPID:60061",
        "SPID:60 6",
        "OCN:é123",
        "LRN:6006",
        "sip:",
        "sip:@",
        "sip:a b@c",
    ],
)
def test_a_wrong_element_is_refused(text):
    with pytest.raises(BadValue) as caught:
        parse_element(text)
    assert caught.value.value == text


def test_a_misspelt_kind_gets_the_nearest():
    with pytest.raises(BadValue, match="did you mean 'eSPID'"):
        parse_element("eSPD:1234")


@pytest.mark.parametrize(
    ("reader", "text", "canonical"),
    [
        (read_name, "acme-2.east_1", "acme-2.east_1"),
        (read_host, "smsc.example.net", "smsc.example.net"),
        (read_host, "2001:DB8::1", "2001:db8::1"),
        (read_host, "localhost", "localhost"),
        (read_network, "192.0.2.7", "192.0.2.7/32"),
        (read_network, "192.0.2.7/24", "192.0.2.0/24"),
        (read_network, "2001:db8::/32", "2001:db8::/32"),
        (read_domain, "SMS.example.net", "sms.example.net"),
        (read_jid, "Director@Example.net/desk 1", "Director@example.net/desk 1"),
        (read_jid, "example.net", "example.net"),
        (read_source, "+1202*", "+1202*"),
        (read_source, "ACME Ltd", "ACME Ltd"),
        (read_prefix, "*", "*"),
        (read_prefix, "+", "+"),
        (read_prefix, "12345", "12345"),
        (read_endpoint, "link:acme", "link:acme"),
        (read_endpoint, "account:Agg_1", "account:Agg_1"),
        (read_system_id, "Agg_1", "Agg_1"),
    ],
)
def test_canonical_forms(reader, text, canonical):
    assert reader(text, "x") == canonical


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (read_name, "Acme"),
        (read_name, "-acme"),
        (read_name, "a" * 64),
        (read_name, "a:b"),
        (read_host, "10.0.0.256"),
        (read_host, "under_score.example"),
        (read_host, "a..b"),
        (read_host, "http://x"),
        (read_network, "192.0.2.0/33"),
        (read_network, "host"),
        (read_domain, "a b"),
        (read_jid, "@example.net"),
        (read_jid, "a@b@c"),
        (read_jid, "a@b/"),
        (read_source, "+12x"),
        (read_source, "twelve letters"),
        (read_prefix, "+1a"),
        (read_prefix, "+1234567890123456"),
        (read_endpoint, "acme"),
        (read_endpoint, "desk:helpline"),
        (read_system_id, "sixteen-octets-x"),
        (read_system_id, "a b"),
    ],
)
def test_refusals_show_value_and_field(reader, text):
    with pytest.raises(BadValue) as caught:
        reader(text, "x")
    assert (caught.value.field, caught.value.value) == ("x", text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("acme", "acme"), ("acme=3", "acme=3"), ("acme = 1000", "acme=1000"), ("acme=1", "acme"), ("acme=007", "acme=7")],
)
def test_links_of_a_group(text, canonical):
    assert read_member(text, "links") == canonical
    assert read_member(canonical, "links") == canonical


@pytest.mark.parametrize("text", ["acme=", "acme=0", "acme=1001", "acme=x", "acme=-1", "acme=1.5", "=3", "A", "acme=²"])
def test_what_is_no_link_of_a_group(text):
    with pytest.raises(BadValue, match="links"):
        read_member(text, "links")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("source 77377 3/0", "source 77377 3/0"),
        ("destination  +1*   1/1", "destination +1* 1/1"),
        ("source ACME 05/00", "source ACME 5/0"),
        ("source * 6/18", "source * 6/18"),
    ],
)
def test_rules_for_ton_and_npi(text, canonical):
    assert read_ton_npi_rule(text, "ton_npi_rules") == canonical
    rule = smpp_rule(canonical)
    assert (rule.of_source, f"{rule.ton}/{rule.npi}") == (canonical.startswith("source"), canonical.split()[2])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "source",
        "source 77377",
        "sauce 77377 3/0",
        "source 77377 7/0",
        "source 77377 3/19",
        "source 7* 3",
        "source a** 1/1",
    ],
)
def test_what_is_no_rule_for_ton_and_npi(text):
    with pytest.raises(BadValue, match="ton_npi_rules"):
        read_ton_npi_rule(text, "ton_npi_rules")


@given(st.from_regex(r"(source|destination) [+*0-9A-Z]{1,6} [0-9]{1,2}/[0-9]{1,2}", fullmatch=True))
def test_every_rule_that_is_accepted_is_one_that_links_can_read(text):
    try:
        canonical = read_ton_npi_rule(text, "ton_npi_rules")
    except BadValue:
        return
    assert smpp_rule(canonical).beginning == canonical.split()[1].removesuffix("*")


@pytest.mark.parametrize("text", ["link:acme", "group:carriers", "account:Agg1"])
def test_endpoints_of_the_network_side(text):
    assert read_endpoint(text, "endpoint") == text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("+16175550100", "+16175550100"),
        ("+1 617-555-0100", "+16175550100"),
        ("+16175550001-+16175559999", "+16175550001-+16175559999"),
        ("+1 617-555-0001 - +1 617-555-9999", "+16175550001-+16175559999"),
        ("+16175550001-+16175550001", "+16175550001"),
    ],
)
def test_a_range_is_read(text, read):
    assert read_range(text, "numbers") == read


@pytest.mark.parametrize(
    "text", ["-", "+16175550001-", "-+16175550001", "+16175550002-+16175550001", "+16175550001-9999", "+1617555-+1"]
)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(BadValue, match="numbers"):
        read_range(text, "numbers")
