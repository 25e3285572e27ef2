"""Headers of the PROXY protocol, clause by clause, and what is none."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from smpp.proxy_protocol import (
    MAX_BLOCK_OCTETS,
    SIGNATURE,
    V1_LONGEST,
    BadHeader,
    More,
    Own,
    Proxied,
    crc32c,
    read_header,
)


def binary(
    source: str = "192.0.2.7", port: int = 49152, *, first: int = 0x21, second: int = 0, tlvs: bytes = b"", block=None
) -> bytes:
    """A header of version 2, as the standard draws it."""
    address = ip_address(source)
    other = ip_address("198.51.100.1" if address.version == 4 else "2001:db8::1")
    body = address.packed + other.packed + struct.pack("!HH", port, 2775) + tlvs if block is None else block
    second = second or (0x11 if address.version == 4 else 0x21)
    return SIGNATURE + struct.pack("!BBH", first, second, len(body)) + body


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack("!BH", tag, len(value)) + value


@pytest.mark.parametrize(
    ("header", "address", "port"),
    [
        (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1", 56324),  # §2.1's example
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 0 0\r\n", "1.1.1.1", 0),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1", 1),
        (b"PROXY TCP6 " + b" ".join([b":".join([b"FFFF"] * 8)] * 2) + b" 65535 65535\r\n", "ffff" + ":ffff" * 7, 65535),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 9 2\r\n", "192.0.2.1", 9),  # as inet_ntop writes it
        (binary(), "192.0.2.7", 49152),
        (binary("2001:db8::7", 1), "2001:db8::7", 1),
        (binary("::ffff:192.0.2.7", 1), "192.0.2.7", 1),
        (binary(tlvs=tlv(0x02, b"smpp.example") + tlv(0x04, b"\0" * 9) + tlv(0xEA, b"")), "192.0.2.7", 49152),
        (binary(tlvs=tlv(0x04, bytes(MAX_BLOCK_OCTETS - 15))), "192.0.2.7", 49152),
    ],
)
def test_a_header_names_the_address(header: bytes, address: str, port: int) -> None:
    assert read_header(header) == Proxied(address, port, len(header))
    assert read_header(header + b"\x00\x00\x00\x10PROXY \r\n") == Proxied(address, port, len(header))


@pytest.mark.parametrize(
    ("header", "is_local"),
    [
        (b"PROXY UNKNOWN\r\n", False),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", False),
        (b"PROXY UNKNOWN what\x00ever\xff\r\n", False),  # "must ignore anything presented before the CRLF"
        (binary(first=0x20, second=0, block=b""), True),
        (binary(first=0x20), True),
        (binary(first=0x20, block=b"\1\2\3"), True),  # "must not assume zero is presented for LOCAL"
        (SIGNATURE + b"\x21\x00\x00\x00", False),  # §2.2: UNSPEC
        (SIGNATURE + b"\x21\x00\x00\x02ab", False),
        (binary(second=0x12), False),  # what is no TCP falls back to UNSPEC
        (binary("2001:db8::7", second=0x22), False),
        (binary(second=0x10), False),
        (binary(second=0x31, block=b"/run/x".ljust(216, b"\0")), False),
    ],
)
def test_a_header_without_an_address_leaves_the_connection_its_own(header: bytes, is_local: bool) -> None:
    assert read_header(header) == Own(is_local, len(header))
    assert read_header(header + SIGNATURE) == Own(is_local, len(header))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00\x00\x00\x10\x00\x00\x00\x09", "begins like"),  # a PDU
        (b"\x16\x03\x01", "begins like"),  # the hello of TLS
        (b"GET / HTTP/1.1\r\n", "begins like"),
        (b"PUT / HTTP/1.1\r\n", "begins like"),
        (b"PROXY\t", "begins like"),
        (b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "begins like"),
        (b"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "none of TCP4"),
        (b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", "none of TCP4"),
        (b"PROXY \r\n", "none of TCP4"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", "six words"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n", "six words"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n", "port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", "port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 -1 1\r\n", "port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 \xb2 1\r\n", "port"),
        (b"PROXY TCP4 1.1.1.01 1.1.1.1 1 1\r\n", "address"),  # "heading zeroes are not permitted"
        (b"PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n", "address"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.256 1 1\r\n", "address"),
        (b"PROXY TCP4 ::1 ::1 1 1\r\n", "address"),
        (b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n", "address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", "address"),
        (b"PROXY TCP6 1::2::3 ::1 1 1\r\n", "address"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n", "CRLF"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\rx\n", "CRLF"),
        (b"PROXY TCP4 1.1.1.1\r1.1.1.1 1 1\r\n", "CRLF"),
        (b"PROXY UNKNOWN \r \r\n", "CRLF"),
        (b"PROXY UNKNOWN " + b"x" * V1_LONGEST + b"\r\n", "no CRLF in 107"),
        (SIGNATURE[:5] + b"x", "begins like"),
        (SIGNATURE + b"\x11\x11\x00\x00", "version is 1"),
        (SIGNATURE + b"\x31\x11\x00\x00", "version is 3"),
        (SIGNATURE + b"\x22\x11\x00\x00", "command is 2"),
        (SIGNATURE + b"\x21\x41\x00\x00", "0x41"),
        (SIGNATURE + b"\x20\x13\x00\x00", "0x13"),
        (SIGNATURE + b"\x21\x11\xff\xff", "65535 octets"),  # before anything of it is waited for
        (SIGNATURE + b"\x20\x00\x10\x01", "4097 octets"),
        (binary(block=bytes(11)), "too short"),
        (binary(second=0x21, block=bytes(35)), "too short"),
        (binary(tlvs=b"\x04\x00"), "behind its last"),
        (binary(tlvs=tlv(0x04, b"") + b"\x05"), "behind its last"),
        (binary(tlvs=b"\x04\x00\x02x"), "ends behind the header"),
        (binary(tlvs=tlv(0x03, b"\0\0\0")), "four octets"),
        (binary(tlvs=tlv(0x03, b"\0\0\0\0")), "checksum is wrong"),
    ],
)
def test_what_is_no_header_is_told_at_once(data: bytes, why: str) -> None:
    found = read_header(data)
    assert isinstance(found, BadHeader), found
    assert why in found.why


def summed(before: bytes = b"", behind: bytes = b"") -> bytes:
    """A header with its checksum."""
    plain = binary(tlvs=before + tlv(0x03, bytes(4)) + behind)
    at = len(plain) - len(behind) - 4
    return plain[:at] + struct.pack("!I", crc32c(plain)) + plain[at + 4 :]


@pytest.mark.parametrize(
    ("before", "behind"), [(b"", b""), (tlv(0x02, b"x"), b""), (tlv(0x04, b"\3\0\4"), tlv(5, b"id"))]
)
def test_a_checksum_is_verified(before: bytes, behind: bytes) -> None:
    header = summed(before, behind)
    assert read_header(header) == Proxied("192.0.2.7", 49152, len(header))
    for at in (16, 19, 27, len(header) - len(behind) - 1):
        changed = header[:at] + bytes([header[at] ^ 1]) + header[at + 1 :]
        assert isinstance(read_header(changed), BadHeader), at


def test_a_second_checksum_is_refused() -> None:
    found = read_header(summed(behind=tlv(0x03, bytes(4))))
    assert isinstance(found, BadHeader)


@pytest.mark.parametrize(
    ("octets", "crc"),
    [  # RFC 3720, B.4
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_the_checksum_is_crc32c(octets: bytes, crc: int) -> None:
    assert crc32c(octets) == crc


@pytest.mark.parametrize(
    ("data", "octets"),
    [
        (b"", 15),
        (b"P", 14),
        (b"PROXY", 10),
        (b"PROXY UNKNOWN\r", 1),
        (b"PROXY UNKNOWN ", 2),
        (b"PROXY TCP4 1.2", 8),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1", 2),
        (b"\r", 15),
        (SIGNATURE, 4),
        (SIGNATURE + b"\x21\x11\x00\x0c", 12),
        (SIGNATURE + b"\x21\x11\x10\x00\x01", 4095),
    ],
)
def test_what_is_missing_is_told(data: bytes, octets: int) -> None:
    assert read_header(data) == More(octets)
