"""Names and bits."""

import pytest

from smpp.constants import (
    CommandId,
    CommandStatus,
    EsmClass,
    has_udh,
    is_intermediate,
    is_receipt,
    message_type,
    status_name,
    status_value,
)
from smpp.pdu import PDU_CLASSES


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (0x00, "ESME_ROK"),
        (0x58, "ESME_RTHROTTLED"),
        (0xFF, "ESME_RUNKNOWNERR"),
        (0x09, "reserved-0x00000009"),
        (0x3FF, "reserved-0x000003ff"),
        (0x400, "vendor-0x00000400"),
        (0x4FF, "vendor-0x000004ff"),
        (0x500, "reserved-0x00000500"),
        (0xFFFFFFFF, "reserved-0xffffffff"),
    ],
)
def test_a_status_and_its_name(value: int, name: str) -> None:
    assert status_name(value) == name
    assert status_value(name) == value


def test_a_status_by_other_spellings() -> None:
    assert status_value("rthrottled") == status_value("esme_rthrottled") == CommandStatus.ESME_RTHROTTLED
    for wrong in ("nonsense", "", "vendor-0xzz"):
        with pytest.raises(ValueError, match=r".+"):
            status_value(wrong)


def test_the_names_that_5_0_gave_the_same_statuses() -> None:
    for name, value in (
        ("ESME_RINVTLVSTREAM", 0xC0),
        ("ESME_RTLVNOTALLWD", 0xC1),
        ("ESME_RINVTLVLEN", 0xC2),
        ("ESME_RMISSINGTLV", 0xC3),
        ("ESME_RINVTLVVAL", 0xC4),
    ):
        assert status_value(name) == value
        assert "TLV" not in status_name(value)


# SMPP 5.0 Table 4-45 from 0x100 on, typed from the standard.
NEW_IN_5_0 = """RSERTYPUNAUTH RPROHIBITED RSERTYPUNAVAIL RSERTYPDENIED RINVDCS RINVSRCADDRSUBUNIT RINVDSTADDRSUBUNIT
    RINVBCASTFREQINT RINVBCASTALIAS_NAME RINVBCASTAREAFMT RINVNUMBCAST_AREAS RINVBCASTCNTTYPE RINVBCASTMSGCLASS
    RBCASTFAIL RBCASTQUERYFAIL RBCASTCANCELFAIL RINVBCAST_REP RINVBCASTSRVGRP RINVBCASTCHANIND"""


def test_the_statuses_of_5_0() -> None:
    assert [status_name(value) for value in range(0x100, 0x113)] == [f"ESME_{name}" for name in NEW_IN_5_0.split()]


@pytest.mark.parametrize(("value", "name"), [(0x19, "ESME_RADDCUSTFAIL"), (0x31, "ESME_RPARAMRETFAIL")])
def test_the_statuses_of_3_3_that_old_smscs_still_send(value: int, name: str) -> None:
    assert status_name(value) == name
    assert status_value(name) == value


def test_every_command_has_its_pdu_and_every_pdu_its_command() -> None:
    assert set(CommandId) == set(PDU_CLASSES)
    for command in CommandId:
        words = command.name.title().replace("_", "")
        assert PDU_CLASSES[command].__name__ == words


@pytest.mark.parametrize(
    ("esm_class", "receipt", "intermediate"),
    [
        (0x00, False, False),
        (0x03, False, False),
        (0x04, True, False),
        (0x07, True, False),
        (0x44, True, False),
        (0x08, True, False),
        (0x10, False, False),
        (0x18, False, False),
        (0x20, True, True),
        (0x60, True, True),
        (0x40, False, False),
        (0xC0, False, False),
    ],
)
def test_what_esm_class_says(esm_class: int, receipt: bool, intermediate: bool) -> None:
    assert is_receipt(esm_class) is receipt
    assert is_intermediate(esm_class) is intermediate
    assert has_udh(esm_class) is bool(esm_class & EsmClass.UDHI)
    assert message_type(esm_class) == esm_class & 0x3C
