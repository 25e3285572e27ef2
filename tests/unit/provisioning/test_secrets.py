"""Secrets and passwords."""

import pytest

from provisioning import (
    Account,
    Link,
    Secret,
    SecretKind,
    UnreadableSecret,
    built,
    hash_password,
    hash_passwords,
    verify_password,
)
from provisioning.errors import BadValue
from provisioning.passwords import DUMMY_HASH


def test_a_literal_is_itself():
    assert Secret(SecretKind.LITERAL, "pw").reveal({}) == "pw"


def test_a_file_without_its_newline(tmp_path):
    (tmp_path / "secret").write_text("pw \r\n")
    assert Secret(SecretKind.FILE, str(tmp_path / "secret")).reveal({}) == "pw "


def test_a_variable():
    assert Secret(SecretKind.ENV, "X").reveal({"X": "pw"}) == "pw"


def test_what_cannot_be_read_says_where_it_should_be(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "long").write_text("x" * 5000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("absent", "empty", "long", "binary", "."):
        with pytest.raises(UnreadableSecret) as caught:
            Secret(SecretKind.FILE, str(tmp_path / name)).reveal({})
        assert str(tmp_path / name) in str(caught.value)
    for environ in ({}, {"X": ""}):
        with pytest.raises(UnreadableSecret, match="env X"):
            Secret(SecretKind.ENV, "X").reveal(environ)
    with pytest.raises(UnreadableSecret):
        Secret(SecretKind.HASH, "$argon2id$x").reveal({})


def test_what_is_shown():
    assert repr(Secret(SecretKind.LITERAL, "pw")) == "Secret(***)"
    assert str(Secret(SecretKind.HASH, "pw")) == "Secret(***)"
    assert str(Secret(SecretKind.ENV, "NAME")) == "Secret(env NAME)"


def test_a_password_and_no_other():
    known = hash_password("pw")
    assert known.startswith("$argon2id$")
    assert known != hash_password("pw")  # a fresh salt
    assert verify_password(known, "pw")
    assert not verify_password(known, "pW")
    assert not verify_password(known, "")


@pytest.mark.parametrize("unknown", [None, ""])
def test_an_account_that_does_not_exist_is_refused_after_the_same_work(unknown):
    assert not verify_password(unknown, "pw")
    # The work is in the parameters: those of a real hash.
    assert DUMMY_HASH.split("$")[1:4] == hash_password("pw").split("$")[1:4]


def test_a_broken_hash_lets_nobody_in():
    assert not verify_password("$argon2id$broken", "pw")
    assert not verify_password("pw", "pw")


def test_accounts_passwords_become_hashes_and_equal_ones_keep_theirs(tmp_path):
    literal = built(Account, system_id="a", password="pw")
    by_file = built(Account, system_id="b", password_file=str(tmp_path / "f"))
    (tmp_path / "f").write_text("other\n")
    link = built(Link, name="l", host="h", system_id="s", password="pw")
    done, refusals = hash_passwords([literal, link, by_file], {}, {})
    assert refusals == []
    assert done[1] is link
    assert verify_password(done[0].password_hash, "pw")
    assert verify_password(done[2].password_hash, "other")
    known = {"a": done[0].password_hash, "b": done[2].password_hash}
    (tmp_path / "f").write_text("changed\n")
    again, _ = hash_passwords([literal, link, by_file], known, {})
    assert again[0] == done[0]
    assert again[2] != done[2]
    assert verify_password(again[2].password_hash, "changed")


def test_a_hash_is_taken_as_it_is():
    account = built(Account, system_id="a", password_hash=hash_password("pw"))
    assert hash_passwords([account], {}, {}) == ([account], [])


def test_what_cannot_be_hashed_is_refused_by_index():
    absent = built(Account, system_id="a", password_env="NOWHERE")
    long = built(Account, system_id="b", password_env="LONG")
    _, refusals = hash_passwords([absent, long], {}, {"LONG": "nine-char"})
    assert [index for index, _ in refusals] == [0, 1]
    assert isinstance(refusals[0][1], UnreadableSecret)
    assert isinstance(refusals[1][1], BadValue)
    assert "nine-char" not in str(refusals[1][1])
