"""Forms: read whole or refused, whatever the octets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.api.forms import MAX_PARTS, BadForm, read_form

TYPE = "multipart/form-data; boundary=x"
FIELD = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
FILE = b'--x\r\nContent-Type: application/pdf\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n%s\r\n'


def test_a_form_with_a_file() -> None:
    binary = bytes(range(256)) * 3 + b"\r\n--y\r\n"
    parts = read_form(TYPE, FIELD % (b"a", "é".encode()) + FILE % binary + b"--x--\r\n")
    assert (parts["a"].text, parts["a"].is_file) == ("é", False)
    assert (parts["f"].octets, parts["f"].is_file) == (binary, True)


@pytest.mark.parametrize(
    ("content_type", "octets"),
    [
        ("multipart/form-data", b"--x--\r\n"),
        (f"multipart/form-data; boundary={'x' * 71}", b"--x--\r\n"),
        (TYPE, b""),
        (TYPE, b"words"),
        (TYPE, FIELD % (b"a", b"1")),  # no end
        (TYPE, FIELD % (b"", b"1") + b"--x--\r\n"),
        (TYPE, FIELD % (b"a", b"1") * 2 + b"--x--\r\n"),
        (TYPE, b"".join(FIELD % (b"%d" % at, b"1") for at in range(MAX_PARTS + 1)) + b"--x--\r\n"),
        (TYPE, b"--x\r\nX: " + b"y" * 5000 + b"\r\n\r\n\r\n--x--\r\n"),
        (TYPE, b"--x\r\n\r\nno header\r\n--x--\r\n"),
    ],
)
def test_what_is_no_form(content_type: str, octets: bytes) -> None:
    with pytest.raises(BadForm):
        read_form(content_type, octets)


def test_words_that_are_none() -> None:
    with pytest.raises(BadForm, match="UTF-8"):
        _ = read_form(TYPE, FIELD % (b"a", b"\xff") + b"--x--\r\n")["a"].text


@given(
    st.text(), st.binary() | st.lists(st.sampled_from([FIELD, FILE, b"--x", b"\r\n", b"--", b":", b"a"])).map(b"".join)
)
def test_any_octets_are_a_form_or_none(content_type: str, octets: bytes) -> None:
    for told in (TYPE, content_type):
        try:
            parts = read_form(told, octets)
        except BadForm:
            continue
        assert len(parts) <= MAX_PARTS
