"""Settings that several kinds of entries have, described once. Pure.

A setting that means the same in two tables is the same annotation here, so that its help, bounds and unit cannot drift
apart; ``model`` tells what the annotations are for.
"""

from __future__ import annotations

from typing import Annotated

from provisioning import syntax
from provisioning.fields import spec
from provisioning.secret import Secret

DAY_S = 86_400.0
MAX_PASSWORD_OCTETS = 8  # SMPP 3.4 §5.2.2: a C-octet string of 9 with its NUL

PEER_ALPHABETS = ("gsm7", "ascii", "latin1", "ucs2")
# 3GPP TS 23.038 §6.2.1: the plain GSM alphabet with a national single shift table, a locking one, or both.
NATIONAL_ALPHABETS = (
    *("gsm7-tr-single", "gsm7-pt-single", "gsm7-tr", "gsm7-es", "gsm7-pt"),
    *("gsm7-bn", "gsm7-gu", "gsm7-hi", "gsm7-kn", "gsm7-ml", "gsm7-or", "gsm7-pa", "gsm7-ta", "gsm7-te", "gsm7-ur"),
)
ALPHABETS = (*PEER_ALPHABETS, *NATIONAL_ALPHABETS)
LONG_MESSAGE = ("udh8", "udh16", "sar", "payload", "blocks")
TRANSLITERATION = ("never", "to-fit")
IN_DOUBT = ("resend", "hold")

ReplyWay = Annotated[
    str,
    spec(
        "Network endpoint that replies leave by while the customer has come through none: 'link:NAME', 'group:NAME' or "
        "'account:SYSTEM_ID'. A link that is in a group stands for the group.",
        read=syntax.read_endpoint,
    ),
]
Alphabet = Annotated[str, spec("What data_coding 0 means to the peer.", choices=PEER_ALPHABETS)]
Alphabets = Annotated[
    tuple[str, ...],
    spec(
        "Alphabets that may be used towards the peer; the one that carries a text in the fewest parts is. "
        "'gsm7-tr' and the like are GSM with the tables of a language.",
        choices=ALPHABETS,
    ),
]
Packed = Annotated[bool, spec("Septets of the GSM alphabet travel packed, eight in seven octets, both ways.")]
Transliterate = Annotated[
    str,
    spec(
        "'to-fit' writes characters that the smallest alphabet lacks in letters it has, when that spares UCS-2; it is "
        "counted and noted on the text.",
        choices=TRANSLITERATION,
    ),
]
LongMessage = Annotated[
    str,
    spec(
        "How texts that exceed one part travel: concatenated by user data header (8- or 16-bit reference), by SAR "
        "TLVs, whole in message_payload, or as independent blocks of 160 characters (H30).",
        choices=LONG_MESSAGE,
    ),
]
Window = Annotated[
    int,
    spec("Requests of ours that may be unanswered at a time, for each bind.", unit="PDUs", minimum=1, maximum=10_000),
]
Gap = Annotated[
    int,
    spec("Least time between two parts from one number to one customer (H30).", unit="ms", minimum=0, maximum=60_000),
]
EnquireLink = Annotated[
    float, spec("Silence after which the peer is asked whether it lives.", unit="s", minimum=0.1, maximum=3600)
]
ResponseTimeout = Annotated[float, spec("How long an answer is waited for.", unit="s", minimum=0.1, maximum=3600)]
Validity = Annotated[
    float,
    spec("How long a text is tried when its sender did not say.", unit="s", minimum=1, maximum=63 * DAY_S),
]
MaxAttempts = Annotated[
    int,
    spec("Temporary refusals after which a text becomes a dead letter.", unit="attempts", minimum=1, maximum=10_000),
]
InDoubt = Annotated[
    str,
    spec(
        "What becomes of parts that were sent and never answered: sent again, or held until a receipt or an operator "
        "decides.",
        choices=IN_DOUBT,
    ),
]
DefaultRegion = Annotated[
    str,
    spec(
        "Country of national numbers that arrive here, two letters; they stay as they are when not given.",
        maximum=2,
    ),
]
OutbindSecret = Annotated[
    Secret | None, spec("The password in outbind; the protocol carries 8 octets.", maximum=MAX_PASSWORD_OCTETS)
]
