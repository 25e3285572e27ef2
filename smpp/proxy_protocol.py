"""The PROXY protocol: a balancer in front tells from whom a connection really comes. Both versions, pure.

The header stands before anything else on the connection, before the hello of TLS too. What has come of it is one of
four things:

| read | what |
| --- | --- |
| ``More`` | it is not whole; so many octets of it are missing at the least |
| ``Proxied`` | whole: the connection is made for somebody, whose address it names |
| ``Own`` | whole: the connection is the balancer's own (a health check), or it cannot say whose it is |
| ``BadHeader`` | this is no header, and the connection has to be closed |

``More`` never asks for more than the header has: who reads no more octets than it says takes nothing away from what
stands behind the header, and needs no buffer for it. The first version has no length; it is read in some fifteen pieces
in exchange, once for each connection.

Who may send a header is not decided here. It decides what allow-lists and lock-outs go by, so that a stranger must
not: the shell asks where the connection comes from first, and never guesses whether there is a header (§5).

Source: HAProxy, doc/proxy-protocol.txt: §2.1 (version 1), §2.2 (version 2), §2.2.3 (checksum). IPv4 addresses in an
IPv6 one (``::ffff:192.0.2.1``) are told as IPv4.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""How a header of version 2 begins (§2.2)."""

V1_BEGINNING: Final = b"PROXY "
V1_SHORTEST: Final = len(b"PROXY UNKNOWN\r\n")
V1_LONGEST: Final = 107  # "PROXY UNKNOWN", two IPv6 addresses and two ports in full, CRLF (§2.1)
V2_FIXED: Final = 16  # signature, version and command, family and protocol, length

MAX_BLOCK_OCTETS: Final = 4096
"""Of addresses and TLVs. The length may say 65,535; what HAProxy sends of a client's certificate, of SNI and ids is
some hundred octets."""

CRC32C_TAG: Final = 0x03

_LOCAL, _PROXY = 0x0, 0x1
_STREAM = 0x1
_INET, _INET6 = 0x1, 0x2
_ADDRESS_OCTETS: Final = {_INET: 4, _INET6: 16}
_FAMILIES, _PROTOCOLS = 4, 3  # that there are; others "must be rejected as invalid by receivers" (§2.2)

_PORT: Final = re.compile(rb"0|[1-9][0-9]{0,4}")
_IP4: Final = re.compile(rb"[0-9.]{7,15}")
_IP6: Final = re.compile(rb"[0-9A-Fa-f:.]{2,45}")

# RFC 9260, Appendix A (RFC 4960's Appendix B): the Castagnoli polynomial, reflected.
_POLYNOMIAL: Final = 0x82F63B78


class More(msgspec.Struct, frozen=True):
    """The header is not whole.

    Attributes:
        octets: how many of its octets are missing, at the least; at least 1.
    """

    octets: int


class Proxied(msgspec.Struct, frozen=True):
    """The connection is made for somebody.

    Attributes:
        address, port: whose.
        length: of the header, in octets.
    """

    address: str
    port: int
    length: int


class Own(msgspec.Struct, frozen=True):
    """The connection counts as what it is: whoever is at its other end.

    Attributes:
        is_local: the balancer made it for itself; False when it only cannot say for whom.
        length: of the header, in octets.
    """

    is_local: bool
    length: int


class BadHeader(msgspec.Struct, frozen=True):
    """No header.

    Attributes:
        why: in words, with nothing of what was sent.
    """

    why: str


Read = More | Proxied | Own | BadHeader


def read_header(data: bytes) -> Read:
    """Read a header, of whichever version.

    Args:
        data: what has come of the connection, from its first octet on.

    Returns: see the module's head. What stands behind the header is not looked at.
    """
    if data[:1] == SIGNATURE[:1]:
        return _read_binary(data)
    if data[:1] in (V1_BEGINNING[:1], b""):
        return _read_line(data)
    return BadHeader("begins like no header")


# --- version 1 --------------------------------------------------------------------------------------------------------


def _read_line(data: bytes) -> Read:
    if not V1_BEGINNING.startswith(data[: len(V1_BEGINNING)]):
        return BadHeader("begins like no header")
    end = data.find(b"\n", 0, V1_LONGEST)
    if end < 0:
        return _rest_of_line(data[:V1_LONGEST])
    if data.find(b"\r") != end - 1:
        return BadHeader("its line does not end in CRLF")
    return _read_words(data[: end - 1].split(b" "), end + 1)


def _rest_of_line(data: bytes) -> Read:
    """What is missing at the least: the words to come are of one character each."""
    ends = data.find(b"\r")
    if len(data) >= V1_LONGEST:
        return BadHeader(f"no CRLF in {V1_LONGEST} octets")
    if ends >= 0:
        return More(1) if ends == len(data) - 1 else BadHeader("its line does not end in CRLF")
    words = data.split(b" ")
    missing = 2 * (6 - len(words)) if len(words) > 1 and words[1][:1] == b"T" else 0
    return More(min(max(1, V1_SHORTEST - len(data), missing + 2), V1_LONGEST - len(data)))


def _read_words(words: list[bytes], length: int) -> Read:
    if words[1] == b"UNKNOWN":
        return Own(is_local=False, length=length)
    shape = {b"TCP4": _IP4, b"TCP6": _IP6}.get(words[1])
    if shape is None:
        return BadHeader("its protocol is none of TCP4, TCP6, UNKNOWN")
    if len(words) != 6:
        return BadHeader("its line has not six words")
    addresses, ports = words[2:4], words[4:]
    if not all(_PORT.fullmatch(port) and int(port) <= 0xFFFF for port in ports):
        return BadHeader("a port is no number of 0 to 65535")
    try:
        if not all(map(shape.fullmatch, addresses)):
            raise ValueError
        kind = ipaddress.IPv4Address if shape is _IP4 else ipaddress.IPv6Address
        source, _ = (kind(address.decode("ascii")) for address in addresses)
    except ValueError:
        return BadHeader("an address is none of its family")
    return Proxied(_told(source), int(ports[0]), length)


# --- version 2 --------------------------------------------------------------------------------------------------------


def _read_binary(data: bytes) -> Read:
    if not SIGNATURE.startswith(data[: len(SIGNATURE)]):
        return BadHeader("begins like no header")
    if len(data) < V2_FIXED:
        return More(V2_FIXED - len(data))
    version, command = data[12] >> 4, data[12] & 0x0F
    family, protocol = data[13] >> 4, data[13] & 0x0F
    block = int.from_bytes(data[14:16], "big")
    if version != 2:
        return BadHeader(f"its version is {version}")
    if command not in (_LOCAL, _PROXY):
        return BadHeader(f"its command is {command}")
    if family >= _FAMILIES or protocol >= _PROTOCOLS:
        return BadHeader(f"its family and protocol are {data[13]:#04x}")
    if block > MAX_BLOCK_OCTETS:
        return BadHeader(f"it has {block} octets; no more than {MAX_BLOCK_OCTETS} are read")
    length = V2_FIXED + block
    if len(data) < length:
        return More(length - len(data))
    size = _ADDRESS_OCTETS.get(family)
    # Of a check the whole block is passed over (§2.2), and of what is no TCP: where its TLVs begin is not said.
    if command == _LOCAL or size is None or protocol != _STREAM:
        return Own(is_local=command == _LOCAL, length=length)
    return _read_block(data[:length], size)


def _read_block(header: bytes, size: int) -> Read:
    """Addresses of so many octets, ports, TLVs."""
    tlvs_at = V2_FIXED + 2 * size + 4
    if len(header) < tlvs_at:
        return BadHeader("it is too short for its addresses")
    why = _tlv_fault(header, tlvs_at)
    if why:
        return BadHeader(why)
    source = ipaddress.ip_address(header[V2_FIXED : V2_FIXED + size])
    port = int.from_bytes(header[tlvs_at - 4 : tlvs_at - 2], "big")
    return Proxied(_told(source), port, len(header))


def _tlv_fault(header: bytes, at: int) -> str:
    """What is wrong with the TLVs from there on, or empty. All but the checksum are passed over."""
    found = -1
    while at < len(header):
        if at + 3 > len(header):
            return "octets behind its last TLV"
        tag, size = header[at], int.from_bytes(header[at + 1 : at + 3], "big")
        at += 3
        if at + size > len(header):
            return f"its TLV {tag:#04x} ends behind the header"
        if tag == CRC32C_TAG:
            if size != 4 or found >= 0:
                return "its checksum has not four octets, or is there twice"
            found = at
        at += size
    if found >= 0:
        said = int.from_bytes(header[found : found + 4], "big")
        if crc32c(header[:found] + bytes(4) + header[found + 4 :]) != said:
            return "its checksum is wrong"
    return ""


def _told(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


def _table() -> tuple[int, ...]:
    rows = []
    for row in range(256):
        for _ in range(8):
            row = row >> 1 ^ (_POLYNOMIAL if row & 1 else 0)
        rows.append(row)
    return tuple(rows)


_TABLE: Final = _table()


def crc32c(data: bytes) -> int:
    """The checksum CRC32c of some octets. Source: RFC 9260, Appendix A."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ octet) & 0xFF]
    return crc ^ 0xFFFFFFFF
