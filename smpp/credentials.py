"""What an ESME binds as, and with. Pure, so that a configuration can be checked without a network."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from smpp.constants import VERSION_3_4
from smpp.events import Bind
from smpp.pdu import BindReceiver, BindTransceiver, BindTransmitter


class BindType(StrEnum):
    """What to bind as."""

    TX = "transmitter"
    RX = "receiver"
    TRX = "transceiver"


_BINDS: Final[dict[BindType, type[Bind]]] = {
    BindType.TX: BindTransmitter,
    BindType.RX: BindReceiver,
    BindType.TRX: BindTransceiver,
}


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What an SMSC wants to know of us. It prints without its password.

    Attributes: as the fields of a bind.
    """

    system_id: str
    password: str
    system_type: str = ""
    interface_version: int = VERSION_3_4
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""

    def __repr__(self) -> str:
        return f"Credentials(system_id={self.system_id!r})"

    def bind(self, bind_type: BindType) -> Bind:
        """The PDU that binds with them."""
        return _BINDS[bind_type](
            system_id=self.system_id,
            password=self.password,
            system_type=self.system_type,
            interface_version=self.interface_version,
            addr_ton=self.addr_ton,
            addr_npi=self.addr_npi,
            address_range=self.address_range,
        )
