"""Lists of numbers: plain, as CSV, and what is neither."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.number_lists import MAX_FAULTS, BadList, Row, read_list

COLUMNS = ("element", "link")


def settings_of(text, columns=COLUMNS):
    return [(row.line, row.settings) for row in read_list(text.encode(), "f", columns)]


def test_a_plain_list_has_comments_and_empty_lines():
    found = settings_of("# ours\n+12025550101\n\n  +1 202-555-0102  # reception\r\n")
    assert found == [(2, {"number": "+12025550101"}), (4, {"number": "+1 202-555-0102"})]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_names_its_columns(delimiter):
    text = "\ufeffElement,NUMBER,Link\nSPID:6006,+12025550101,\n\n,+12025550102,link:acme\n".replace(",", delimiter)
    assert settings_of(text) == [
        (2, {"element": "SPID:6006", "number": "+12025550101"}),
        (4, {"number": "+12025550102", "link": "link:acme"}),
    ]


def test_a_table_may_quote():
    assert settings_of('number,element\n"+12025550101","sip:a,b@example.net"\n') == [
        (2, {"number": "+12025550101", "element": "sip:a,b@example.net"})
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "f: holds no number"),
        ("# nothing\n\n", "f: holds no number"),
        ("number,element\n", "f: holds no number"),
        ("+12025550101,SPID:6006\n", "f:1: has more than a number: let the first line name the columns"),
        ("number,colour\n+12025550101,red\n", "f:1: 'colour' is no column: write number and any of element, link"),
        ("number,number\n+12025550101,1\n", "f:1: names a column twice"),
        (
            "number,element\n+12025550101\n+12025550102,x,y\n",
            "f:2: has 1 columns, and the first line names 2\nf:3: has 3",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, told):
    with pytest.raises(BadList) as refused:
        settings_of(text)
    assert str(refused.value).startswith(told)


def test_what_is_no_text_is_told_with_its_line():
    with pytest.raises(BadList, match="f:2: is not UTF-8"):
        read_list(b"+12025550101\n\xff\n", "f")


def test_of_very_many_faults_some_are_told():
    with pytest.raises(BadList) as refused:
        settings_of("number,element\n" + "x\n" * 1000)
    assert len(refused.value.faults) == 1000
    assert len(str(refused.value).splitlines()) == MAX_FAULTS + 1


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_octets_are_a_list_or_refused(octets):
    rows = [Row(0, {})]
    with suppress(BadList):
        rows = read_list(octets, "f", COLUMNS)
    assert rows
    assert all(isinstance(row, Row) for row in rows)
