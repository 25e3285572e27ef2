"""Headers of the PROXY protocol: however they are cut, whatever they are."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st

from smpp.proxy_protocol import SIGNATURE, BadHeader, More, Own, Proxied, crc32c, read_header

ports = st.integers(0, 0xFFFF)
pairs = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6))
)
tlvs = st.lists(st.tuples(st.integers(0, 255).filter(lambda tag: tag != 3), st.binary(max_size=40)), max_size=5)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """A sound header of either version."""
    (source, target), here, there = draw(pairs), draw(ports), draw(ports)
    if draw(st.booleans()):
        if draw(st.integers(0, 4)) == 0:
            return b"PROXY UNKNOWN" + draw(st.sampled_from([b"", b" ::1 ::2 1 2"])) + b"\r\n"
        return f"PROXY TCP{source.version} {source} {target} {here} {there}\r\n".encode()
    block = source.packed + target.packed + struct.pack("!HH", here, there)
    block += b"".join(struct.pack("!BH", tag, len(value)) + value for tag, value in draw(tlvs))
    command, family = draw(st.sampled_from([0x20, 0x21])), 0x11 if source.version == 4 else 0x21
    summed = draw(st.booleans())
    block += b"\x03\0\x04" + bytes(4) if summed else b""
    header = SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block
    return header[:-4] + struct.pack("!I", crc32c(header)) if summed else header


streams = st.one_of(
    headers(),
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda tail: b"PROXY TCP4 " + tail),
    st.binary(max_size=60).map(lambda tail: SIGNATURE + tail),
)


@given(header=headers(), behind=st.binary(max_size=40))
def test_what_reads_as_it_is_asked_to_takes_the_header_and_nothing_else(header: bytes, behind: bytes) -> None:
    stream, at, turns = header + behind, 0, 0
    while isinstance(found := read_header(stream[:at]), More):
        assert found.octets >= 1
        at, turns = at + found.octets, turns + 1
        assert at <= len(header)
    assert isinstance(found, Proxied | Own)
    assert found.length == at == len(header)
    assert turns <= 50


@given(header=headers())
def test_a_header_says_whose_it_is(header: bytes) -> None:
    found = read_header(header)
    if isinstance(found, Own):
        assert b"UNKNOWN" in header or header[12] == 0x20
        return
    assert isinstance(found, Proxied)
    address = ip_address(found.address)
    if header[:1] == b"P":
        said = ip_address(header.split(b" ")[2].decode())
        assert header.split(b" ")[4] == str(found.port).encode()
    else:
        said = ip_address(header[16 : 20 if header[13] == 0x11 else 32])
    assert address == (getattr(said, "ipv4_mapped", None) or said)
    assert isinstance(address, IPv4Address | IPv6Address)


@given(stream=streams, data=st.data())
def test_any_octets_in_any_pieces_come_to_one_end(stream: bytes, data: st.DataObject) -> None:
    """Once it is read, or is none, what comes behind changes nothing; until then it was not whole."""
    whole = read_header(stream)
    for cut in sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8))):
        part = read_header(stream[:cut])
        if isinstance(part, More):
            continue
        assert type(part) is type(whole)
        if not isinstance(part, BadHeader):
            assert part == whole
    if isinstance(whole, Proxied | Own):
        assert whole.length <= len(stream)
        for cut in range(whole.length):
            assert isinstance(read_header(stream[:cut]), More)
