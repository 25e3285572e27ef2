"""What ENUM says of a number: domain names, NAPTR records and owners as values, written and read. Pure; knows no DNS.

A number's name is its digits backwards below a suffix (RFC 6116 §3.2): +16175550001 in ``e164.arpa`` is
``1.0.0.0.5.5.5.7.1.6.1.e164.arpa``. A zone may begin further down: the one-digit labels at its left are the beginning
of the numbers that it holds.

What is written of a number with the element SPID:6006, for texts to the gateway gw.example.net:

| service | URI | says |
| --- | --- | --- |
| ``E2U+sms:tel`` | ``tel:+16175550001`` | it takes texts (RFC 4355 §5.2.1) |
| ``E2U+sms:mailto`` | ``mailto:+16175550001@gw.example.net`` | texts may go there by SMTP (RFC 4355 §5.2.2) |
| ``E2U+mms:mailto`` | the same | and multimedia messages: what MM4 routes by (RFC 4355 §5.4.2) |
| ``E2U+pstn:tel`` | ``tel:+16175550001;spn=6006`` | who stands behind it (RFC 4769, H8), and its routing (H6) |

No ``npdi`` and no ``rn`` is written: they would tell a carrier's switch that the number has been looked up in the
database of ported numbers, and text-enabling a number must not move its voice calls. For the same reason there is no
``E2U+sip``. ``spn`` is what carriers' ENUM calls the service provider; the other parameters are ours. RFC 3966 §3
lets a reader ignore what it does not know.

What is read comes from strangers. A record's regular expression is theirs, so it is never given to a regular expression
engine: literals, one ``.*`` and groups cover what is in use (RFC 6116 §3.4 asks for ``^.*$`` in most cases), are
matched in one pass, and everything else is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from provisioning.errors import BadValue
from provisioning.syntax import ElementKind, parse_element

MARKER: Final = "v=smshub1"  # the first string of the TXT record that tells whose a number's records are
MAX_STRING_OCTETS: Final = 255  # of a character-string: RFC 1035 §3.3
MAX_OWNER_CHARACTERS: Final = 200
MAX_RECORDS: Final = 32  # of one number that are read; a registry has four or five
MAX_GROUPS: Final = 9  # RFC 3402 §3.2: one digit
MAX_URI_CHARACTERS: Final = 512
MAX_PARAMETERS: Final = 16

ORDER: Final = 100  # all equal: whoever reads takes what it can use

ELEMENT_PARAMETERS: Final[dict[str, ElementKind]] = {
    "spn": ElementKind.SPID,
    "altspid": ElementKind.ALT_SPID,
    "espid": ElementKind.ESPID,
    "vspid": ElementKind.VSPID,
    "ocn": ElementKind.OCN,
    "sipuri": ElementKind.SIP_URI,
}
"""The parameters of the tel URI that carry an identification element, by which of them comes first."""

_NAMES = {kind: name for name, kind in ELEMENT_PARAMETERS.items()}
_SERVICE = re.compile(r"E2U((?:\+[a-z0-9-]{1,32}(?::[a-z0-9-]{1,32})*){1,8})", re.IGNORECASE | re.ASCII)
_TEL = re.compile(r"tel:(\+[0-9().-]{1,40})((?:;[^;]*)*)", re.IGNORECASE | re.ASCII)
_PARAMETER = re.compile(r"([a-z0-9_.-]{1,32})(?:=([!-:<-~]{1,256}))?", re.IGNORECASE | re.ASCII)
_URI = re.compile(r"[a-z][a-z0-9+.-]{0,31}:[!-~]+", re.IGNORECASE | re.ASCII)
_SEPARATORS = str.maketrans("", "", "().-")  # RFC 3966 §3: visual-separator


class Unbelievable(Exception):
    """A record that says nothing, with why. Never leaves this module but in words."""


class Naptr(msgspec.Struct, frozen=True):
    """A NAPTR record (RFC 3403 §4.1), its strings without the escapes of a zone file.

    Attributes:
        order, preference: the lowest first.
        flags: ``"u"`` for a URI.
        service: ``"E2U+sms:tel"``.
        regexp: delimiter, expression, delimiter, replacement, delimiter.
        replacement: a domain name; ``"."`` when there is a regexp.
    """

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str = "."


class Owner(msgspec.Struct, frozen=True):
    """Whose records a number's are.

    Attributes:
        hub: the hub's id in the directory: its entity id there, or its TSIG key's name.
        call_centre: the call centre's name.
    """

    hub: str
    call_centre: str


class Reading(msgspec.Struct, frozen=True):
    """What a number's records come to.

    Attributes:
        element: its identification element, canonical; empty when none is told.
        services: (service, URI) of each record that is believed, the first first.
        disbelieved: why other records say nothing; for people.
    """

    element: str = ""
    services: tuple[tuple[str, str], ...] = ()
    disbelieved: tuple[str, ...] = ()


def split_zone(zone: str) -> tuple[str, str]:
    """A zone's suffix, and the digits that its numbers begin with.

    Args:
        zone: ``"e164.arpa"``, or a part of one: ``"7.1.6.1.e164.arpa"``.

    Returns: ``("e164.arpa", "1617")``.
    """
    labels = zone.rstrip(".").split(".")
    digits = 0
    while digits < len(labels) and len(labels[digits]) == 1 and labels[digits].isdecimal():
        digits += 1
    return ".".join(labels[digits:]), "".join(reversed(labels[:digits]))


def name_of(number: str, zone: str) -> str | None:
    """A number's domain name; None when the zone is for other numbers.

    Args:
        number: E.164.
        zone: as for ``split_zone``.

    Source: RFC 6116 §3.2.
    """
    suffix, beginning = split_zone(zone)
    digits = number[1:]
    if not digits.startswith(beginning) or len(digits) <= len(beginning):
        return None
    return ".".join([*reversed(digits), suffix]) if suffix else ".".join(reversed(digits))


# --- writing ---------------------------------------------------------------------------------------------------------


def records_of(
    number: str,
    gateway: str,
    *,
    element: str = "",
    network_id: str = "",
    entity_id: str = "",
    ip_address: str = "",
) -> tuple[Naptr, ...]:
    """The records that publish a number.

    Args:
        number: E.164.
        gateway: the host that texts for it may be sent to.
        element: its identification element, canonical, or empty (H8).
        network_id, entity_id, ip_address: the routing information, where given (H6).

    Raises: BadValue: something is too long for a record.
    """
    address = f"mailto:{number}@{gateway}"
    told = [("E2U+sms:tel", f"tel:{number}"), ("E2U+sms:mailto", address), ("E2U+mms:mailto", address)]
    parameters = []
    if element:
        parsed = parse_element(element)
        parameters.append(f"{_NAMES[parsed.kind]}={quote(parsed.value, safe='')}")
    routing = (("nwid", network_id), ("entid", entity_id), ("gwip", ip_address))
    parameters += [f"{name}={quote(value, safe=':')}" for name, value in routing if value]
    if parameters:
        told.append(("E2U+pstn:tel", ";".join([f"tel:{number}", *parameters])))
    records = tuple(
        Naptr(ORDER, 10 * place, "u", service, f"!^.*$!{uri}!") for place, (service, uri) in enumerate(told, 1)
    )
    for record in records:
        if len(record.regexp) > MAX_STRING_OCTETS:
            field = "element" if record.service == "E2U+pstn:tel" else "gateway"
            why = f"is too long: a record holds {MAX_STRING_OCTETS} octets, and with it this one has "
            raise BadValue(field, element if field == "element" else gateway, f"{why}{len(record.regexp)}")
    return records


def marker_of(owner: Owner) -> tuple[str, ...]:
    """The strings of the TXT record that tells whose a number's records are; printable ASCII."""
    return (MARKER, f"owner={_written(owner.hub)}", f"call-centre={_written(owner.call_centre)}")


def _written(name: str) -> str:
    words = quote(name, safe=" @:/+")
    return words if len(words) <= MAX_OWNER_CHARACTERS else f"sha256-{sha256(name.encode()).hexdigest()}"


def owner_of(strings: Sequence[str]) -> Owner | None:
    """Read a marker; its names as they are written in it. None for a TXT record that is none.

    Args:
        strings: the TXT record's.
    """
    if not strings or strings[0] != MARKER:
        return None
    fields = dict(text.split("=", 1) for text in strings[1:] if "=" in text)
    return Owner(fields.get("owner", ""), fields.get("call-centre", ""))


def is_same_hub(owner: Owner, hub: str) -> bool:
    """Whether a marker that was read is a hub's.

    Args:
        owner: from ``owner_of``.
        hub: the hub's id, as in ``Owner``.
    """
    return owner.hub == _written(hub)


# --- reading ---------------------------------------------------------------------------------------------------------


def read_records(number: str, records: Iterable[Naptr]) -> Reading:
    """What a number's records come to.

    Args:
        number: E.164: what was asked for.
        records: what came, in any order.

    Source: RFC 6116 §3; RFC 3402 §3 for the substitution.
    """
    ordered = sorted(records, key=lambda record: (record.order, record.preference, record.service, record.regexp))
    element, services, disbelieved = "", [], []
    if len(ordered) > MAX_RECORDS:
        disbelieved.append(f"only {MAX_RECORDS} of {len(ordered)} records are looked at")
    for record in ordered[:MAX_RECORDS]:
        try:
            uri, kinds = _uri_of(number, record), _kinds(record.service)
            services += [(kind, uri) for kind in kinds]
            if "pstn:tel" in kinds and not element:
                element = _element_in(number, uri)
        except Unbelievable as problem:
            disbelieved.append(f"{shown(record.service, 40)} {shown(record.regexp, 80)}: {problem}")
    return Reading(element, tuple(services), tuple(disbelieved))


def shown(words: str, longest: int) -> str:
    """Somebody else's words, fit for a log or a terminal."""
    plain = "".join(character if " " <= character <= "~" else "?" for character in words[: longest + 1])
    return plain if len(plain) <= longest else plain[: longest - 3] + "..."


def _uri_of(number: str, record: Naptr) -> str:
    if record.flags.lower() != "u":
        raise Unbelievable("its flag is not 'u', so it ends in no URI")
    uri = substitute(record.regexp, number)
    if not _URI.fullmatch(uri):
        raise Unbelievable("what it comes to is no URI")
    return uri


def _kinds(service: str) -> list[str]:
    """``sms:tel``, ``mms:tel`` of ``E2U+sms:tel+mms:tel``."""
    found = _SERVICE.fullmatch(service)
    if found is None:
        raise Unbelievable("its service is none of ENUM")
    return found[1].lower().split("+")[1:]


def substitute(regexp: str, number: str) -> str:
    """Apply a record's substitution to a number.

    Args:
        regexp: delimiter, expression, delimiter, replacement, delimiter, flags.
        number: E.164.

    Raises: Unbelievable: it is no substitution, none of the kind that is read, or not for this number.

    Source: RFC 3402 §3.2.
    """
    expression, replacement = _parted(regexp)
    groups = _match(_tokens(expression), number)
    if groups is None:
        raise Unbelievable("its expression is for other numbers")
    pieces: list[str] = []
    length = 0
    for escaped, character in _characters(replacement):
        if escaped and character.isdecimal():
            if not 1 <= int(character) <= len(groups):
                raise Unbelievable("it refers to a group that it has not")
            character = groups[int(character) - 1]
        pieces.append(character)
        length += len(character)
    if length > MAX_URI_CHARACTERS:
        raise Unbelievable(f"what it comes to is longer than {MAX_URI_CHARACTERS} characters")
    return "".join(pieces)


def _characters(text: str) -> Iterator[tuple[bool, str]]:
    """The characters of a text, and whether a backslash stood before each."""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, "")
            if not following:
                raise Unbelievable("it ends in the middle of an escape")
            yield True, following
        else:
            yield False, character


def _parted(regexp: str) -> tuple[str, str]:
    """Expression and replacement, their escapes as they were."""
    if not regexp or len(regexp) > MAX_STRING_OCTETS or not regexp.isascii():
        raise Unbelievable("it has no expression, or one that is too long or not ASCII")
    delimiter = regexp[0]
    if delimiter in "\\iI" or delimiter.isdecimal():
        raise Unbelievable("its delimiter is none")
    parts = [""]
    for escaped, character in _characters(regexp[1:]):
        if character == delimiter and not escaped:
            parts.append("")
        elif character == delimiter:
            parts[-1] += character  # the escape was for the delimiter's sake
        else:
            parts[-1] += f"\\{character}" if escaped else character
    if len(parts) != 3 or parts[2] not in ("", "i", "I"):
        raise Unbelievable("it is not an expression and a replacement between delimiters")
    return parts[0], parts[1]


def _tokens(expression: str) -> list[str]:
    """``0``…``9`` and ``+`` for themselves, ``?`` for a plus that may be there, ``*`` for the rest, ``(`` and ``)``."""
    if not (expression.startswith("^") and expression.endswith("$")):
        raise Unbelievable("its expression is not between '^' and '$'")
    tokens: list[str] = []
    body = expression[1:-1]
    at = depth = 0
    while at < len(body):
        for written, token in _WRITTEN:
            if body.startswith(written, at):
                tokens.append(token)
                at += len(written)
                break
        else:
            raise Unbelievable("its expression is not of the kind that is read: digits, '\\+', one '.*' and groups")
        depth += (tokens[-1] == "(") - (tokens[-1] == ")")
        if depth < 0:
            break
    if depth or tokens.count("*") > 1 or tokens.count("(") > MAX_GROUPS or "?" in tokens[_rest(tokens) :]:
        raise Unbelievable("its expression has groups that do not close, or more than one '.*'")
    return tokens


_DIGITS: Final = "0123456789"
_WRITTEN = ((r"\+?", "?"), (r"\+", "+"), (".*", "*"), ("(", "("), (")", ")"), *zip(_DIGITS, _DIGITS, strict=True))


def _rest(tokens: Sequence[str]) -> int:
    return tokens.index("*") if "*" in tokens else len(tokens)


def _match(tokens: Sequence[str], number: str) -> list[str] | None:
    """What the groups hold, when the tokens are the whole number; in one pass."""
    after = sum(piece not in "()" for piece in tokens[_rest(tokens) + 1 :])
    at = 0
    groups: list[str] = []
    open_at: list[tuple[int, int]] = []
    for piece in tokens:
        if piece == "(":
            open_at.append((len(groups), at))
            groups.append("")
        elif piece == ")":
            which, begin = open_at.pop()
            groups[which] = number[begin:at]
        elif piece == "*":
            if len(number) - after < at:
                return None
            at = len(number) - after
        elif at < len(number) and number[at] == ("+" if piece == "?" else piece):
            at += 1
        elif piece != "?":
            return None
    return groups if at == len(number) else None


def _element_in(number: str, uri: str) -> str:
    """The identification element that a tel URI tells of a number; empty when it tells none."""
    found = _TEL.fullmatch(uri)
    if found is None:
        raise Unbelievable("its URI is no 'tel:' with a global number")
    if found[1].translate(_SEPARATORS) != number:
        raise Unbelievable("its URI is for another number")
    told: dict[str, str] = {}
    for words in found[2].split(";")[1 : MAX_PARAMETERS + 1]:
        parameter = _PARAMETER.fullmatch(words)
        if parameter is None or parameter[1].lower() in told:
            raise Unbelievable("a parameter of its URI is none, or is given twice")
        told[parameter[1].lower()] = parameter[2] or ""
    for name, kind in ELEMENT_PARAMETERS.items():
        if name in told:
            value = unquote(told[name])
            try:
                return str(parse_element(value if kind is ElementKind.SIP_URI else f"{kind.value}:{value}"))
            except BadValue:
                raise Unbelievable(f"its '{name}' is no {kind.value}") from None
    return ""
