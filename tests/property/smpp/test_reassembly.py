"""Reassembly: any octets are a header or a BadHeader; whatever order and loss, nothing that came is lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from smpp.reassembly import GAP, BadHeader, Key, Reassembler, assemble, concatenation_of, parse_udh, user_data

tlvs = st.lists(
    st.tuples(st.sampled_from([0x020C, 0x020E, 0x020F, 0x0424, 0x1400]), st.binary(max_size=12)), max_size=5
)


@given(st.binary(max_size=60), st.integers(0, 255), tlvs)
def test_any_message_is_read_or_refused(octets: bytes, esm_class: int, tlvs: list[tuple[int, bytes]]) -> None:
    try:
        data = user_data(octets, esm_class, tlvs)
    except BadHeader:
        assert esm_class & 0x40
        return
    assert concatenation_of(octets, esm_class, tlvs) == data.concatenation
    assert (data.udh is not None) is bool(esm_class & 0x40)
    if data.concatenation is not None:
        assert 1 <= data.concatenation.number <= data.concatenation.total <= 255
        assert data.concatenation.total > 1
        assert 0 <= data.concatenation.reference <= 0xFFFF


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=10)), max_size=8), st.binary(max_size=20))
def test_elements_come_back(elements: list[tuple[int, bytes]], rest: bytes) -> None:
    body = b"".join(bytes((identifier, len(data))) + data for identifier, data in elements)
    udh = parse_udh(bytes((len(body),)) + body + rest)
    assert udh.elements == tuple(elements)
    assert udh.header_octets == len(body) + 1


@given(st.lists(st.text(max_size=10), min_size=1, max_size=12), st.randoms(), st.data())
def test_assemble_whatever_the_order(pieces: list[str], random: object, data: st.DataObject) -> None:
    total = len(pieces)
    parts = list(enumerate(pieces, 1))
    came = data.draw(st.lists(st.sampled_from(parts), max_size=2 * total))
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert assemble(parts, total) == ("".join(pieces), ())
    text, missing = assemble(came, total, gap="")
    numbers = {number for number, _ in came}
    assert text == "".join(piece for number, piece in enumerate(pieces, 1) if number in numbers)
    assert set(missing) == set(range(1, total + 1)) - numbers


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("uvw"), st.integers(0, 40)), max_size=60),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_the_reassembler_loses_nothing_and_stays_within_its_bounds(
    arrivals: list[tuple[int, int, str, int]], max_texts: int, max_octets: int
) -> None:
    reassembler = Reassembler(100, max_texts, max_octets)
    now, came, given_out = 0, [], []
    for reference, number, text, pause in arrivals:
        now += pause
        came.append((reference, text))
        given_out += reassembler.add(Key("l", "s", "r", reference, 3), number, text, now)
        statistics = reassembler.statistics()
        assert statistics.texts <= max_texts
        assert statistics.octets <= max_octets
        deadline = reassembler.next_deadline_us()
        assert deadline is None or now < deadline <= now + 100
    given_out += reassembler.expire(now + 100)
    statistics = reassembler.statistics()
    assert statistics.texts == statistics.octets == 0
    assert reassembler.next_deadline_us() is None
    letters = Counter((one.key.reference, letter) for one in given_out for letter in one.text.replace(GAP, ""))
    expected = Counter(came)
    assert letters <= expected  # nothing twice
    assert set(letters) == set(expected)  # nothing lost
    assert sum(expected.values()) - sum(letters.values()) == statistics.duplicates
    assert statistics.incomplete == sum(bool(one.missing) for one in given_out)
