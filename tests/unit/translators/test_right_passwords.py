"""Passwords that were found right. Pure."""

from __future__ import annotations

import pytest

from translators import right_passwords as module
from translators.right_passwords import RightPasswords


def test_what_was_right_is_known_and_nothing_else() -> None:
    right = RightPasswords(b"k" * 32)
    assert not right.knows("acme", "hash 1", "pw")
    right.remember("acme", "hash 1", "pw")
    assert right.knows("acme", "hash 1", "pw")
    for system_id, password_hash, password in (
        ("other", "hash 1", "pw"),
        ("acme", "hash 2", "pw"),  # it has a new password
        ("acme", "", "pw"),  # nobody may bind any more
        ("acme", "hash 1", "pW"),
        ("acme", "hash 1", ""),
        ("acme", "hash 1", "\udc80"),  # octets that are no text
    ):
        assert not right.knows(system_id, password_hash, password)
    right.remember("acme", "hash 2", "new")
    assert right.knows("acme", "hash 2", "new")
    assert not right.knows("acme", "hash 1", "pw")


def test_no_password_is_kept_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ACCOUNTS", 3)
    right = RightPasswords(b"k" * 32)
    for at in range(10):
        right.remember(f"a{at}", "hash", "pa55word")
    assert len(right._known) == 3
    assert right.knows("a9", "hash", "pa55word")
    assert not right.knows("a0", "hash", "pa55word")
    assert "pa55word" not in repr(vars(right))
