"""The page on what real SMPP peers do is current, and every test that it names is there."""

from __future__ import annotations

import pytest

from tests.meta.smpp_conformance import TESTS, named_tests, page, problem_of, table

PAGE = TESTS.parent / "docs/reference/smpp-conformance.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.meta.smpp_conformance > docs/reference/smpp-conformance.md"


@pytest.mark.parametrize("name", named_tests())
def test_a_named_test_exists(name: str) -> None:
    assert not problem_of(name)


def test_every_row_says_what_is_done_and_shows_it() -> None:
    rows = [row for section in table()["section"] for row in section["row"]]
    assert rows
    assert all(set(row) == {"peer", "hub", "tests"} and row["tests"] for row in rows)
    assert all(set(row) == {"peer", "missing"} for row in table()["not_yet"])
    peers = [row["peer"] for row in (*rows, *table()["not_yet"])]
    assert len(set(peers)) == len(peers), "a case is there twice"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("unit/smpp/test_no_such.py::test_forgiven", "no file"),
        ("unit/smpp/test_codec_lenient.py::test_no_such", "no test"),
        ("unit/smpp/test_codec_lenient.py::framed", "no test"),
        ("unit/smpp/test_codec_lenient.py::test_forgiven[no such]", "no such case"),
        ("unit/smpp/test_receipt.py::test_err_alphanumeric_or_longer[no such]", "no such case"),
    ],
)
def test_what_is_no_test_is_found_out(name: str, why: str) -> None:
    assert why in problem_of(name)


@pytest.mark.parametrize(
    "name",
    [
        "unit/smpp/test_codec_lenient.py::test_forgiven[both payloads]",
        "unit/smpp/test_receipt.py::test_err_alphanumeric_or_longer[E4A]",
        "sessions/smpp/test_session.py::test_one_bad_pdu_does_not_kill_the_session",
    ],
)
def test_tests_and_their_cases_are_found(name: str) -> None:
    assert not problem_of(name)
