"""Who has which numbers: refused when claimed by another call centre, alone, in a block, or behind an 8xx (H13)."""

import pytest

from provisioning import Block, BlockOverlap, ClaimedByAnother, Claims, Number

A_NUMBER = Number(number="+12025550143", call_centre="a")
A_BLOCK = Block(first="+16175550001", last="+16175559999", call_centre="a")
A_ALIAS = Number(number="+18002530000", call_centre="a", alias_of="+12025550150")


@pytest.fixture
def claims():
    return Claims([A_NUMBER, A_BLOCK, A_ALIAS])


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        (Number(number="+12025550143", call_centre="b"), "+12025550143"),
        (Number(number="+16175550001", call_centre="b"), "+16175550001"),
        (Number(number="+16175559999", call_centre="b"), "+16175559999"),
        (Number(number="+12025550150", call_centre="b"), "+12025550150"),
        (Number(number="+18882530000", call_centre="b", alias_of="+12025550143"), "+12025550143"),
        (Number(number="+18882530000", call_centre="b", alias_of="+16175551234"), "+16175551234"),
        (Number(number="+18882530000", call_centre="b", alias_of="+12025550150"), "+12025550150"),
        (Block(first="+12025550140", last="+12025550149", call_centre="b"), "+12025550140…+12025550149"),
        (Block(first="+12025550150", last="+12025550159", call_centre="b"), "+12025550150…+12025550159"),
        (Block(first="+16175550001", last="+16175559999", call_centre="b"), "+16175550001…+16175559999"),
        (Block(first="+16175550100", last="+16175550199", call_centre="b"), "+16175550100…+16175550199"),
        (Block(first="+16175540000", last="+16175550001", call_centre="b"), "+16175540000…+16175550001"),
        (Block(first="+13105550100", last="+13105550199", call_centre="b", alias="+18002530000"), "+18002530000"),
    ],
)
def test_what_another_has_is_refused(claims, entry, value):
    with pytest.raises(ClaimedByAnother) as caught:
        claims.check(entry)
    assert caught.value.value == value
    assert caught.value.owner == "a"
    assert repr(value) in str(caught.value)
    assert "'a'" not in str(caught.value)  # H13: the message may reach a call centre


@pytest.mark.parametrize(
    "entry",
    [
        A_NUMBER,
        A_BLOCK,
        A_ALIAS,
        Number(number="+16175550500", call_centre="a"),
        Number(number="+12025550150", call_centre="a"),
        Block(first="+12025550100", last="+12025550199", call_centre="a"),
        Number(number="+16175550000", call_centre="b"),
        Number(number="+16175560000", call_centre="b"),
        Block(first="+16175540000", last="+16175550000", call_centre="b"),
        Block(first="+16175560000", last="+16175569999", call_centre="b"),
    ],
)
def test_what_is_free_or_ones_own_is_taken(claims, entry):
    claims.check(entry)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("+16175550500", "+16175550599"),
        ("+16175540000", "+16175550001"),
        ("+16175559999", "+16175560000"),
        ("+16175540000", "+16175560000"),
        ("+16175550001", "+16175550002"),
    ],
)
def test_blocks_of_one_call_centre_do_not_overlap(claims, first, last):
    with pytest.raises(BlockOverlap) as caught:
        claims.check(Block(first=first, last=last, call_centre="a"))
    assert caught.value.other == A_BLOCK.key


def test_numbers_added_after_a_check_are_seen(claims):
    block = Block(first="+13105550100", last="+13105550199", call_centre="b")
    claims.check(block)
    claims.add(Number(number="+13105550150", call_centre="a"))
    with pytest.raises(ClaimedByAnother):
        claims.check(block)
