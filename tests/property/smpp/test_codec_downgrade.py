"""Downgrading: whatever a PDU holds, what comes out is of the peer's version, or an EncodeError says why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp import pdu
from smpp.codec import decode, encode, message_body
from smpp.downgrade import downgrade, since
from smpp.errors import EncodeError
from smpp.reassembly import concatenation_of
from smpp.tlv import DEFINITIONS

versions = st.one_of(st.sampled_from([0x00, 0x33, 0x34, 0x50]), st.integers(0, 255))
tags = st.one_of(st.sampled_from(sorted(DEFINITIONS)), st.integers(0, 0xFFFF))
tlvs = st.lists(st.tuples(tags, st.binary(max_size=300)), max_size=6).map(tuple)
octets = st.integers(0, 255)
messages = st.builds(
    lambda kind, **fields: kind(**fields),
    st.sampled_from([pdu.SubmitSm, pdu.DeliverSm]),
    source_addr=st.sampled_from(["", "Helpline"]),
    esm_class=octets,
    registered_delivery=octets,
    data_coding=octets,
    short_message=st.binary(max_size=254),
    tlvs=tlvs,
)
parts = st.builds(
    lambda reference, total, number, text: pdu.SubmitSm(
        short_message=text,
        tlvs=((0x020C, reference.to_bytes(2, "big")), (0x020E, bytes((total,))), (0x020F, bytes((number,)))),
    ),
    st.integers(0, 0xFFFF),
    st.integers(2, 255),
    st.integers(1, 255),
    st.binary(max_size=247),
)


@given(messages, versions)
def test_the_peer_gets_what_its_version_has(message: pdu.SubmitSm, version: int) -> None:
    try:
        plain = downgrade(message, version)
    except EncodeError:
        assert version < 0x34
        return
    if version < 0x34:
        assert plain.tlvs == ()
        assert plain.registered_delivery in (0, 1)
        assert bool(plain.registered_delivery) is bool(message.registered_delivery & 3)
    elif version < 0x50:
        known = [tag for tag, _ in plain.tlvs if tag in DEFINITIONS]
        assert all(DEFINITIONS[tag].since <= 0x34 for tag in known)
        assert plain.registered_delivery & 3 != 3
    else:
        assert plain is message
    assert decode(encode(plain)) == plain


@given(messages, versions)
def test_no_octet_of_a_text_is_lost(message: pdu.SubmitSm, version: int) -> None:
    try:
        plain = downgrade(message, version)
    except EncodeError:
        return
    assert message_body(plain).endswith(message_body(message))
    assert (plain.source_addr, plain.data_coding) == (message.source_addr, message.data_coding)


@given(messages, versions)
def test_twice_is_once(message: pdu.SubmitSm, version: int) -> None:
    try:
        plain = downgrade(message, version)
    except EncodeError:
        return
    assert downgrade(plain, version) is plain


@given(parts)
def test_a_part_has_the_same_place_for_a_3_3_peer(part: pdu.SubmitSm) -> None:
    place = concatenation_of(part.short_message, part.esm_class, part.tlvs)
    plain = downgrade(part, 0x33)
    assert concatenation_of(plain.short_message, plain.esm_class, plain.tlvs) == place


@given(st.sampled_from(sorted(pdu.PDU_CLASSES)), versions, tlvs)
def test_every_pdu_passes_or_is_of_a_later_version(
    command_id: int, version: int, values: tuple[tuple[int, bytes], ...]
) -> None:
    pdu_class = pdu.PDU_CLASSES[command_id]
    if since(pdu_class) > max(version, 0x33):
        with pytest.raises(EncodeError, match=pdu_class.__name__):
            downgrade(pdu_class(tlvs=values), version)
        return
    try:
        plain = downgrade(pdu_class(tlvs=values), version)
    except EncodeError:
        too_long = any(tag == 0x0424 and len(value) > 248 for tag, value in values)
        assert too_long
    else:
        assert type(plain) is pdu_class
