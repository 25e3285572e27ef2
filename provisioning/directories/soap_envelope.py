"""SOAP 1.1 envelopes with a WS-Security UsernameToken, and how XML is written. Pure.

Sources: SOAP 1.1 (W3C note of 2000-05-08), WS-I Basic Profile 1.1, OASIS WSS SOAP Message Security 1.1 and Username
Token Profile 1.1. A digest is Base64(SHA-1(nonce + created + password)): the profile knows no other hash. It protects
the password from who reads a log, not the message; TLS does that.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from provisioning.directories.xml_reading import BadXml, Element

ENVELOPE_NS: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_WSS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE_NS: Final = f"{_WSS}wssecurity-secext-1.0.xsd"
WSU_NS: Final = f"{_WSS}wssecurity-utility-1.0.xsd"
PASSWORD_TEXT: Final = f"{_WSS}username-token-profile-1.0#PasswordText"
PASSWORD_DIGEST: Final = f"{_WSS}username-token-profile-1.0#PasswordDigest"
BASE64: Final = f"{_WSS}soap-message-security-1.0#Base64Binary"

_SECURITY: Final = f"{WSSE_NS} Security"
_MUST_UNDERSTAND: Final = f"{ENVELOPE_NS} mustUnderstand"

# XML 1.0 §2.2: what is no Char cannot be carried, not even as a reference. A bare CR would be read as LF (§2.11).
_NO_CHAR: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_NOT_CARRIED: Final = re.compile(f"[{_NO_CHAR}]")
_UNSAFE: Final = re.compile(f'[&<>"\r{_NO_CHAR}]')
_REFERENCES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}


def escape(text: str) -> str:
    """Write text as character data or the value of an attribute; what XML cannot carry becomes U+FFFD."""
    return _UNSAFE.sub(lambda found: _REFERENCES.get(found[0], "\ufffd"), text)


def carried(text: str) -> str:
    """What arrives of a text."""
    return _NOT_CARRIED.sub("\ufffd", text)


def element(name: str, text: str) -> str:
    """Write an element that holds text."""
    return f"<{name}>{escape(text)}</{name}>"


def optional(name: str, text: str) -> str:
    """Write an element that holds text, or nothing when there is none."""
    return element(name, text) if text else ""


def password_digest(nonce: bytes, created: str, password: str) -> str:
    """The digest of a password, Base64 (Username Token Profile 1.1 §3.1)."""
    octets = nonce + created.encode() + password.encode()
    return base64.b64encode(hashlib.sha1(octets).digest()).decode()  # noqa: S324 - the profile's, see above


def username_token(username: str, password: str, nonce: bytes, created: str) -> str:
    """Write a Security header with a digest.

    Args:
        nonce: 16 octets at least, never used before.
        created: the time, ``2026-11-22T06:30:00Z``.
    """
    digest = password_digest(nonce, created, password)
    return (
        f'<wsse:Security xmlns:wsse="{WSSE_NS}" xmlns:wsu="{WSU_NS}" soap:mustUnderstand="1"><wsse:UsernameToken>'
        f"{element('wsse:Username', username)}"
        f'<wsse:Password Type="{PASSWORD_DIGEST}">{digest}</wsse:Password>'
        f'<wsse:Nonce EncodingType="{BASE64}">{base64.b64encode(nonce).decode()}</wsse:Nonce>'
        f"{element('wsu:Created', created)}</wsse:UsernameToken></wsse:Security>"
    )


def envelope(body: str, header: str = "") -> bytes:
    """Write an envelope around a body that is XML already."""
    head = f"<soap:Header>{header}</soap:Header>" if header else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<soap:Envelope xmlns:soap="{ENVELOPE_NS}">'
        f"{head}<soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def open_envelope(root: Element) -> tuple[Element | None, Element]:
    """Take an envelope apart.

    Returns: the Security header, or None, and the one element of the body.
    Raises: BadXml; NotUnderstood when a header that we do not know must be understood (SOAP 1.1 §4.2.3).
    """
    if root.name != f"{ENVELOPE_NS} Envelope":
        raise BadXml("no SOAP 1.1 envelope")
    body = root.child(f"{ENVELOPE_NS} Body")
    if body is None or len(body.children) != 1:
        raise BadXml("the envelope's body has not one element")
    header = root.child(f"{ENVELOPE_NS} Header")
    security = None
    for block in header.children if header is not None else ():
        if block.name == _SECURITY:
            security = block
        elif block.attributes.get(_MUST_UNDERSTAND, "").strip() in ("1", "true"):
            raise NotUnderstood(f"a header that must be understood is not: {block.name}")
    return security, body.children[0]


class NotUnderstood(BadXml):
    """A header must be understood, and is not."""
