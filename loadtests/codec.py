"""Reading and writing PDUs: our codec beside those that install from PyPI, in one run. A part of ``make bench``.

    .venv/bin/python -m loadtests.codec

A frame is read and the fields that a hub needs are looked at, since some codecs read a field only when it is asked for;
a PDU is built from plain values and written. Each library is a process of its own, as one of them is a package called
``smpp``, as ours is: ours runs in .venv, the others in .venv-peers, where this file is a script that imports nothing of
the house. CPU time counts. The processes take turns, round by round, and each figure is the best of the rounds: a
machine that is busy for a while is busy for all. What a library writes is read by ours and compared: who is fast and
wrong does not count.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OURS = "smshub"
ROUNDS = 3
SLICE_S = 0.05  # of one measurement; the best of five counts
OPERATIONS = tuple(
    f"{verb} {name}" for name in ("submit_sm", "deliver_sm", "submit_sm_resp") for verb in ("decode", "encode")
)

SOURCE, DESTINATION, SEQUENCE, ID = "16175550000", "16175551212", 7, "01890c3f5a7b4d2e"
TEXT = b"Your order 4711 is ready. How may I help you further?"
RECEIPT = (
    b"id:01890c3f5a7b4d2e sub:001 dlvrd:001 submit date:2611220301 done date:2611220302 stat:DELIVRD err:000 text:Your"
)

# What each library is measured on: made by hand from the standard, so that none is measured on its own writing.
_ADDRESSES = b"\x01\x01" + SOURCE.encode() + b"\0\x01\x01" + DESTINATION.encode() + b"\0"
_BODIES = {
    "submit_sm": b"\0" + _ADDRESSES + b"\0\0\0\0\0\x01\0\0\0" + bytes((len(TEXT),)) + TEXT,
    "deliver_sm": b"\0" + _ADDRESSES + b"\x04\0\0\0\0\0\0\0\0" + bytes((len(RECEIPT),)) + RECEIPT
    + b"\x00\x1e" + (len(ID) + 1).to_bytes(2, "big") + ID.encode() + b"\0" + b"\x04\x27\x00\x01\x02",
    "submit_sm_resp": ID.encode() + b"\0",
}  # fmt: skip
_COMMANDS = {"submit_sm": 0x04, "deliver_sm": 0x05, "submit_sm_resp": 0x80000004}
FRAMES = {
    name: b"".join(number.to_bytes(4, "big") for number in (16 + len(body), _COMMANDS[name], 0, SEQUENCE)) + body
    for name, body in _BODIES.items()
}

Operations = dict[str, Callable[[], Any]]
"""Operation → what does it once; it is absent when the library has none. Writers return octets."""


# --- the libraries -------------------------------------------------------------------------------------------------


def ours() -> Operations:
    from smpp.codec import decode, encode
    from smpp.pdu import DeliverSm, SubmitSm, SubmitSmResp

    tlvs = ((0x001E, ID.encode() + b"\0"), (0x0427, b"\x02"))

    look = attrgetter("sequence_number", "source_addr", "destination_addr", "esm_class", "data_coding")
    text = attrgetter("short_message", "tlvs")

    def read(frame: bytes) -> Any:
        pdu: Any = decode(frame)
        return look(pdu), text(pdu)

    def read_resp(frame: bytes) -> Any:
        pdu: Any = decode(frame)
        return pdu.sequence_number, pdu.command_status, pdu.message_id

    addresses: dict[str, Any] = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": SOURCE,
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": DESTINATION,
    }
    return {
        "decode submit_sm": lambda: read(FRAMES["submit_sm"]),
        "decode deliver_sm": lambda: read(FRAMES["deliver_sm"]),
        "decode submit_sm_resp": lambda: read_resp(FRAMES["submit_sm_resp"]),
        "encode submit_sm": lambda: encode(
            SubmitSm(**addresses, registered_delivery=1, short_message=TEXT, sequence_number=SEQUENCE)
        ),
        "encode deliver_sm": lambda: encode(
            DeliverSm(**addresses, esm_class=4, short_message=RECEIPT, tlvs=tlvs, sequence_number=SEQUENCE)
        ),
        "encode submit_sm_resp": lambda: encode(SubmitSmResp(message_id=ID, sequence_number=SEQUENCE)),
    }


def smpplib() -> Operations:
    from smpplib import smpp

    class Client:  # where it asks for a sequence number
        sequence = SEQUENCE

        def next_sequence(self) -> int:
            return SEQUENCE

    client = Client()
    addresses: dict[str, Any] = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": SOURCE,
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": DESTINATION,
    }

    look = attrgetter("sequence", "source_addr", "destination_addr", "esm_class", "data_coding", "short_message")

    def read(frame: bytes) -> Any:
        return look(smpp.parse_pdu(frame, client=client))

    def read_resp(frame: bytes) -> Any:
        pdu = smpp.parse_pdu(frame, client=client)
        return pdu.sequence, pdu.status, pdu.message_id

    def write(command: str, **fields: Any) -> bytes:
        pdu = smpp.make_pdu(command, client=client, **fields)
        pdu.sequence = SEQUENCE
        octets: bytes = pdu.generate()
        return octets

    receipted = {"receipted_message_id": ID, "message_state": 2}
    return {
        "decode submit_sm": lambda: read(FRAMES["submit_sm"]),
        "decode deliver_sm": lambda: read(FRAMES["deliver_sm"]),
        "decode submit_sm_resp": lambda: read_resp(FRAMES["submit_sm_resp"]),
        "encode submit_sm": lambda: write("submit_sm", **addresses, registered_delivery=1, short_message=TEXT),
        "encode deliver_sm": lambda: write("deliver_sm", **addresses, esm_class=4, short_message=RECEIPT, **receipted),
        "encode submit_sm_resp": lambda: write("submit_sm_resp", message_id=ID),
    }


def aiosmpplib() -> Operations:
    from aiosmpplib import (
        NPI,
        TON,
        DeliverSm,
        OptionalParam,
        PhoneNumber,
        SmppCommandStatus,
        SmppMessage,
        SubmitSm,
        SubmitSmResp,
    )

    look = attrgetter("sequence_num", "source.number", "destination.number", "esm_class", "encoding", "short_message")

    def read(message_class: type[Any], frame: bytes) -> Any:
        pdu = message_class.from_pdu(frame, SmppMessage.parse_header(frame), "ascii")
        return look(pdu), pdu.optional_params

    def read_resp(frame: bytes) -> Any:
        pdu: Any = SubmitSmResp.from_pdu(frame, SmppMessage.parse_header(frame))
        return pdu.sequence_num, pdu.command_status, pdu.message_id

    text, receipt = TEXT.decode(), RECEIPT.decode()

    def addresses() -> dict[str, Any]:
        return {
            "source": PhoneNumber(SOURCE, TON.INTERNATIONAL, NPI.ISDN),
            "destination": PhoneNumber(DESTINATION, TON.INTERNATIONAL, NPI.ISDN),
            "sequence_num": SEQUENCE,
        }

    def receipted() -> list[Any]:
        return [OptionalParam(0x001E, ID), OptionalParam(0x0427, 2)]

    return {
        "decode submit_sm": lambda: read(SubmitSm, FRAMES["submit_sm"]),
        "decode deliver_sm": lambda: read(DeliverSm, FRAMES["deliver_sm"]),
        "decode submit_sm_resp": lambda: read_resp(FRAMES["submit_sm_resp"]),
        "encode submit_sm": lambda: SubmitSm(**addresses(), short_message=text).pdu(),
        "encode deliver_sm": lambda: DeliverSm(
            **addresses(), esm_class=4, registered_delivery=0, short_message=receipt, optional_params=receipted()
        ).pdu(),
        "encode submit_sm_resp": lambda: SubmitSmResp(SEQUENCE, SmppCommandStatus.ESME_ROK, message_id=ID).pdu(),
    }


def smpp_pdu3() -> Operations:
    from io import BytesIO

    from smpp.pdu.operations import DeliverSM, SubmitSM, SubmitSMResp
    from smpp.pdu.pdu_encoding import PDUEncoder

    from smpp.pdu import pdu_types as t

    codec = PDUEncoder()
    addresses: dict[str, Any] = {
        "source_addr_ton": t.AddrTon.INTERNATIONAL,
        "source_addr_npi": t.AddrNpi.ISDN,
        "dest_addr_ton": t.AddrTon.INTERNATIONAL,
        "dest_addr_npi": t.AddrNpi.ISDN,
        "source_addr": SOURCE.encode(),
        "destination_addr": DESTINATION.encode(),
        "seqNum": SEQUENCE,
    }
    asked = t.RegisteredDelivery(t.RegisteredDeliveryReceipt.SMSC_DELIVERY_RECEIPT_REQUESTED)
    receipt_class = t.EsmClass(t.EsmClassMode.DEFAULT, t.EsmClassType.SMSC_DELIVERY_RECEIPT)
    receipted = {"receipted_message_id": ID.encode(), "message_state": t.MessageState.DELIVERED}

    look = itemgetter("source_addr", "destination_addr", "esm_class", "data_coding", "short_message")

    def read(frame: bytes) -> Any:
        pdu = codec.decode(BytesIO(frame))
        return pdu.seqNum, look(pdu.params)

    def read_resp(frame: bytes) -> Any:
        pdu = codec.decode(BytesIO(frame))
        return pdu.seqNum, pdu.status, pdu.params["message_id"]

    return {
        "decode submit_sm": lambda: read(FRAMES["submit_sm"]),
        "decode deliver_sm": lambda: read(FRAMES["deliver_sm"]),
        "decode submit_sm_resp": lambda: read_resp(FRAMES["submit_sm_resp"]),
        "encode submit_sm": lambda: codec.encode(SubmitSM(**addresses, registered_delivery=asked, short_message=TEXT)),
        "encode deliver_sm": lambda: codec.encode(
            DeliverSM(**addresses, esm_class=receipt_class, short_message=RECEIPT, **receipted)
        ),
        "encode submit_sm_resp": lambda: codec.encode(
            SubmitSMResp(SEQUENCE, status=t.CommandStatus.ESME_ROK, message_id=ID.encode())
        ),
    }


def smpp34() -> Operations:
    """Compiled, from Rust. It has no class for submit_sm_resp: a response is read as a header and a raw body."""
    from smpp34 import DeliverSm, SubmitSm, Tlv, decode

    look = attrgetter("sequence_number", "source_addr", "destination_addr", "esm_class", "data_coding")
    text = attrgetter("short_message", "tlvs")

    def read(frame: bytes) -> Any:
        pdu: Any = decode(frame)
        return look(pdu), text(pdu)

    def read_resp(frame: bytes) -> Any:
        pdu: Any = decode(frame)
        return pdu.sequence_number, pdu.command_status, pdu.body[:-1].decode()

    addresses: dict[str, Any] = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": SOURCE,
        "sequence_number": SEQUENCE,
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": DESTINATION,
    }

    def receipted() -> list[Any]:
        return [Tlv(0x001E, ID.encode() + b"\0"), Tlv(0x0427, b"\x02")]

    return {
        "decode submit_sm": lambda: read(FRAMES["submit_sm"]),
        "decode deliver_sm": lambda: read(FRAMES["deliver_sm"]),
        "decode submit_sm_resp": lambda: read_resp(FRAMES["submit_sm_resp"]),
        "encode submit_sm": lambda: SubmitSm(**addresses, registered_delivery=1, short_message=TEXT).encode(),
        "encode deliver_sm": lambda: DeliverSm(
            **addresses, esm_class=4, short_message=RECEIPT, tlvs=receipted()
        ).encode(),
    }


LIBRARIES: dict[str, Callable[[], Operations]] = {
    OURS: ours,
    "smpplib": smpplib,
    "aiosmpplib": aiosmpplib,
    "smpp.pdu3": smpp_pdu3,
    "smpp34": smpp34,
}


# --- one process: measure one library ------------------------------------------------------------------------------


def seconds_each(operation: Callable[[], Any], slice_s: float) -> float:
    """The time of one, in seconds: the best of five slices."""
    count = 1
    while True:
        took = _time(operation, count)
        if took > slice_s / 4:
            break
        count *= 4
    count = max(1, int(count * slice_s / took))
    return min(_time(operation, count) for _ in range(5)) / count


def _time(operation: Callable[[], Any], count: int) -> float:
    begun = time.process_time()  # of the CPU: a core that others take for a while does not count
    for _ in range(count):
        operation()
    return time.process_time() - begun


def measure(library: str, slice_s: float = SLICE_S) -> dict[str, Any]:
    """Returns: ``{"us": {operation: microseconds}, "written": {operation: hexadecimal octets}}``."""
    operations = LIBRARIES[library]()
    written = {name: operations[name]().hex() for name in operations if name.startswith("encode")}
    us = {name: seconds_each(operation, slice_s) * 1e6 for name, operation in operations.items()}
    return {"us": us, "written": written}


# --- the run: all libraries, in turn -------------------------------------------------------------------------------


def compare(rounds: int = ROUNDS, slice_s: float = SLICE_S) -> dict[str, dict[str, float]]:
    """Measure all libraries.

    Returns: library → operation → microseconds, ours first; a library that is not installed is not there.

    Raises: ValueError: a library wrote something else than it was told.
    """
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for library in LIBRARIES:
            found = _in_its_own_process(library, slice_s)
            if found is None:
                continue
            _check(library, found["written"])
            known = best.setdefault(library, {})
            for name, us in found["us"].items():
                known[name] = min(us, known.get(name, us))
    return best


def _in_its_own_process(library: str, slice_s: float) -> dict[str, Any] | None:
    if library == OURS:
        command = [sys.executable, "-m", "loadtests.codec"]
    else:
        # As a script: its folder, not ours, is where Python then looks, so that `smpp` is the other one.
        command = [str(ROOT / ".venv-peers/bin/python"), "-P", str(Path(__file__))]
    command += ["--library", library, f"--slice-s={slice_s}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    if run.returncode:
        if "ModuleNotFoundError" in run.stderr:
            return None
        raise ValueError(f"{library}: {run.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def _check(library: str, written: dict[str, str]) -> None:
    from smpp.codec import decode

    for name, octets in written.items():
        read, wanted = decode(bytes.fromhex(octets)), decode(FRAMES[name.removeprefix("encode ")])
        # The order of TLVs is free.
        if sorted(read.tlvs) != sorted(wanted.tlvs) or _without_tlvs(read) != _without_tlvs(wanted):
            raise ValueError(f"{library} wrote another PDU: {name}: {octets}")


def _without_tlvs(pdu: Any) -> list[Any]:
    return [getattr(pdu, field) for field in pdu.__struct_fields__ if field != "tlvs"]


def figures(best: dict[str, dict[str, float]]) -> dict[str, float]:
    """For ``var/bench.json``: what ours takes, and how many times as long each other takes."""
    found: dict[str, float] = {}
    for name, us in best[OURS].items():
        key = name.replace(" ", "_")
        found[f"codec_{key}_us"] = us
        for library, theirs in best.items():
            if library != OURS and name in theirs:
                found[f"codec_{key}_{library}_times"] = theirs[name] / us
    return found


def show(best: dict[str, dict[str, float]]) -> None:
    """Print microseconds, and in brackets how many times as long as ours."""
    print(f"\n{'us for one PDU (times ours)':28}" + "".join(f"{library:>18}" for library in best))
    for name in OPERATIONS:
        cells = []
        for times in best.values():
            us = times.get(name)
            cells.append("-" if us is None else f"{us:.2f} ({us / best[OURS][name]:.1f})")
        print(f"{name:28}" + "".join(f"{cell:>18}" for cell in cells))
    for library in LIBRARIES:
        if library not in best:
            print(f"{library} is not installed: ops/setup/setup peers")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.codec", description=__doc__)
    parser.add_argument("--library", choices=LIBRARIES, help="measure this one here, and print JSON")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each library has its turn")
    parser.add_argument("--slice-s", type=float, default=SLICE_S, help="seconds of one measurement")
    options = parser.parse_args()
    if options.library:
        print(json.dumps(measure(options.library, options.slice_s)))
    else:
        show(compare(options.rounds, options.slice_s))


if __name__ == "__main__":
    main()
