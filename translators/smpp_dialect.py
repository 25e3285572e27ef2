"""How one peer writes and wants SMPP. Pure, immutable."""

from __future__ import annotations

from typing import Final

import msgspec

from smpp.alphabet import GSM7, UCS2, Alphabet
from smpp.pdu import DataSm, DeliverSm, SubmitSm
from smpp.receipt import IdForm
from smpp.segmentation import Method
from translators.smpp_addresses import TonNpiRule

ShortMessage = SubmitSm | DeliverSm
MessagePdu = SubmitSm | DeliverSm | DataSm

DATA_SM: Final = "data_sm"
TO_FIT: Final = "to-fit"


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How one peer writes and wants SMPP.

    Attributes:
        default: what data_coding 0 means to it.
        allowed: alphabets it takes, the first that carries a text in fewest parts wins.
        method: how it wants long texts.
        ask_receipts: which receipts are asked of it: ``"always"``, ``"wanted"`` (by the sender), ``"failure"``,
            ``"never"``.
        id_form: how the ids in its receipts differ from those it answered with.
        country_code: digits put before its national numbers, empty to leave them as they are.
        service_type: what is written into service_type.
        plus: whether E.164 addresses keep their ``+``.
        source_ton, source_npi, destination_ton, destination_npi: what is written there, -1 to let the address decide.
        ton_npi_rules: what is written there for some addresses; the first that fits wins over the four above.
        packed: septets of the GSM alphabet travel packed, both ways. The text of a receipt is written as ASCII always.
        transliterate: ``"to-fit"`` to transliterate what would make a text UCS-2, or ``"never"``.
        send_validity: whether a carrier is told until when a text is worth trying.
        submit_with: the PDU that a carrier is sent texts in: ``"submit_sm"`` or ``"data_sm"``.
        element_tlv: the tag of the TLV that holds an identification element, both ways; 0 for none.
    """

    default: Alphabet = GSM7
    allowed: tuple[Alphabet, ...] = (GSM7, UCS2)
    method: Method = Method.UDH8
    ask_receipts: str = "wanted"
    id_form: IdForm = IdForm.EXACT
    country_code: str = ""
    service_type: str = ""
    plus: bool = False
    source_ton: int = -1
    source_npi: int = -1
    destination_ton: int = -1
    destination_npi: int = -1
    ton_npi_rules: tuple[TonNpiRule, ...] = ()
    packed: bool = False
    transliterate: str = "never"
    send_validity: bool = False
    submit_with: str = "submit_sm"
    element_tlv: int = 0
