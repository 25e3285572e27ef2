"""The archive's form: the same messages make the same octets, any tool reads it, what is no object is refused."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path

import msgspec
import pyarrow.parquet
import pytest

from hub.keeping_record import Conversation, Record, object_name
from hub.model import Receipt, ReceiptState
from ops.archive import BadObject, DirectoryShelf, LinesForm, ObjectArchive, ParquetForm, pack, unpack
from ops.archive.lines import manifest_of


def record(n: int = 1, **fields: object) -> Record:
    told = {
        "v": 1,
        "id": n,
        "type": "text",
        "ended": "delivered",
        "origin": "link:a",
        "endpoint": "desk:b",
        "source": "+12025551212",
        "destination": "+18005550100",
        "received": 5,
        "done": 6,
        "text": "ünï 😀\n\u2028\x85 'x'",
    }
    return Record(**(told | fields))  # type: ignore[arg-type]


RECORDS = [
    record(1),
    record(2, text="", data=b"\x00\xff", type="binary", attributes={"from": "csr@desk"}),
    record(3, receipt=Receipt("7", ReceiptState.DELIVERED), thread=Conversation(9, "+1", "+2", "tok", csr="a@b")),
]


@pytest.mark.parametrize("form", [LinesForm(), ParquetForm()], ids=["jsonl", "parquet"])
def test_what_was_packed_is_unpacked(form: LinesForm | ParquetForm) -> None:
    assert form.unpack(form.pack(RECORDS)) == RECORDS
    assert form.pack(RECORDS) == form.pack(list(RECORDS))
    assert form.unpack(form.pack([])) == []


def test_parquet_is_read_by_columns() -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(ParquetForm().pack(RECORDS)))
    assert table.column("thread_csr").to_pylist() == [None, None, "a@b"]
    assert str(table.schema.field("received").type) == "timestamp[us, tz=UTC]"
    assert table.column("data").to_pylist() == [None, b"\x00\xff", None]


@pytest.mark.parametrize("cut", [0, 3, 40, -1, -8])
def test_parquet_that_is_cut_is_refused(cut: int) -> None:
    octets = ParquetForm().pack(RECORDS)
    with pytest.raises(BadObject, match="Parquet"):
        ParquetForm().unpack(octets[:cut])
    newer = [msgspec.structs.replace(record, v=9) for record in RECORDS]
    with pytest.raises(BadObject, match="version 9"):
        ParquetForm().unpack(ParquetForm().pack(newer))


def test_an_archive_reads_what_was_written_in_another_form(tmp_path: Path) -> None:
    shelf = DirectoryShelf(tmp_path)
    ObjectArchive(shelf).store("a.jsonl.gz", RECORDS)
    archive = ObjectArchive(shelf, "parquet")
    stored = archive.store(f"b{archive.suffix}", RECORDS)
    assert archive.load("a.jsonl.gz") == archive.load("b.parquet") == ObjectArchive(shelf).load("b.parquet")
    assert archive.fault_of("b.parquet", stored.sha256, 3) == ""
    assert archive.fault_of("b.parquet", stored.sha256, 2) != ""


def test_any_tool_reads_it() -> None:
    lines = gzip.decompress(pack(RECORDS)).decode().split("\n")
    assert [json.loads(line)["id"] for line in lines[:-1]] == [1, 2, 3]
    assert lines[-1] == ""
    told = json.loads(lines[2])["thread"]
    assert (told["token"], told["csr"]) == ("tok", "a@b")


@pytest.mark.parametrize("seed", range(40))
def test_what_is_no_object_is_refused(seed: int) -> None:
    """Cut, lengthened, or with a changed octet: never another answer than the messages or BadObject."""
    chance = random.Random(seed)
    octets = bytearray(pack(RECORDS))
    at = chance.randrange(len(octets))
    if seed % 3 == 0:
        del octets[at:]
    elif seed % 3 == 1:
        octets += bytes([chance.randrange(256)])
    else:
        octets[at] ^= 1 << chance.randrange(8)
    try:
        assert unpack(bytes(octets)) == RECORDS  # an octet of gzip's header that says nothing
    except BadObject:
        assert True
    else:
        assert seed % 3 == 2


def test_lines_that_are_no_messages_are_refused() -> None:
    for line in (b"{}", b"nonsense", b'{"v":"x"}', b"\xff"):
        with pytest.raises(BadObject, match="line 1"):
            unpack(gzip.compress(line + b"\n"))
    newer = gzip.decompress(pack([record()])).replace(b'"v":1', b'"v":2')
    with pytest.raises(BadObject, match="version 2"):
        unpack(gzip.compress(newer))


def test_a_field_of_tomorrow_is_passed_over() -> None:
    later = gzip.decompress(pack([record()])).replace(b'{"v":1', b'{"tomorrow":[1],"v":1')
    assert unpack(gzip.compress(later)) == [record()]


def test_the_manifest_and_the_name() -> None:
    manifest = manifest_of("a/b", RECORDS, 7, "ff")
    assert (manifest.messages, manifest.ids, manifest.first_received) == (3, (1, 3), 5)
    assert object_name("", "2026-11-22", 1, 3) == "_transit/2026/11/22/1-3"
    assert object_name("acme", "2026-11-22", 1, 3) == "acme/2026/11/22/1-3"
