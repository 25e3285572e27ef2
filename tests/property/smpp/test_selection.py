"""The alphabet of a text, held to an exhaustive search that knows nothing of how the choice is made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smpp.alphabet import ASCII, BY_NAME, GSM7, LATIN1, UCS2, Alphabet, SeptetAlphabet, alphabet_of, septet_alphabet
from smpp.alphabet import shifted as with_tables
from smpp.reassembly import user_data
from smpp.segmentation import Method, choose, is_boundary, segment

LANGUAGES = ["tr", "es", "pt", "hi", "bn", "ur", "ta", "pt-single", "tr-single"]
CHARACTERS = "ab @€{[ğşçıİãõáéúÁÔअआकिीबুاپஅ\u0bbe😀\r\n'-"
texts = st.one_of(
    st.text(alphabet=CHARACTERS, max_size=60),
    st.tuples(st.text(alphabet=CHARACTERS, min_size=1, max_size=4), st.integers(10, 120)).map(lambda p: p[0] * p[1]),
    st.text(alphabet="abğşçÇı€ 1{", min_size=100, max_size=350),
    st.text(alphabet="कखगअआ ि1", min_size=60, max_size=350),
)
allowances = st.tuples(
    st.sampled_from([(GSM7,), (GSM7, UCS2), (UCS2,), (GSM7, ASCII, UCS2), (LATIN1, GSM7, UCS2), ()]),
    st.lists(st.sampled_from(LANGUAGES), max_size=3, unique=True),
).map(lambda pair: (*pair[0], *(BY_NAME[f"gsm7-{name}"] for name in pair[1])))
methods = st.sampled_from([Method.UDH8, Method.UDH16, Method.SAR])


def pairs(allowed: tuple[Alphabet, ...]) -> list[Alphabet]:
    """Every alphabet that there is to choose from, by the rule alone."""
    national = [a for a in allowed if isinstance(a, SeptetAlphabet) and a.shift_elements]
    found: list[Alphabet] = [a for a in allowed if not a.shift_elements]
    for locking in {0, *(a.locking for a in national)}:
        for single in {0, *(a.single for a in national)}:
            if locking or single:
                found.append(septet_alphabet(locking, single))
    return found


def parts_in(text: str, alphabet: Alphabet, header_octets: int) -> int:
    """How many parts a text needs in one alphabet, cut character by character."""
    tables = len(alphabet.shift_elements)

    def fits(piece: str, header: int) -> bool:
        return 8 * header + alphabet.unit_bits * alphabet.units(piece) <= 1120

    if fits(text, 1 + tables if tables else 0):
        return 1
    parts, start = 0, 0
    while start < len(text):
        end = last = start
        while end < len(text) and fits(text[start : end + 1], header_octets + tables):
            end += 1
            if is_boundary(text, end, start):
                last = end
        start = last if last > start else end
        parts += 1
    return parts


def plainness(alphabet: Alphabet) -> tuple[int, int]:
    return alphabet.unit_bits, len(alphabet.shift_elements)


@given(texts, allowances, methods)
def test_no_other_alphabet_needs_fewer_parts_and_none_as_plain(
    text: str, allowed: tuple[Alphabet, ...], method: Method
) -> None:
    header_octets = 7 if method is Method.UDH16 else 6
    needs = {a: parts_in(text, a, header_octets) for a in pairs(allowed) if a.encodable(text)}
    if not needs or not text:
        return
    chosen = choose(text, allowed, GSM7, method=method)
    assert needs[chosen] == min(needs.values())
    assert plainness(chosen) == min(plainness(a) for a, parts in needs.items() if parts == needs[chosen])
    segments = segment(text, allowed=allowed, method=method)
    assert len(segments) == needs[chosen]
    read = ""
    for part in segments:
        data = user_data(part.short_message, part.esm_class, part.tlvs)
        alphabet = alphabet_of(part.data_coding, GSM7)
        assert alphabet is not None
        read += with_tables(alphabet, data.udh.elements if data.udh else ()).decode(data.octets)
    assert read == text


@given(texts, allowances)
def test_blocks_read_as_the_text(text: str, allowed: tuple[Alphabet, ...]) -> None:
    allowed = (*allowed, UCS2)
    read = ""
    for part in segment(text, allowed=allowed, method=Method.BLOCKS):
        data = user_data(part.short_message, part.esm_class)
        alphabet = alphabet_of(part.data_coding, GSM7)
        assert alphabet is not None
        assert data.concatenation is None
        read += with_tables(alphabet, data.udh.elements if data.udh else ()).decode(data.octets)
    assert read == text
