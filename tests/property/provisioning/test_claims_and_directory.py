"""Claims and the snapshot against the plainest model: a dictionary with every number in it."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from provisioning import (
    KINDS,
    Block,
    BlockOverlap,
    ClaimedByAnother,
    Claims,
    Directory,
    MalformedNumber,
    Number,
    build,
    parse_number,
)
from provisioning.e164 import e164_of
from provisioning.fields import fields_of, key_names

BASE = 12025550000
centres = st.sampled_from(["a", "b"])
digits = st.integers(BASE, BASE + 40)
numbers = st.builds(
    lambda number, centre, behind: Number(
        number=e164_of(number), call_centre=centre, alias_of=e164_of(behind) if behind else ""
    ),
    digits,
    centres,
    st.one_of(st.none(), digits),
)
blocks = st.builds(
    lambda first, size, centre: Block(first=e164_of(first), last=e164_of(first + size), call_centre=centre),
    digits,
    st.integers(0, 8),
    centres,
)


def span(block):
    return range(int(block.first[1:]), int(block.last[1:]) + 1)


class Model:
    """Who claims each number, and which block holds it."""

    def __init__(self):
        self.owner = {}
        self.block = {}

    def verdict(self, entry):
        if isinstance(entry, Number):
            claimed = [int(text[1:]) for text in (entry.number, entry.alias_of) if text]
        else:
            claimed = list(span(entry))
        if any(self.owner.get(one, entry.call_centre) != entry.call_centre for one in claimed):
            return "claimed"
        if isinstance(entry, Block) and any(self.block.get(one, entry.key) != entry.key for one in claimed):
            return "overlap"
        for one in claimed:
            self.owner[one] = entry.call_centre
            if isinstance(entry, Block):
                self.block[one] = entry.key
        return "taken"


@given(st.lists(numbers | blocks, max_size=25))
def test_claims_agree_with_the_model(entries):
    claims, model = Claims(), Model()
    for entry in entries:
        try:
            claims.check(entry)
        except ClaimedByAnother as error:
            verdict = "claimed" if error.owner != entry.call_centre else "claimed by itself"
        except BlockOverlap:
            verdict = "overlap"
        else:
            verdict = "taken"
            claims.add(entry)
        expected = model.verdict(entry)
        # A block that meets both a neighbour of its own and another's number may be told either.
        assert verdict == expected or {verdict, expected} == {"claimed", "overlap"}


@given(st.lists(numbers | blocks, max_size=25), st.integers(BASE - 2, BASE + 50))
def test_the_directory_answers_as_the_model(entries, asked):
    claims, taken = Claims(), {}
    for entry in entries:
        try:
            claims.check(entry)
        except (ClaimedByAnother, BlockOverlap):
            continue
        claims.add(entry)
        taken[entry.key] = entry
    by_number = {entry.number: entry for entry in taken.values() if isinstance(entry, Number)}
    in_block = {one: entry for entry in taken.values() if isinstance(entry, Block) for one in span(entry)}
    behind = {entry.alias_of: entry for entry in by_number.values() if entry.alias_of}
    directory = Directory(numbers=by_number.values(), blocks=[e for e in taken.values() if isinstance(e, Block)])
    found = directory.number(e164_of(asked))
    expected = by_number.get(e164_of(asked)) or in_block.get(asked) or behind.get(e164_of(asked))
    assert (found and found.call_centre) == (expected and expected.call_centre)
    assert found is None or found.e164 == e164_of(asked)


@given(st.text(max_size=20) | st.text("+0123456789 ()-.", max_size=20), st.sampled_from([None, "US", "GB", "XX"]))
def test_any_text_is_a_number_in_e164_or_refused(text, region):
    try:
        e164 = parse_number(text, region)
    except MalformedNumber:
        return
    assert e164[0] == "+"
    assert e164[1:].isascii()
    assert e164[1:].isdecimal()
    assert 2 <= len(e164) <= 16
    assert parse_number(e164) == e164


toml_values = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.text(max_size=8),
    st.sampled_from(["gsm7", "trx", "+12025550143", "c", "x.example", "d@example.net", "link:x", "*", "$argon2id$"]),
    st.lists(st.text(max_size=4) | st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)


@given(st.data(), st.sampled_from(sorted(KINDS)))
def test_any_table_is_an_entry_that_survives_json_or_problems_with_fields(data, name):
    kind = KINDS[name]
    known = st.sampled_from(key_names(fields_of(kind)))
    entry, problems = build(kind, data.draw(st.dictionaries(known | st.text(max_size=5), toml_values, max_size=12)))
    assert (entry is None) == bool(problems)
    assert all(problem.why for problem in problems)
    if entry is not None:
        assert msgspec.json.decode(msgspec.json.encode(entry), type=kind) == entry
        json.loads(msgspec.json.encode(entry))
        assert build(kind, {field: getattr(entry, field) for field in kind.__struct_fields__}) == (entry, [])
