"""The signed papers behind letters of authorization: kept in the store by the digest of their octets (H9).

A document is never changed and never removed with its letter: it is the proof that there was a right to publish, for as
long as anybody may ask. Two letters on one paper have one document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec
import sqlalchemy

from provisioning.errors import BadValue, ProvisioningError
from provisioning.tables import loa_document_table
from store import Op, Transaction, Upsert

MAX_OCTETS = 20_000_000  # a letter of many pages, scanned in colour, has a few million
PDF_HEAD = 1024  # within which a PDF says that it is one (ISO 32000-1, annex H, note 13)

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)
_FILE = Upsert(loa_document_table, ("digest", "media_type", "octets", "added_us"), conflict="digest", update="nothing")


class NoDocument(ProvisioningError):
    """A document was never filed here.

    Attributes:
        digest: whose octets are not known.
    """

    def __init__(self, digest: str, what: str = "the document") -> None:
        super().__init__(f"{what} {digest} is not in the store: file it by `smshub provision loa add --document FILE`")
        self.digest = digest


class DamagedDocument(ProvisioningError):
    """A document's octets are not those that were filed.

    Attributes:
        digest: what they had.
    """

    def __init__(self, digest: str) -> None:
        super().__init__(f"the document {digest} has been changed in the store: take it from a backup")
        self.digest = digest


class Document(msgspec.Struct, frozen=True):
    """A signed paper.

    Attributes:
        digest: ``sha256:`` and 64 hexadecimal digits.
        media_type: ``"application/pdf"``, ``"image/png"``, ``"image/jpeg"``, ``"image/tiff"``.
        octets: the file.
    """

    digest: str
    media_type: str
    octets: bytes


def read_document(octets: bytes, name: str = "") -> Document:
    """Look at a file that shall be a signed letter.

    Args:
        octets: the file.
        name: what an error shall call it.

    Raises: BadValue: it is empty, too large, or neither PDF, PNG, JPEG nor TIFF.
    """
    if len(octets) > MAX_OCTETS:
        why = f"has {len(octets):,} octets, and may have {MAX_OCTETS:,}: scan it with fewer dots per inch"
        raise BadValue("document", name, why)
    media_type = next((kind for magic, kind in _MAGIC if octets.startswith(magic)), "")
    if not media_type and b"%PDF-" in octets[:PDF_HEAD]:
        media_type = "application/pdf"
    if not media_type:
        why = "is neither PDF, PNG, JPEG nor TIFF, by its first octets" if octets else "is empty"
        raise BadValue("document", name, why)
    return Document("sha256:" + hashlib.sha256(octets).hexdigest(), media_type, octets)


def file_document(tx: Transaction, document: Document, now_us: int) -> None:
    """Put a document into the store, unless it is there."""
    tx.write(Op(_FILE, [(document.digest, document.media_type, document.octets, now_us)]))


def filed(tx: Transaction, digests: Iterable[str]) -> set[str]:
    """Those of these digests whose documents are in the store."""
    wanted = sorted(set(digests))
    column = loa_document_table.c.digest
    found: set[str] = set()
    for at in range(0, len(wanted), 500):
        found |= set(tx.sql.execute(sqlalchemy.select(column).where(column.in_(wanted[at : at + 500]))).scalars())
    return found


def document(tx: Transaction, digest: str) -> Document:
    """Take a document out of the store, checked against its digest.

    Raises: NoDocument, DamagedDocument.
    """
    table = loa_document_table
    row = tx.sql.execute(sqlalchemy.select(table).where(table.c.digest == digest)).first()
    if row is None:
        raise NoDocument(digest)
    octets = bytes(row.octets)
    if "sha256:" + hashlib.sha256(octets).hexdigest() != digest:
        raise DamagedDocument(digest)
    return Document(digest, row.media_type, octets)
