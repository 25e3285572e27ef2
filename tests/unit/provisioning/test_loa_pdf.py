"""Letters as PDFs, read by a reader that is not ReportLab's."""

import io
import re
import unicodedata

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from provisioning import BadValue, Loa
from provisioning.authority import terms_digest
from provisioning.loa_pdf import draft_pdf, font_files

LETTER = Loa(
    name="helpline-2026",
    call_centre="helpline",
    owner="Café Łódź & <Söhne>",
    owner_address="1 Main Street, Springfield",
    designee="Ξένια Hub Ltd",
    contact="Zoë Müller, +1 202 555 0101",
    numbers=("+12025550100-+12025550199", "+12025550300"),
    valid_from="2026-12-01",
    valid_until="2027-11-30",
)
DRAFTED = "2026-11-22"


def pages_of(pdf):
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]


def test_a_range_takes_one_page_that_says_all():
    (page,) = pages_of(draft_pdf(LETTER, DRAFTED))
    for words in (
        *(LETTER.name, LETTER.owner, LETTER.owner_address, LETTER.designee, LETTER.contact, LETTER.call_centre),
        *("2026-12-01", "2027-11-30", "drafted on 2026-11-22", "Page 1 of 1", terms_digest(LETTER)),
        *("+12025550100 to +12025550199", "+12025550300", "101 numbers in 2 entries", "Signature", "Date"),
    ):
        assert words in page
    assert LETTER.purpose in page.replace("\n", " ")


def test_ten_thousand_single_numbers_are_all_listed_and_each_page_names_the_terms():
    numbers = tuple(f"+1{digits}" for digits in range(2025550000, 2025570000, 2))
    loa = msgspec.structs.replace(LETTER, numbers=numbers, valid_until="")
    pages = pages_of(draft_pdf(loa, DRAFTED, paper="a4"))
    assert tuple(re.findall(r"\+1\d{10}\b", "\n".join(pages[1:]))) == numbers
    assert "10,000 numbers" in pages[0]
    assert "until it is withdrawn in writing" in pages[0].replace("\n", " ")
    for at, page in enumerate(pages, 1):
        assert terms_digest(loa) in page
        assert f"{loa.name}, drafted on {DRAFTED}" in page
        assert f"Page {at} of {len(pages)}" in page


def test_the_same_letter_is_the_same_octets():
    assert draft_pdf(LETTER, DRAFTED) == draft_pdf(LETTER, DRAFTED)
    assert draft_pdf(LETTER, DRAFTED) != draft_pdf(LETTER, "2026-11-23")
    assert draft_pdf(LETTER, DRAFTED) != draft_pdf(LETTER, DRAFTED, paper="a4")


def test_an_accent_by_itself_is_drawn_with_its_letter():
    loa = msgspec.structs.replace(LETTER, owner="Cafe\u0301 Su\u0308d")
    assert "Café Süd" in pages_of(draft_pdf(loa, DRAFTED))[0]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("owner", "北京 Ltd", "'北' (U+5317 CJK UNIFIED IDEOGRAPH-5317), which the letter's font lacks"),
        ("contact", "A. Person 📞", "'📞' (U+1F4DE TELEPHONE RECEIVER), which the letter's font lacks"),
        ("designee", "מרכז", "'מ' (U+05DE HEBREW LETTER MEM), which is written from right to left"),
        ("purpose", "x\u0323\u0301", "which joins the letter before it"),
        ("owner", "Acme\u202eptL", "U+202E, which nobody would see on paper"),
        ("owner", "Ac\u00adme", "U+00AD, which nobody would see on paper"),
    ],
)
def test_a_character_that_cannot_be_drawn_is_named(field, value, told):
    with pytest.raises(BadValue) as refused:
        draft_pdf(msgspec.structs.replace(LETTER, **{field: value}), DRAFTED)
    assert refused.value.field == field
    assert told in str(refused.value)


@settings(max_examples=40)
@given(
    st.text(min_size=1, max_size=60) | st.text("<>&;\"'/b fontéŁ\u00a0\u1ea4Ωж", min_size=1, max_size=60),
    st.sampled_from(["owner", "owner_address", "contact", "purpose"]),
)
def test_any_words_are_drawn_whole_or_refused_by_name(words, field):
    loa = msgspec.structs.replace(LETTER, **{field: words})
    try:
        pages = pages_of(draft_pdf(loa, DRAFTED))
    except BadValue as refused:
        error = refused
    else:
        drawn = re.sub(r"\s", "", "".join(pages))
        assert re.sub(r"\s", "", unicodedata.normalize("NFC", words)) in drawn
        return
    assert error.field == field
    assert "U+" in str(error)


def test_a_font_that_is_none_is_refused(tmp_path):
    (tmp_path / "no.ttf").write_bytes(b"no font")
    for name in ("no.ttf", "absent.ttf"):
        with pytest.raises(BadValue, match="is no TrueType font that can be used"):
            draft_pdf(LETTER, DRAFTED, font_file=str(tmp_path / name))


def test_another_font_can_be_given():
    regular, _ = font_files()
    assert LETTER.owner in pages_of(draft_pdf(LETTER, DRAFTED, font_file=regular))[0]


def test_long_words_are_broken_and_no_page_is_empty():
    loa = msgspec.structs.replace(
        LETTER, owner="W" * 200, purpose="p" * 500, owner_address="a" * 300, contact="c" * 200
    )
    pages = pages_of(draft_pdf(loa, DRAFTED))
    assert "W" * 200 in re.sub(r"\s", "", "".join(pages))
    assert all("terms sha256:" in page for page in pages)


def test_few_entries_stay_on_the_page_and_many_go_behind_the_signature():
    singles = [f"+1202555{digits:04}" for digits in range(100, 160, 2)]
    few = msgspec.structs.replace(LETTER, numbers=tuple(singles[:24]))
    many = msgspec.structs.replace(LETTER, numbers=tuple(singles[:25]))
    assert len(pages_of(draft_pdf(few, DRAFTED))) == 1
    first, second = pages_of(draft_pdf(many, DRAFTED))
    assert "Signature" in first
    assert singles[0] not in first
    assert singles[24] in second
