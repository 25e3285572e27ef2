"""Wireshark's dissector as a second opinion on what we write: it reads a capture made by hand, with no network."""

import json
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SMPP_PORT = 2775

Fields = dict[str, list[Any]]
"""Every value of every field of a dissection, at any depth, in order."""


def find_tshark() -> str:
    """Where the program is. Without it nothing is judged, so a test fails: it never skips."""
    program = shutil.which("tshark")
    if program is None:
        pytest.fail("tshark is missing: install it (ops/setup/setup system does)", pytrace=False)
    return program


def capture(payloads: Sequence[bytes]) -> bytes:
    """A pcap file: raw IPv4 packets of one TCP connection, without checksums (zero: not computed)."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, 101)]
    sequence = 1
    for number, payload in enumerate(payloads):
        tcp = struct.pack(">HHIIBBHHH", 40_000, SMPP_PORT, sequence, 1, 5 << 4, 0x18, 0xFFFF, 0, 0) + payload
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), number, 0, 64, 6, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
        out.append(struct.pack("<IIII", 1_700_000_000, number, 20 + len(tcp), 20 + len(tcp)) + ip + tcp)
        sequence += len(payload)
    return b"".join(out)


def dissect(frames: Sequence[bytes], directory: Path) -> list[Fields]:
    """What the dissector sees in each of these frames, which it gets as one stream."""
    path = directory / "pdus.pcap"
    path.write_bytes(capture(frames))
    run = subprocess.run(
        [find_tshark(), "-r", path, "-d", f"tcp.port=={SMPP_PORT},smpp", "-T", "json", "--no-duplicate-keys"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    packets = json.loads(run.stdout)
    assert len(packets) == len(frames)
    results = []
    for packet in packets:
        fields: Fields = {}
        for name, value in _pairs_of(packet["_source"]["layers"]):
            fields.setdefault(name, []).extend(value if isinstance(value, list) else [value])
        results.append(fields)
    return results


def wrong_in(fields: Fields) -> list[str]:
    """The dissector's complaints."""
    return [name for name in fields if "malformed" in name.lower() or name == "_ws.expert"]


def _pairs_of(node: Any) -> list[tuple[str, Any]]:
    found = []
    if isinstance(node, dict):
        for name, value in node.items():
            found.append((name, value))
            found += _pairs_of(value)
    elif isinstance(node, list):
        for value in node:
            found += _pairs_of(value)
    return found
