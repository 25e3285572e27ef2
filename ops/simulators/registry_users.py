"""Who may speak to a simulated registry. Pure: the time is an argument.

Passwords and tokens are compared in constant time, and all users are looked at, so that the time of an answer tells
nothing of them. A nonce of WS-Security is taken once (Username Token Profile 1.1 §3.1): a token that was seen, or whose
time is more than five minutes off, is refused, and remembered no longer than that.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec

from provisioning.directories.soap_envelope import (
    PASSWORD_DIGEST,
    PASSWORD_TEXT,
    WSSE_NS,
    WSU_NS,
    password_digest,
)
from provisioning.directories.xml_reading import Element

FRESH_US: Final = 300_000_000
"""The profile recommends five minutes."""

MAX_NONCES: Final = 100_000
"""More within five minutes are refused: 300 requests a second."""

MAX_NONCE_OCTETS: Final = 256


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may publish numbers.

    Attributes:
        name, password: of the SOAP side; empty when it is closed to them.
        token: of the REST side; empty when it is closed to them.
        owner: whose the numbers are that they publish; their name when empty.
    """

    name: str
    password: str = ""
    token: str = ""
    owner: str = ""

    @property
    def owner_id(self) -> str:
        """Whose their numbers are."""
        return self.owner or self.name

    def __repr__(self) -> str:
        """Show who it is, and no secret."""
        return f"<User {self.name!r}>"


class NotAuthenticated(Exception):
    """A request does not show who asks, or shows it wrongly."""


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogateescape")).digest()


def by_bearer(users: Sequence[User], authorization: str) -> User:
    """Who shows a bearer token. Raises: NotAuthenticated."""
    scheme, _, token = authorization.partition(" ")
    found = None
    if scheme.lower() == "bearer":
        shown = _digest(token.strip())
        for user in users:
            if hmac.compare_digest(_digest(user.token), shown) and user.token:
                found = user
    if found is None:
        raise NotAuthenticated("no token, or not a valid one")
    return found


class TokenDesk:
    """Checks the UsernameTokens of one registry."""

    def __init__(self) -> None:
        self._nonces: OrderedDict[bytes, int] = OrderedDict()  # nonce, and when it may be forgotten

    def by_username_token(
        self, users: Sequence[User], security: Element | None, now_us: int, *, is_private: bool
    ) -> User:
        """Who shows a UsernameToken.

        Args:
            users: who there are.
            security: the header, or None when there was none.
            now_us: the time.
            is_private: nobody can read along (TLS): a password may be shown as it is.

        Raises: NotAuthenticated.
        """
        token = security.child(f"{WSSE_NS} UsernameToken") if security is not None else None
        shown = token.child(f"{WSSE_NS} Password") if token is not None else None
        if token is None or shown is None:
            raise NotAuthenticated("no UsernameToken with a password")
        name = token.child_text(f"{WSSE_NS} Username")
        kind = shown.attributes.get("Type", PASSWORD_TEXT)
        nonce = b""
        created = token.child_text(f"{WSU_NS} Created")
        if kind == PASSWORD_DIGEST:
            nonce = self._fresh(token.child_text(f"{WSSE_NS} Nonce"), created, now_us)
        elif kind != PASSWORD_TEXT or not is_private:
            raise NotAuthenticated("a password may be shown as it is over TLS only: send a digest")
        found = None
        for user in users:
            expected = password_digest(nonce, created, user.password) if kind == PASSWORD_DIGEST else user.password
            right = hmac.compare_digest(_digest(expected), _digest(shown.text.strip()))
            if right and user.password and hmac.compare_digest(_digest(user.name), _digest(name)):
                found = user
        if found is None:
            raise NotAuthenticated("unknown user or wrong password")
        if nonce:
            # Only now: whoever knows no password cannot fill the memory.
            self._remember(nonce, now_us)
        return found

    def _fresh(self, nonce_text: str, created: str, now_us: int) -> bytes:
        try:
            nonce = base64.b64decode(nonce_text, validate=True)
            when = datetime.fromisoformat(created)
        except (binascii.Error, ValueError):
            raise NotAuthenticated("no Nonce and Created beside the digest, or none that can be read") from None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        if not 0 < len(nonce) <= MAX_NONCE_OCTETS:
            raise NotAuthenticated("a nonce of no length, or of too many octets")
        if abs(when.timestamp() * 1e6 - now_us) > FRESH_US:
            raise NotAuthenticated("the token was made more than five minutes ago, or is to be: look at your clock")
        if self._nonces.get(nonce, 0) > now_us:
            raise NotAuthenticated("the nonce was used already")
        return nonce

    def _remember(self, nonce: bytes, now_us: int) -> None:
        while self._nonces and next(iter(self._nonces.values())) <= now_us:
            self._nonces.popitem(last=False)
        if len(self._nonces) >= MAX_NONCES:
            raise NotAuthenticated("too many tokens within five minutes")
        # Twice as long: a token may be up to five minutes ahead of our clock when it comes, and is fresh until then.
        self._nonces[nonce] = now_us + 2 * FRESH_US
        self._nonces.move_to_end(nonce)
