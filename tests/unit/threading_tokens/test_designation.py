"""H21: a CSR is named in one of four ways, each spelt in one way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threading_tokens.designation import Designation, DesignationKind
from threading_tokens.errors import BadDesignation

GOOD = [
    ("terminal", "00-1A-2B-3C-4D-5E", "00:1a:2b:3c:4d:5e"),
    ("terminal", "001a.2b3c.4d5e", "00:1a:2b:3c:4d:5e"),
    ("terminal", "001A2B3C4D5E", "00:1a:2b:3c:4d:5e"),
    ("terminal", "00:1a:2b:ff:fe:3c:4d:5e", "00:1a:2b:ff:fe:3c:4d:5e"),
    ("session", "10.0.0.7", "10.0.0.7"),
    ("session", "10.0.0.7:05060;call-id=a84b4c@x", "10.0.0.7:5060;call-id=a84b4c@x"),
    ("session", "2001:DB8:0::1", "2001:db8::1"),
    ("session", "[2001:DB8::1]:443;sid=1;tab=2", "[2001:db8::1]:443;sid=1;tab=2"),
    ("login", "jörg.meier", "jörg.meier"),
    ("login", "ACME\\alice", "ACME\\alice"),
    ("address", "+16175550100", "+16175550100"),
    ("address", "tel:+16175550100;ext=12", "+16175550100;ext=12"),
    ("address", "+16175550100 x12", "+16175550100;ext=12"),
    ("address", "+16175550100 Ext. 12", "+16175550100;ext=12"),
    ("address", "Alice@Desk.Example", "Alice@desk.example"),
    ("address", "alice@localhost/phone 2", "alice@localhost/phone 2"),
    ("address", "alice@desk.example/a@b/c", "alice@desk.example/a@b/c"),
    ("address", "director.example", "director.example"),
    ("address", "jörg@büro.example", "jörg@büro.example"),
]


@pytest.mark.parametrize(("kind", "given_value", "canonical"), GOOD)
def test_spellings(kind: str, given_value: str, canonical: str) -> None:
    designation = Designation.parse(kind, given_value)
    assert designation == Designation(kind, canonical)
    assert Designation.parse(kind, canonical) == designation
    assert designation.address == (canonical if kind == "address" else "")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("nickname", "alice"),
        ("", ""),
        ("terminal", ""),
        ("terminal", "00:1a:2b:3c:4d"),
        ("terminal", "00:1a:2b:3c:4d:5g"),
        ("terminal", "00:1a-2b:3c-4d:5e"),
        ("session", ""),
        ("session", "desk.example:5060"),
        ("session", "10.0.0.256"),
        ("session", "10.0.0.7:65536"),
        ("session", "10.0.0.7:0"),
        ("session", "[10.0.0.7]:1"),
        ("session", "10.0.0.7;sid"),
        ("session", "10.0.0.7;a b=c"),
        ("session", "10.0.0.7;" + "a=b;" * 300),
        ("login", ""),
        ("login", " alice"),
        ("login", "ali\nce"),
        ("login", "ali\u200bce"),
        ("login", "x" * 257),
        ("address", ""),
        ("address", "alice"),
        ("address", "6175550100"),
        ("address", "+0175550100"),
        ("address", "+1617555010012345"),
        ("address", "alice@"),
        ("address", "@desk.example"),
        ("address", "al ice@desk.example"),
        ("address", "a@b@desk.example"),
        ("address", "alice@desk.example/"),
        ("address", "alice@-desk.example"),
        ("address", "10.0"),
        ("address", "alice@desk.example/\x00"),
        ("address", "a" * 1_024 + "@desk.example"),
    ],
)
def test_what_names_nobody(kind: str, value: str) -> None:
    with pytest.raises(BadDesignation) as caught:
        Designation.parse(kind, value)
    assert caught.value.kind == kind
    assert len(str(caught.value)) < 300


@given(st.sampled_from([*DesignationKind]), st.text(max_size=80))
def test_anything_is_a_designation_or_refused(kind: DesignationKind, value: str) -> None:
    try:
        designation = Designation.parse(kind, value)
    except BadDesignation:
        return
    assert Designation.parse(kind, designation.value) == designation
