"""Signed papers: what is taken for one."""

import hashlib

import pytest

from provisioning import BadValue
from provisioning.loa_documents import MAX_OCTETS, read_document


@pytest.mark.parametrize(
    ("octets", "media_type"),
    [
        (b"%PDF-1.4\n", "application/pdf"),
        (b"\r\n junk of a mail program\n%PDF-1.4\n", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
    ],
)
def test_a_document_is_known_by_its_first_octets(octets, media_type):
    found = read_document(octets)
    assert found.media_type == media_type
    assert found.digest == "sha256:" + hashlib.sha256(octets).hexdigest()


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04", "is neither PDF, PNG, JPEG nor TIFF"),
        (b" " * 1024 + b"%PDF-1.4", "is neither"),
        (b"%PDF-" + bytes(MAX_OCTETS), "may have 20,000,000"),
    ],
)
def test_what_is_no_document_is_refused(octets, told):
    with pytest.raises(BadValue, match=told):
        read_document(octets, "scan.zip")
