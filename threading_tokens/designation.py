"""Who a thread is designated to (H21), spelt in one way only.

A director may name the CSR by a terminal's MAC address, by the variables of an IP session, by a login user id, or by a
communications address: a telephone with or without extension, an email address, an IM address. Two spellings of one CSR
must be one value, or the history would show two; so each kind has a canonical form, and `Designation.parse` makes it.

Where the kinds meet the world:

| kind | accepted | canonical |
| --- | --- | --- |
| terminal | EUI-48 or EUI-64, groups by ``:`` or ``-`` or ``.``, or bare | ``00:1a:2b:3c:4d:5e`` |
| session | an IP address, with or without a port, then ``;name=value``… | ``[2001:db8::1]:5060;call-id=x`` |
| login | 1…256 characters, none of control, no space at the ends | as given, NFC |
| address | telephone: ``+`` and digits, then ``;ext=``, ``x``, ``ext.``; or a ``tel:`` URI | ``+16175550100;ext=12`` |
|  | email or JID: ``local@domain`` with or without ``/resource``; or a dotted domain alone | domain in lower case |
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from enum import StrEnum

import msgspec

from threading_tokens.errors import BadDesignation

MAX_LOGIN_CHARACTERS = 256
MAX_SESSION_CHARACTERS = 1_024
# RFC 7622 §3.1 allows 1,023 octets for each of the three parts of a JID.
MAX_ADDRESS_PART_OCTETS = 1_023

_TERMINAL_GROUPS = re.compile(
    r"[0-9a-f]{2}(?P<by>[:-])(?:[0-9a-f]{2}(?P=by)){4}(?:[0-9a-f]{2}(?P=by)[0-9a-f]{2}(?P=by))?[0-9a-f]{2}"
    r"|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?:\.[0-9a-f]{4})?"
    r"|[0-9a-f]{12}|[0-9a-f]{16}",
    re.ASCII,
)
_SESSION_HOST = re.compile(
    r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::(?P<port6>\d{1,5}))?|(?P<four>[0-9.]+)(?::(?P<port4>\d{1,5}))?"
)
_SESSION_VARIABLE = re.compile(r"[A-Za-z0-9_.-]{1,64}=[^\s;\x00-\x1f\x7f]{0,256}")
# H10: at most 15 digits. An extension is what a PBX dials: RFC 3966 §3 writes it `;ext=`.
_TELEPHONE = re.compile(
    r"(?:tel:)?\+(?P<digits>[1-9][0-9]{2,14})(?:(?:;ext=| {0,2}x| {0,2}ext\.? {0,2})(?P<extension>[0-9]{1,10}))?",
    re.IGNORECASE | re.ASCII,
)
# What RFC 7622 §3.3.1 forbids in a localpart, beside spaces and controls.
_LOCAL_FORBIDDEN = frozenset("\"&'/:<>@")
_DOMAIN = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(?:\.(?!-)[\w-]{1,63}(?<!-))*")


class DesignationKind(StrEnum):
    """The four ways of H21 to name a CSR."""

    TERMINAL = "terminal"
    SESSION = "session"
    LOGIN = "login"
    ADDRESS = "address"


class Designation(msgspec.Struct, frozen=True, gc=False):
    """One CSR, named in one of four ways. Equal designations are one CSR.

    Build it with `parse`; the constructor takes what a store or a `parse` has already checked.

    Attributes:
        kind: ``"terminal"``, ``"session"``, ``"login"`` or ``"address"``.
        value: the name, in the canonical form of its kind.

    Source: H21.
    """

    kind: str
    value: str

    @classmethod
    def parse(cls, kind: str, value: str) -> Designation:
        """Check a designation from outside and spell it canonically.

        Raises:
            BadDesignation: the kind is none of the four, or the value is misspelt.
        """
        read = _READERS.get(kind)
        if read is None:
            raise BadDesignation(kind, value, "one of the kinds terminal, session, login, address")
        return cls(str(kind), read(value))

    @property
    def address(self) -> str:
        """The communications address to send to, empty when the CSR is named in another way."""
        return self.value if self.kind == DesignationKind.ADDRESS else ""


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in text)


def _read_terminal(value: str) -> str:
    text = value.strip().lower()
    if not _TERMINAL_GROUPS.fullmatch(text):
        raise BadDesignation("terminal", value, "a MAC address of 12 or 16 hexadecimal digits")
    digits = re.sub(r"[^0-9a-f]", "", text)
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def _read_session(value: str) -> str:
    expected = "an IP address, with or without a port, then ;name=value"
    if len(value) > MAX_SESSION_CHARACTERS:
        raise BadDesignation("session", value, f"at most {MAX_SESSION_CHARACTERS} characters")
    host, *variables = value.strip().split(";")
    if not all(_SESSION_VARIABLE.fullmatch(variable) for variable in variables):
        raise BadDesignation("session", value, expected)
    found = _SESSION_HOST.fullmatch(host)
    try:
        if found is None:  # IPv6 without brackets can have no port
            spelt = str(ipaddress.IPv6Address(host))
        else:
            address = ipaddress.ip_address(found["six"] or found["four"])
            if (address.version == 6) != bool(found["six"]):
                raise BadDesignation("session", value, expected)
            port = found["port6"] or found["port4"]
            if port is not None and not 0 < int(port) < 65_536:
                raise BadDesignation("session", value, "a port from 1 to 65535")
            spelt = str(address)
            if port is not None:
                spelt = f"[{spelt}]:{int(port)}" if address.version == 6 else f"{spelt}:{int(port)}"
    except ValueError as error:
        raise BadDesignation("session", value, expected) from error
    return ";".join([spelt, *variables])


def _read_login(value: str) -> str:
    text = unicodedata.normalize("NFC", value[: MAX_LOGIN_CHARACTERS + 1])
    if not 0 < len(text) <= MAX_LOGIN_CHARACTERS or text != text.strip() or _has_control(text):
        raise BadDesignation(
            "login", value, f"1 to {MAX_LOGIN_CHARACTERS} characters without control characters or spaces at the ends"
        )
    return text


def _read_address(value: str) -> str:
    text = value.strip()
    telephone = _TELEPHONE.fullmatch(text)
    if telephone:
        extension = telephone["extension"]
        return f"+{telephone['digits']}" + (f";ext={extension}" if extension else "")
    expected = "a telephone in E.164 with or without extension, an email address, or a JID"
    bare, slash, resource = text.partition("/")
    local, at, domain = bare.rpartition("@")
    domain = unicodedata.normalize("NFC", domain[:MAX_ADDRESS_PART_OCTETS].lower())
    is_sound = (
        bool(_DOMAIN.fullmatch(domain))
        and (bool(local) if at else "." in domain and not domain.replace(".", "").isdigit())
        and not _LOCAL_FORBIDDEN.intersection(local)
        and " " not in local
        and bool(resource) == bool(slash)
        and all(len(part.encode("utf-8", "replace")) <= MAX_ADDRESS_PART_OCTETS for part in (local, domain, resource))
        and not _has_control(text)
    )
    if not is_sound:
        raise BadDesignation("address", value, expected)
    return f"{local}{at}{domain}{slash}{resource}"


_READERS: dict[str, Callable[[str], str]] = {
    DesignationKind.TERMINAL: _read_terminal,
    DesignationKind.SESSION: _read_session,
    DesignationKind.LOGIN: _read_login,
    DesignationKind.ADDRESS: _read_address,
}
