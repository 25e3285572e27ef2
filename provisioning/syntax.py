"""The syntax of names, addresses and identification elements. Pure; each reader answers the canonical form.

A reader takes the text and the field's name, and raises ``BadValue`` with what to do. An empty text never reaches one:
it means that the field is not given.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from enum import StrEnum

import msgspec

from provisioning.e164 import MAX_DIGITS, parse_number
from provisioning.errors import BadValue, did_you_mean

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_SYSTEM_ID = re.compile(r"[!-~]{1,15}")  # SMPP 3.4 §5.2.1: a C-octet string of 16 with its NUL; we allow no space
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_SOURCE = re.compile(r"\+?[0-9]{1,15}\*?|[A-Za-z0-9 ._&-]{1,11}|\+?\*")
_TON_NPI_RULE = re.compile(r"(source|destination) (\S+) ([0-9]{1,2})/([0-9]{1,2})", re.ASCII)
_PREFIX = re.compile(r"\+?[0-9]{0,15}")
_RANGE_HYPHEN = re.compile(r"\s*-\s*(?=\+)")  # those within a number have no '+' behind them
_SIP_URI = re.compile(
    r"sips?:(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/%]+(?::[^@\s]*)?@)?"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[;?][^\s<>\"]*)?"
)

MAX_WEIGHT = 1000
MAX_TON = 6  # SMPP 3.4 §5.2.5
MAX_NPI = 18  # SMPP 3.4 §5.2.6


class ElementKind(StrEnum):
    """The kinds of identification element (H8)."""

    SPID = "SPID"
    ESPID = "eSPID"
    VSPID = "vSPID"
    ALT_SPID = "AltSPID"
    OCN = "OCN"
    SIP_URI = "SIP URI"


# NPAC's SPID, its alternative SPID and NECA's OCN are four letters or digits (NANC 358, ATIS-0300251). The enhanced and
# virtual SPIDs are a registry's own, of four to six.
_ELEMENT_FORMS = {
    ElementKind.SPID: (re.compile(r"[A-Z0-9]{4}"), "four letters or digits"),
    ElementKind.ALT_SPID: (re.compile(r"[A-Z0-9]{4}"), "four letters or digits"),
    ElementKind.OCN: (re.compile(r"[A-Z0-9]{4}"), "four letters or digits"),
    ElementKind.ESPID: (re.compile(r"[A-Z0-9]{4,6}"), "four to six letters or digits"),
    ElementKind.VSPID: (re.compile(r"[A-Z0-9]{4,6}"), "four to six letters or digits"),
}


class IdentificationElement(msgspec.Struct, frozen=True):
    """Who stands behind a number (H8).

    Attributes:
        kind: which registry's.
        value: its value there, or a SIP URI.
    """

    kind: ElementKind
    value: str

    def __str__(self) -> str:
        return self.value if self.kind is ElementKind.SIP_URI else f"{self.kind.value}:{self.value}"


def parse_element(text: str, field: str = "element") -> IdentificationElement:
    """Read an identification element.

    Args:
        text: ``"SPID:6006"``, ``"eSPID:E1234"``, ``"sip:helpline@example.net"``.
        field: the name that an error shall carry.

    Raises: BadValue.
    """
    scheme, colon, value = text.partition(":")
    if scheme.lower() in ("sip", "sips"):
        canonical = f"{scheme.lower()}:{value}"
        if _SIP_URI.fullmatch(canonical):
            return IdentificationElement(ElementKind.SIP_URI, canonical)
        raise BadValue(field, text, "is no SIP URI: write for example 'sip:helpline@example.net'")
    names = {kind.value.lower(): kind for kind in _ELEMENT_FORMS}
    kind = names.get(scheme.lower())
    if kind is None or not colon:
        known = [kind.value for kind in _ELEMENT_FORMS]
        hint = did_you_mean(scheme, known) if colon else ""
        raise BadValue(field, text, f"write {', '.join(known)} with ':' and its value, or a SIP URI{hint}")
    form, words = _ELEMENT_FORMS[kind]
    if not form.fullmatch(value.upper()):
        raise BadValue(field, text, f"{kind.value} has {words}: for example '{kind.value}:6006'")
    return IdentificationElement(kind, value.upper())


def read_element(text: str, field: str) -> str:
    """Bring an identification element into its canonical text."""
    return str(parse_element(text, field))


def read_number(text: str, field: str) -> str:
    """Read an E.164 number; a file or command always writes the country code."""
    return parse_number(text, None, field)


def read_name(text: str, field: str) -> str:
    """Check a name: it appears in logs, metrics, endpoint names and command lines."""
    if not _NAME.fullmatch(text):
        raise BadValue(
            field, text, "use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit"
        )
    return text


def read_system_id(text: str, field: str) -> str:
    """Check a system_id: 1 to 15 visible ASCII characters (SMPP 3.4 §5.2.1)."""
    if not _SYSTEM_ID.fullmatch(text):
        raise BadValue(field, text, "use 1 to 15 visible ASCII characters without spaces (SMPP 3.4 §5.2.1)")
    return text


def read_ascii(text: str, field: str) -> str:
    """Check a text that travels as a C-octet string."""
    if not text.isascii():
        raise BadValue(field, text, "must be ASCII: it travels as a C-octet string")
    return text


def read_host(text: str, field: str) -> str:
    """Check a host's name or address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    labels = text.rstrip(".").split(".")
    # The last label is never a number, so 10.0.0.256 is a wrong address and not a name.
    if len(text) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise BadValue(field, text, "is neither a host's name nor an IP address")
    return text


def read_network(text: str, field: str) -> str:
    """Read an address or a network in CIDR form."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise BadValue(
            field, text, "write an address or a network: '192.0.2.7', '192.0.2.0/24', '2001:db8::/32'"
        ) from None


def read_domain(text: str, field: str) -> str:
    """Check an XMPP domain."""
    labels = text.lower().split(".")
    if len(text) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise BadValue(field, text, "is no domain: write for example 'sms.example.net'")
    return text.lower()


def read_jid(text: str, field: str) -> str:
    """Check a JID; its local part and resource are kept as they are, its domain in lower case."""
    bare, slash, resource = text.partition("/")
    local, at, domain = bare.rpartition("@")
    bad = (
        (at and not local)
        or (slash and not resource)
        or any(character in "\"&'/:<>@ " for character in local)
        or max(len(local.encode()), len(resource.encode())) > 1023
    )
    if bad:
        raise BadValue(field, text, "is no JID: write for example 'director@example.net'")
    return f"{local}{at}{read_domain(domain, field)}{slash}{resource}"


def read_source(text: str, field: str) -> str:
    """Check a source that an account may use: an address, or the beginning of some, ended by ``*``."""
    if not _SOURCE.fullmatch(text):
        raise BadValue(field, text, "write a number ('+12025550143'), a beginning ('+1202*'), a short code or a name")
    return text


def read_prefix(text: str, field: str) -> str:
    """Check the beginning of destinations; ``*`` is all of them."""
    if text == "*":
        return text
    if not _PREFIX.fullmatch(text) or text == "":
        raise BadValue(field, text, f"write '*', or '+' and up to {MAX_DIGITS} digits, or digits alone for short codes")
    return text


def read_member(text: str, field: str) -> str:
    """Check a link of a group: its name, or its name with ``=`` and a weight of 1 to 1000."""
    name, equals, weight = text.partition("=")
    read_name(name.strip(), field)
    if not equals:
        return name.strip()
    words = weight.strip()
    if not (words.isascii() and words.isdecimal() and 1 <= int(words) <= MAX_WEIGHT):
        raise BadValue(field, text, f"the weight is a whole number from 1 to {MAX_WEIGHT}: 'acme=3'")
    return f"{name.strip()}={int(words)}" if int(words) != 1 else name.strip()


def read_ton_npi_rule(text: str, field: str) -> str:
    """Check a rule for type of number and numbering plan: ``source +1* 1/1``, ``destination 77377 3/0``."""
    found = _TON_NPI_RULE.fullmatch(" ".join(text.split()))
    if found is None:
        raise BadValue(
            field, text, "write 'source' or 'destination', an address or a beginning, TON/NPI: 'source +1* 1/1'"
        )
    side, pattern, ton, npi = found.groups()
    read_source(pattern, field)
    if int(ton) > MAX_TON or int(npi) > MAX_NPI:
        raise BadValue(field, text, f"TON is 0 to {MAX_TON}, NPI 0 to {MAX_NPI} (SMPP 3.4 §5.2.5, §5.2.6)")
    return f"{side} {pattern} {int(ton)}/{int(npi)}"


def read_endpoint(text: str, field: str) -> str:
    """Check the name of a network endpoint: ``link:x``, ``group:y`` or ``account:z``."""
    kind, _, name = text.partition(":")
    if kind in ("link", "group"):
        return f"{kind}:{read_name(name, field)}"
    if kind == "account":
        return f"account:{read_system_id(name, field)}"
    raise BadValue(field, text, "write 'link:NAME', 'group:NAME' or 'account:SYSTEM_ID'")


def read_range(text: str, field: str) -> str:
    """Read a number or a range of numbers: ``+16175550100``, ``+16175550001-+16175559999``."""
    first, _, last = _RANGE_HYPHEN.sub("\n", text, count=1).partition("\n")
    low = parse_number(first.strip(), None, field)
    if text.rstrip().endswith("-"):
        raise BadValue(field, text, "lacks the last number of the range: '+16175550001-+16175559999'")
    if not last:
        return low
    high = parse_number(last.strip(), None, field)
    if len(low) != len(high) or high < low:
        raise BadValue(field, text, "the last number of a range is as long as the first, and not below it")
    return f"{low}-{high}" if high != low else low


def read_day(text: str, field: str) -> str:
    """Check a day: ``2026-11-01``."""
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise BadValue(field, text, "is no day: write for example '2026-11-01'") from None
    return day.isoformat()
