"""An account sends from a call centre's number only when it was granted senders by name (H13)."""

from __future__ import annotations

from hub.routing import may_send_as
from provisioning import Account
from provisioning.secret import Secret, SecretKind
from tests.fixtures_hub import FAR_AWAY, NUMBER, make_directory

HASH = Secret(SecretKind.HASH, "x")


def test_an_account_without_granted_senders_is_kept_from_call_centres_numbers() -> None:
    directory = make_directory(accounts=[Account(system_id="agg", password=HASH)])
    assert not may_send_as("agg", NUMBER, directory)
    assert may_send_as("agg", FAR_AWAY, directory)


def test_granted_senders_are_the_translators_to_check() -> None:
    directory = make_directory(accounts=[Account(system_id="agg", password=HASH, allowed_sources=(NUMBER,))])
    assert may_send_as("agg", NUMBER, directory)


def test_an_account_that_is_gone_may_not() -> None:
    assert not may_send_as("nobody", NUMBER, make_directory())
