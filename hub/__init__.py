"""The message path: intake, lanes, dispatch, receipts, journal, feed. It knows no protocol."""

from hub.endpoint import Endpoint, Road
from hub.errors import HubError, UnknownEndpoint, Unsplittable
from hub.hub import EndpointStatistics, Hub, wall_clock_us
from hub.model import (
    Accepted,
    Arrival,
    Concatenation,
    Kind,
    Message,
    Outcome,
    Part,
    Reason,
    Receipt,
    ReceiptState,
    ReceiptWanted,
    Rejected,
    Result,
    State,
    TryLater,
    Verdict,
)

__all__ = [
    "Accepted",
    "Arrival",
    "Concatenation",
    "Endpoint",
    "EndpointStatistics",
    "Hub",
    "HubError",
    "Kind",
    "Message",
    "Outcome",
    "Part",
    "Reason",
    "Receipt",
    "ReceiptState",
    "ReceiptWanted",
    "Rejected",
    "Result",
    "Road",
    "State",
    "TryLater",
    "UnknownEndpoint",
    "Unsplittable",
    "Verdict",
    "wall_clock_us",
]
