"""The page on PDUs and TLVs is current, leaves nothing out, and says of a TLV that it is used where it is."""

from __future__ import annotations

import re

import pytest

from smpp.pdu import PDU, PDU_CLASSES, is_response
from smpp.states import ACTIONS, Action, Role, State
from smpp.tlv import DEFINITIONS, TLV
from tests.meta.smpp_pdus import EITHER, FROM_ACCOUNTS, FROM_CARRIERS, SENT, USED, page
from tests.meta.tree import ROOT, modules

PAGE = ROOT / "docs/reference/smpp-pdus.md"
SIDES = [(Role.SMSC, FROM_ACCOUNTS), (Role.ESME, FROM_CARRIERS)]
NOBODY = ("an ESME has nothing", "a carrier has nothing", "an SMSC's word", "a carrier does not")
TAKEN = frozenset(Action) - {Action.REFUSE, Action.ALREADY, Action.IGNORE}


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.meta.smpp_pdus > docs/reference/smpp-pdus.md"


def is_ever(role: Role, pdu_class: type[PDU], actions: frozenset[Action]) -> bool:
    return any(ACTIONS[role][state][pdu_class] in actions for state in State)


@pytest.mark.parametrize(("role", "words"), SIDES, ids=["accounts", "carriers"])
def test_everything_that_is_taken_or_refused_has_words(role: Role, words: dict[type[PDU], str]) -> None:
    silent = {each for each in PDU_CLASSES.values() if not is_ever(role, each, frozenset(Action) - {Action.IGNORE})}
    assert set(PDU_CLASSES.values()) - silent <= set(words) | set(EITHER)
    assert not set(words) & set(EITHER)
    # Of what is only counted, requests are named and responses need no words.
    assert {each for each in silent if not is_response(each.command_id)} <= set(words)


@pytest.mark.parametrize(("role", "words"), SIDES, ids=["accounts", "carriers"])
def test_what_is_never_taken_is_said_to_be_nobodys(role: Role, words: dict[type[PDU], str]) -> None:
    for pdu_class, said in words.items():
        nobody = said.startswith(
            ("an ESME has nothing", "a carrier has nothing", "an SMSC's word", "a carrier does not")
        )
        assert said == "the same" or nobody is not is_ever(role, pdu_class, TAKEN), pdu_class.__name__


def test_only_requests_are_said_to_be_sent() -> None:
    assert not [each for each in SENT if is_response(each.command_id)]


@pytest.mark.parametrize("tlv", DEFINITIONS.values(), ids=lambda tlv: tlv.label)
def test_a_tlv_is_used_exactly_when_the_page_says_so(tlv: TLV[int]) -> None:
    mentions = re.compile(rf"\bTag\.{tlv.label.upper()}\b|: Final = 0x{int(tlv):04X}\b")
    product = [m for m in modules().values() if m.name.split(".")[0] in ("smpp", "translators", "hub")]
    used = [m.name for m in product if m.name != "smpp.tlv" and mentions.search(_code(m.path.read_text()))]
    assert bool(used) is (tlv in USED), used


def _code(text: str) -> str:
    """Without comments and docstrings, which may speak of what is not done."""
    return re.sub(r'#.*|"""(?:.|\n)*?"""', "", text)
