"""The opt-out ledger as comma-separated values: what is read, what is refused, and that it survives the round trip."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.opt_out import Entry, scope_of
from ops.opt_out_csv import (
    HEAD,
    WAYS,
    BadFile,
    BadLine,
    read_customer,
    read_lines,
    read_number,
    read_time,
    row_of,
    shown_number,
    shown_time,
)

NOW_US = 1_790_000_000_000_000
LINE = "+18005550100,+12025550143,out,2026-02-03T04:05:06.789012Z,keyword"
AT_US = 1_770_091_506_789_012


def read(*lines: str, head: str = ",".join(HEAD)) -> list[tuple[int, Entry] | BadLine]:
    return list(read_lines([head + "\n", *(line + "\r\n" for line in lines)], NOW_US, "ann"))


def test_a_line_is_read() -> None:
    entry = Entry("+18005550100", "+12025550143", True, AT_US, "keyword", "ann")
    assert read(LINE, "", " , ,,,") == [(2, entry)]
    assert ",".join(row_of(entry)) == LINE


def test_columns_stand_in_any_order_and_others_are_passed_over() -> None:
    [found] = read("x,out,+12025550143,+18005550100", head="comment, STATE ,customer,Number")
    assert found == (2, Entry("+18005550100", "+12025550143", True, 0, "import", "ann"))


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+18005550100", "+18005550100"),
        ("+1 (800) 555-0100", "+18005550100"),
        ("55555", "55555"),
        ("AT&T", "AT&T"),
        ("call-centre:acme", scope_of("acme")),
    ],
)
def test_numbers(written: str, number: str) -> None:
    assert read_number(written) == number
    assert read_number(shown_number(number)) == number


@pytest.mark.parametrize("written", ["", "12025550143", "+1", "+0123456789", "*acme", "call-centre:Acme!", "a" * 12])
def test_what_is_no_number(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_number(written)


@pytest.mark.parametrize("written", ["AT&T", "call-centre:acme", "12025550143", "", "12", "+"])
def test_what_is_no_customer(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_customer(written)


def test_times() -> None:
    assert read_time("2026-02-03T04:05:06.789012Z") == AT_US
    assert read_time("2026-02-03T05:05:06.789012+01:00") == AT_US
    assert read_time("2026-02-03 04:05:06.789012") == AT_US, "UTC where no zone is written"
    assert read_time("2026-02-03") == AT_US // 86_400_000_000 * 86_400_000_000
    assert shown_time(AT_US) == "2026-02-03T04:05:06.789012Z"
    for wrong in ("yesterday", "1969-12-31", "03.02.2026"):
        with pytest.raises(ValueError, match=wrong):
            read_time(wrong)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (LINE.replace("out", "perhaps"), "state is 'perhaps'"),
        (LINE.replace("out", ""), "state is ''"),
        (LINE.replace("keyword", "magic"), "how is 'magic'"),
        (LINE.replace("2026", "2999"), "in the future"),
        (LINE.replace("2026-02-03", "2026-02-31"), "is no time"),
        (LINE.replace("+12025550143", "12025550143"), "'12025550143'"),
        (LINE.replace("+18005550100", ""), "''"),
        ("+18005550100,+12025550143,in", "not since when"),
        ("+18005550100", "state is ''"),
        ('"+18005550100,+12025550143,out', "comma-separated"),
    ],
)
def test_bad_lines_are_told_by_their_number_and_cost_only_themselves(line: str, why: str) -> None:
    before, bad, after = read(LINE, line, LINE)
    assert isinstance(bad, BadLine)
    assert bad.line == 3
    assert why in bad.why
    assert [found[0] for found in (before, after) if not isinstance(found, BadLine)] == [2, 4]


@pytest.mark.parametrize("head", ["", LINE, "number,customer", "number;customer;state", '"number'])
def test_a_file_without_its_head_is_no_file(head: str) -> None:
    with pytest.raises(BadFile):
        read(LINE, head=head)
    with pytest.raises(BadFile, match="empty"):
        list(read_lines([], NOW_US, "ann"))


ENTRIES = st.builds(
    Entry,
    number=st.sampled_from(["+18005550100", "55555", "AT&T", "A-b.c _1", scope_of("acme"), scope_of("a.b-c")]),
    customer=st.sampled_from(["+12025550143", "+447700900123", "12345"]),
    is_out=st.booleans(),
    since_us=st.integers(1, NOW_US),
    how=st.sampled_from(WAYS),
    who=st.just("ann"),
)


@given(st.lists(ENTRIES, max_size=20))
def test_what_is_exported_is_imported(entries: list[Entry]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(row_of(entry) for entry in entries)
    file.seek(0)
    found = list(read_lines(file, NOW_US, "ann"))
    assert found == list(enumerate(entries, 2))


@given(st.lists(st.text(max_size=40), max_size=8))
def test_no_file_breaks_the_reading(lines: list[str]) -> None:
    file = io.StringIO("number,customer,state,since,how\n" + "\n".join(lines))
    for found in read_lines(file, NOW_US, "ann"):
        assert isinstance(found, BadLine) or found[1].number
