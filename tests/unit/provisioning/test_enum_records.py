"""ENUM as values: names, records and owners written, and what strangers' records come to."""

from __future__ import annotations

import pytest

from provisioning.enum_records import (
    MAX_RECORDS,
    MAX_URI_CHARACTERS,
    Naptr,
    Owner,
    Unbelievable,
    is_same_hub,
    marker_of,
    name_of,
    owner_of,
    read_records,
    records_of,
    shown,
    split_zone,
    substitute,
)
from provisioning.errors import BadValue

NUMBER = "+16175550001"


def pstn(regexp: str, *, flags: str = "u", preference: int = 1) -> Naptr:
    return Naptr(100, preference, flags, "E2U+pstn:tel", regexp)


def test_a_name_is_the_digits_backwards() -> None:
    """RFC 6116 §3.2."""
    assert name_of(NUMBER, "e164.arpa") == "1.0.0.0.5.5.5.7.1.6.1.e164.arpa"


@pytest.mark.parametrize(
    ("zone", "parts"),
    [
        ("e164.arpa", ("e164.arpa", "")),
        ("1.e164.arpa", ("e164.arpa", "1")),
        ("7.1.6.1.carriers.example.net", ("carriers.example.net", "1617")),
        ("e164.arpa.", ("e164.arpa", "")),
    ],
)
def test_a_zone_may_begin_further_down(zone: str, parts: tuple[str, str]) -> None:
    assert split_zone(zone) == parts


def test_a_zone_is_for_its_numbers_only() -> None:
    assert name_of(NUMBER, "7.1.6.1.e164.arpa") == name_of(NUMBER, "e164.arpa")
    assert name_of("+441632960083", "1.e164.arpa") is None
    assert name_of("+1617", "7.1.6.1.e164.arpa") is None  # the zone's own name


def test_what_is_written_of_a_number() -> None:
    told = [(r.service, r.regexp) for r in records_of(NUMBER, "gw.example.net", element="SPID:6006")]
    assert told == [
        ("E2U+sms:tel", "!^.*$!tel:+16175550001!"),
        ("E2U+sms:mailto", "!^.*$!mailto:+16175550001@gw.example.net!"),
        ("E2U+mms:mailto", "!^.*$!mailto:+16175550001@gw.example.net!"),
        ("E2U+pstn:tel", "!^.*$!tel:+16175550001;spn=6006!"),
    ]


def test_without_an_element_and_routing_there_is_nothing_to_say_of_the_pstn() -> None:
    assert [r.service for r in records_of(NUMBER, "gw.example.net")] == [
        "E2U+sms:tel",
        "E2U+sms:mailto",
        "E2U+mms:mailto",
    ]


def test_voice_stays_where_it_is() -> None:
    """An npdi, an rn or a SIP record would move the number's calls."""
    everything = {"element": "SPID:6006", "network_id": "n1", "entity_id": "e 1!", "ip_address": "2001:db8::7"}
    records = records_of(NUMBER, "gw.example.net", **everything)
    assert not any(word in r.regexp for r in records for word in ("npdi", "rn="))
    assert not any("sip" in r.service for r in records)
    assert records[-1].regexp == "!^.*$!tel:+16175550001;spn=6006;nwid=n1;entid=e%201%21;gwip=2001:db8::7!"


@pytest.mark.parametrize(
    "element",
    ["SPID:6006", "AltSPID:600A", "eSPID:E12345", "vSPID:V1234", "OCN:7777", "sip:help!line@example.net;x=1"],
)
def test_each_element_is_read_as_it_was_written(element: str) -> None:
    """H8."""
    reading = read_records(NUMBER, records_of(NUMBER, "gw.example.net", element=element))
    assert reading.element == element
    assert reading.disbelieved == ()
    assert reading.services[0] == ("sms:tel", f"tel:{NUMBER}")


@pytest.mark.parametrize(
    ("gateway", "element", "field"),
    [("a." * 120 + "net", "", "gateway"), ("gw.example.net", f"sip:{'x' * 240}@example.net", "element")],
)
def test_what_does_not_fit_in_a_record_is_refused(gateway: str, element: str, field: str) -> None:
    with pytest.raises(BadValue) as refusal:
        records_of(NUMBER, gateway, element=element)
    assert refusal.value.field == field


# --- owners ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hub", ["hub-key.example", 'Entity 7 = ü\\"', "x" * 300])
def test_an_owner_is_known_again(hub: str) -> None:
    strings = marker_of(Owner(hub, "acme"))
    assert all(text.isascii() and text.isprintable() and len(text) <= 255 for text in strings)
    owner = owner_of(strings)
    assert owner is not None
    assert owner.call_centre == "acme"
    assert is_same_hub(owner, hub)
    assert not is_same_hub(owner, hub + "2")


@pytest.mark.parametrize("strings", [(), ("v=spf1 -all",), ("v=smshub12", "owner=x")])
def test_other_texts_are_no_markers(strings: tuple[str, ...]) -> None:
    assert owner_of(strings) is None


def test_a_marker_without_an_owner_is_nobody_of_ours() -> None:
    owner = owner_of(("v=smshub1", "rubbish"))
    assert owner is not None
    assert not is_same_hub(owner, "hub-key")


# --- what strangers write --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("regexp", "uri"),
    [
        ("!^.*$!tel:+1!", "tel:+1"),
        (r"!^(.*)$!tel:\1;npdi;spn=51589;q_stat=002!", "tel:+16175550001;npdi;spn=51589;q_stat=002"),
        (r"!^\+1617(.*)$!sip:\1@gw.example.net!", "sip:5550001@gw.example.net"),
        (r"!^\+?1(617)(.*)$!tel:+1\1\2!", "tel:+16175550001"),
        (r"!^(\+1(617).*)$!tel:\1;x=\2!", "tel:+16175550001;x=617"),
        (r"!^\+(.*)0001$!x:\1!", "x:1617555"),
        (r"!^\+16175550001$!tel:+16175550001!", "tel:+16175550001"),
        (r"|^.*$|tel:+1\|2|", "tel:+1|2"),
        ("!^.*$!mailto:a@b.example!i", "mailto:a@b.example"),
        (r"!^.*$!x:a\\b!", "x:a\\b"),
    ],
)
def test_substitutions_that_are_in_use(regexp: str, uri: str) -> None:
    assert substitute(regexp, NUMBER) == uri


@pytest.mark.parametrize(
    "regexp",
    [
        "",
        "!",
        "!!!",
        "!^.*$!tel:+1",  # no end
        "!^.*$!tel:+1!x",  # an unknown flag
        "!^.*$!a!b!",
        "1^.*$1tel:+21",  # a digit delimits nothing
        r"\^.*$\tel:+1\ "[:-1],
        "i^.*$itel:+1i",
        "!.*!tel:+1!",  # not anchored
        "!^(a+)+$!tel:+1!",  # what hangs a backtracking engine
        "!^(.*)*$!tel:+1!",
        "!^.*.*$!tel:+1!",
        "!^(.*$!tel:+1!",
        "!^.*)$!tel:+1!",
        "!^)($!tel:+1!",
        r"!^.*\+?1$!tel:+1!",
        "!^[0-9]*$!tel:+1!",
        r"!^(.*)$!tel:\2!",
        r"!^(.*)$!tel:\0!",
        r"!^(.*)$!tel:\!",
        "!^" + "(" * 10 + ".*" + ")" * 10 + "$!tel:+1!",
        "!^.*$!tel:ü!",
        "!^.*$!" + "x" * 250 + "!",
        r"!^(.*)$!x:" + r"\1" * 50 + "!",  # 600 characters of 100
    ],
)
def test_substitutions_that_are_not_believed(regexp: str) -> None:
    with pytest.raises(Unbelievable):
        substitute(regexp, NUMBER)


@pytest.mark.parametrize(
    "regexp", [r"!^\+1618(.*)$!tel:\1!", r"!^\+16175550001.*2$!x:!", r"!^\+161755500011$!x:!", "!^$!x:!"]
)
def test_substitutions_for_other_numbers(regexp: str) -> None:
    with pytest.raises(Unbelievable, match="other numbers"):
        substitute(regexp, NUMBER)


def test_what_overlaps_in_a_substitution_does_not_match() -> None:
    """A prefix and a suffix that would have to share digits."""
    with pytest.raises(Unbelievable, match="other numbers"):
        substitute(r"!^\+1617555(.*)50001$!x:\1!", NUMBER)


def test_back_references_are_bounded() -> None:
    assert len(substitute(r"!^(.*)$!x:" + r"\1" * 40 + "!", NUMBER)) <= MAX_URI_CHARACTERS


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (pstn("!^.*$!tel:+16175550002;spn=6006!"), "another number"),
        (pstn("!^.*$!tel:6175550001;phone-context=+1;spn=6006!"), "no 'tel:'"),
        (pstn("!^.*$!tel:+16175550001;spn=51589!"), "no SPID"),
        (pstn("!^.*$!tel:+16175550001;spn!"), "no SPID"),
        (pstn("!^.*$!tel:+16175550001;sipuri=sip%3A!"), "no SIP URI"),
        (pstn("!^.*$!tel:+16175550001;spn=6006;spn=7007!"), "given twice"),
        (pstn("!^.*$!tel:+16175550001;;spn=6006!"), "is none"),
        (pstn("!^.*$!tel:+16175550001 ;spn=6006!"), "no URI"),
        (pstn("!^.*$!no uri at all!"), "no URI"),
        (pstn("!^.*$!tel:+16175550001;spn=6006!", flags=""), "flag"),
        (pstn("!^.*$!tel:+16175550001;spn=6006!", flags="s"), "flag"),
        (Naptr(1, 1, "u", "E2U", "!^.*$!tel:+16175550001;spn=6006!"), "service"),
        (Naptr(1, 1, "u", "SIP+D2U", "!^.*$!tel:+16175550001;spn=6006!"), "service"),
    ],
)
def test_records_that_are_not_believed(record: Naptr, why: str) -> None:
    reading = read_records(NUMBER, [record])
    assert reading.element == ""
    assert len(reading.disbelieved) == 1
    assert why in reading.disbelieved[0]


def test_visual_separators_and_case_mean_nothing() -> None:
    reading = read_records(NUMBER, [Naptr(1, 1, "U", "e2u+PSTN:tel+sms:tel", "!^.*$!TEL:+1-617-555-0001;SPN=600a!")])
    assert reading.element == "SPID:600A"
    assert [kind for kind, _ in reading.services] == ["pstn:tel", "sms:tel"]


def test_the_first_record_counts_and_a_bad_one_hides_no_good_one() -> None:
    bad, good, late = "spn=1", "spn=6006", "spn=7007"
    records = [
        pstn(f"!^.*$!tel:{NUMBER};{words}!", preference=preference)
        for preference, words in ((30, late), (20, good), (10, bad))
    ]
    assert read_records(NUMBER, records).element == "SPID:6006"


def test_only_so_many_records_are_looked_at() -> None:
    records = [pstn("!^.*$!tel:+1;x!", preference=n) for n in range(MAX_RECORDS)]
    late = pstn(f"!^.*$!tel:{NUMBER};spn=6006!", preference=MAX_RECORDS)
    reading = read_records(NUMBER, [*records, late])
    assert reading.element == ""
    assert f"{MAX_RECORDS} of {MAX_RECORDS + 1}" in reading.disbelieved[0]


def test_strangers_words_are_fit_to_show() -> None:
    assert shown("a\x1b[31m\nb" + "ü" * 5, 8) == "a?[31..."
    [why] = read_records(NUMBER, [pstn("\x1b]0;x\x07" + "y" * 5000)]).disbelieved
    assert why.isascii()
    assert why.isprintable()
    assert len(why) < 250
