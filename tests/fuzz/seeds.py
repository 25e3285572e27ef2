"""Where the fuzzer begins: what our own encoder writes, so that the first mutation is already past the header."""

from __future__ import annotations

from provisioning.directories.soap_envelope import envelope
from provisioning.directories.soap_xml import NAMESPACE
from smpp.alphabet import BY_NAME
from smpp.codec import encode
from smpp.pdu import (
    PDU,
    PDU_CLASSES,
    BindTransceiver,
    DataSm,
    DeliverSm,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    UnsuccessSme,
)
from smpp.proxy_protocol import SIGNATURE
from smpp.receipt import Receipt, ReceiptState, write
from smpp.segmentation import Method, segment
from smpp.tlv import DEFINITIONS, Tag, make

_TEXT = "Grüße €5 [ok] – 😀 and a text that is long enough for parts. " * 4
_SAMPLE: dict[type, object] = {int: 1, str: "310260", bytes: b"\x01" * 6}


def _filled() -> list[PDU]:
    """One of each PDU, with every TLV that its version has in it."""
    found: list[PDU] = []
    for pdu_class in PDU_CLASSES.values():
        tlvs = []
        for tag in DEFINITIONS.values():
            if pdu_class in tag.pdus:
                sample = _SAMPLE[tag.kind]
                if isinstance(sample, bytes):
                    sample = sample[: tag.most].ljust(tag.least, b"\x01")
                elif isinstance(sample, str):
                    sample = sample.ljust(tag.least - 1, "0")
                tlvs.append(make(tag, sample))
        found.append(pdu_class(sequence_number=7))
        if pdu_class is SubmitMulti:
            found[-1] = SubmitMulti(dest_address=(SmeAddress(1, 1, "16175551212"),))
        if tlvs:
            found.append(_with(found[-1], tuple(tlvs)))
    found += [
        BindTransceiver(system_id="hub", password="secret", address_range="^1617"),
        SubmitSm(source_addr="Helpline", destination_addr="16175551212", short_message=b"hello", data_coding=8),
        SubmitSm(
            destination_addr="1", validity_period="000001000000000R", tlvs=(make(Tag.MESSAGE_PAYLOAD, b"x" * 40),)
        ),
        DeliverSm(esm_class=0x04, short_message=b"id:1 stat:DELIVRD", tlvs=(make(Tag.MESSAGE_STATE, 2),)),
        SubmitMultiResp(message_id="1", unsuccess_sme=(UnsuccessSme(1, 1, "1", 11),)),
    ]
    return found


def _with(pdu: PDU, tlvs: tuple[tuple[int, bytes], ...]) -> PDU:
    return type(pdu)(**{name: getattr(pdu, name) for name in pdu.__struct_fields__} | {"tlvs": tlvs})


def _receipts() -> list[bytes]:
    bodies = [
        write(Receipt(message_id="c0ffee", state=state, done_us=1_700_000_000_000_000))[0] for state in ReceiptState
    ]
    bodies.append(b"id:7 sub:001 dlvrd:001 submit date:2407311259 done date:240731125959 stat:ACKED err:E4A Text:hi")
    return [head + body for body in bodies for head in (b"\x04\x00\x00", b"\x44\x08\xff")]


def _headers() -> list[bytes]:
    found = []
    for method in (Method.UDH8, Method.UDH16, Method.SAR):
        for part in segment(_TEXT, method=method, reference=300):
            found.append(bytes((part.esm_class, 0xFF if part.tlvs else 0)) + part.short_message)
    return found


def _alphabets() -> list[bytes]:
    found = []
    for number, alphabet in enumerate(BY_NAME.values()):
        written = alphabet.try_encode(_TEXT[: alphabet.reach(_TEXT)]) or b"hello"
        found.append(bytes((number, 8)) + written)
    return found


def _texts() -> list[PDU]:
    """Texts in parts, in many alphabets, receipts, and everything filled in."""
    found: list[PDU] = []
    for alphabet in BY_NAME.values():
        octets = alphabet.try_encode(_TEXT[: alphabet.reach(_TEXT)]) or b"hello"
        coding = max(alphabet.data_coding, 0)
        found.append(SubmitSm(source_addr="1", destination_addr="2", data_coding=coding, short_message=octets[:120]))
    for method in Method:
        for part in segment(_TEXT, method=method, reference=300)[:2]:
            fields = {"esm_class": part.esm_class, "data_coding": part.data_coding, "tlvs": part.tlvs}
            found.append(DeliverSm(source_addr="1", short_message=part.short_message, **fields))
    found += [DeliverSm(esm_class=head[0], short_message=head[3:][:250]) for head in _receipts()]
    found += [pdu for pdu in _filled() if isinstance(pdu, SubmitSm | DeliverSm | DataSm | SubmitMulti)]
    return found


_STREAM = b"".join(encode(pdu, number) for number, pdu in enumerate(_filled(), 1))

_LISTING = "<listing><number>+16175550100</number><loa>l</loa><textsPerDay>7</textsPerDay></listing>"
_STANDING = "<number>+16175550100</number><state>active</state><recordId>r</recordId><retryAfter>1</retryAfter>"
_REGISTRIES = [
    b'{"items": [{"key": "k0", "number": "+16175550100", "state": "active", "record_id": "r1", "reason": "x"}]}',
    b'{"records": [{"number": "+16175550101", "state": "pending", "retry_after_s": 3},'
    b'{"number": "+16175550100", "state": "active", "listing": {"number": "+16175550100", "loa": "l"}}]}',
    *(
        envelope(body)
        for body in (
            f'<SubmitResponse xmlns="{NAMESPACE}"><item><key>k0</key>{_STANDING}</item></SubmitResponse>',
            f'<QueryResponse xmlns="{NAMESPACE}"><record>{_STANDING}{_LISTING}</record></QueryResponse>',
            f'<soap:Fault><faultcode>a:b</faultcode><detail><fault xmlns="{NAMESPACE}"><code>busy</code>'
            "<message>m</message><retryAfter>2</retryAfter></fault></detail></soap:Fault>",
        )
    ),
]

SEEDS: dict[str, list[bytes]] = {
    "pdus": [encode(pdu, number) for number, pdu in enumerate(_filled(), 1)],
    "frames": [bytes((cut,)) + _STREAM[:600] for cut in (0, 7, 40)] + [b"\x03GET / HTTP/1.1", b"\x01\x16\x03\x01\x02"],
    "connection": [bytes((role, bound, 16)) + _STREAM[:900] for role in (0, 255) for bound in (0, 255)],
    "receipts": _receipts(),
    "headers": _headers(),
    "alphabets": _alphabets(),
    "messages": [bytes((at % 5,)) + encode(pdu, 1) for at, pdu in enumerate(_texts())],
    "times": [b"300102030405000+", b"991231235959948-", b"000001000000000R", b""],
    "xmpp": [
        b"\x05<message id='1' to='a@b'><body>hi &amp; bye</body></message>",
        b"\x90<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq></stream:stream>",
        b"\x00<presence from='d@e'/>\n<!DOCTYPE x []>",
    ],
    "registries": _REGISTRIES,
    "proxies": [
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n\x00\x00",
        b"PROXY UNKNOWN\r\n",
        SIGNATURE + b"\x20\x00\x00\x00" + b"behind",
        SIGNATURE + b"\x21\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x21\x00\x2b" + bytes(36) + b"\x03\x00\x04" + bytes(4),
        SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216),
    ],
}
"""Target → inputs."""
