"""The files that a directory is told by, and what is believed of its acknowledgements."""

import csv
import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provisioning.directories import Answer, Finding, Listing, Task
from provisioning.directories.file_format import (
    ACK_COLUMNS,
    COLUMNS,
    BadAcknowledgement,
    check_digest,
    digest_line,
    is_stem,
    read_answers,
    stem_of,
    written,
)

HEAD = b"number,status,reason\r\n"


def a_task(number="+16175550100", key="0663a1b2c3d4e5-16175550100-pc0ffee", **more):
    return Task(key, Listing(number=number, real_number=number, call_centre="acme", **more))


def test_a_file_is_csv_with_a_head_line_and_any_text_survives():
    title = 'Ärzte, "Söhne" & Co; 電話'
    octets = written("publish", [a_task(title=title, texts_per_day=7), a_task("+16175550101", "k2")])
    assert octets.endswith(b"\r\n")
    first, second = csv.DictReader(octets.decode().splitlines())
    assert tuple(first) == COLUMNS
    assert (first["action"], first["number"], first["title"], first["texts_per_day"]) == (
        "publish",
        "+16175550100",
        title,
        "7",
    )
    assert second["key"] == "k2"


def test_a_line_break_in_a_title_makes_no_second_line():
    octets = written("publish", [a_task(title="Acme\r\n+19005550100,evil\u2028x")])
    assert len(octets.decode().splitlines()) == 2


def test_a_file_is_named_by_its_tasks():
    tasks = [a_task(), a_task("+16175550101", "0663a1b2c3d4e5-16175550101-pc0ffee")]
    assert stem_of("d", tasks) == stem_of("d", tasks[::-1])
    assert stem_of("d", tasks) != stem_of("d", tasks[:1])
    assert stem_of("d", tasks).startswith("d-0663a1b2c3d4e5-")
    assert stem_of("d", [a_task(key="0663a1b2c3d4e6-1-p")]) > stem_of("d", tasks)
    assert is_stem(stem_of("d", tasks))
    assert is_stem(stem_of("a-b.c_d", [a_task(key="no such beginning")]))


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "d-0-0123456789abcdef/../x", "D-0-0123456789abcdef", "d\n"])
def test_no_other_name_becomes_part_of_a_path(name):
    assert not is_stem(name)


def test_an_acknowledgement_is_read_leniently():
    octets = (
        b"\xef\xbb\xbfReason;STATUS;Number;more\n"
        b"fine;Active;+16175550100;1\n"
        b'"no; really";refused;16175550101\r\n'
        b"\n"
        b"x;taken;+16175550102;\n"
        b";conflict;+16175550103\r"
        b"total;active;2 numbers\n"
        b'";active;+16175550104\n'
        b";withdrawn;+16175550105"
    )
    assert read_answers(octets) == {
        "+16175550100": Answer(Finding.ACTIVE, "fine"),
        "+16175550101": Answer(Finding.REFUSED, "no; really"),
        "+16175550102": Answer(Finding.LATER, "the registry answered 'taken', which is no status"),
        "+16175550103": Answer(Finding.CONFLICT),
        "+16175550105": Answer(Finding.ABSENT),
    }


def test_a_number_that_is_answered_twice():
    octets = HEAD + b"+16175550100,active,\r\n+16175550101,active,\r\n+16175550100,refused,\r\n+16175550101,active,\r\n"
    answers = read_answers(octets)
    assert answers["+16175550100"].finding is Finding.LATER
    assert answers["+16175550101"].finding is Finding.ACTIVE


@pytest.mark.parametrize(
    "octets", [b"", b"\n\n", b"\xff\xfe", b"number,reason\n", b"number,status,number\n", b"number,status\n\x00"]
)
def test_an_acknowledgement_that_is_none(octets):
    with pytest.raises(BadAcknowledgement):
        read_answers(octets)


@given(st.binary(max_size=400))
@example(HEAD + b'"' * 300)
@example(HEAD + b",".join([b"x"] * 200))
def test_whatever_a_registry_writes_is_read_or_refused(octets):
    for text in (octets, HEAD + octets):
        try:
            answers = read_answers(text)
        except BadAcknowledgement:
            continue
        assert all(number[0] == "+" and isinstance(answer, Answer) for number, answer in answers.items())


def test_a_digest_is_the_one_of_sha256sum():
    octets = b"abc"
    line = digest_line(octets, "f.csv")
    assert line == f"{hashlib.sha256(octets).hexdigest()}  f.csv\n".encode()
    digest = line.split()[0]
    for good in (line, digest, digest.upper() + b" *f.csv\r\n", b"\\" + line):
        check_digest(octets, good)
    for bad in (b"", b"0" * 64, b"\xff", digest[:-1], b"x" + digest):
        with pytest.raises(BadAcknowledgement):
            check_digest(octets, bad)


def test_the_documentation_names_all_columns_and_statuses():
    from pathlib import Path

    from provisioning.directories import file_format

    text = (Path(__file__).parents[3] / "docs/reference/directory-file.md").read_text()
    for name in (*COLUMNS, *ACK_COLUMNS, *file_format._STATUSES):
        assert f"`{name}`" in text
