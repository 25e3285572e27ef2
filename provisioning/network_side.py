"""The network side of what is provisioned: links to carriers, accounts of others' ESMEs. Pure, immutable.

See ``model`` for what the annotations are for.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from provisioning import syntax
from provisioning.annotations import (
    DAY_S,
    MAX_PASSWORD_OCTETS,
    Alphabet,
    Alphabets,
    DefaultRegion,
    EnquireLink,
    Gap,
    InDoubt,
    LongMessage,
    MaxAttempts,
    OutbindSecret,
    Packed,
    ResponseTimeout,
    Transliterate,
    Validity,
    Window,
)
from provisioning.errors import BadValue
from provisioning.fields import spec
from provisioning.secret import Secret, SecretKind

MESSAGE_ID_FORMS = ("exact", "folded", "response-hex", "receipt-hex")
BIND_TYPES = ("trx", "tx", "rx")
MAX_RULES = 1000  # of TON and NPI: each text is held against them one after the other

_VENDOR_TAGS = range(0x1400, 0x4000)  # SMPP 3.4 §5.3.2: reserved for vendors
_ANY_TON = "-1 lets the address itself decide"


ElementTlv = Annotated[
    int,
    spec(
        "Tag of the TLV for identification elements, 5120 to 16383 (0x1400 to 0x3FFF); 0 for none. In it goes the "
        "element of the call centre's number to the peer, and comes the element of the peer's sender (H8).",
        minimum=0,
        maximum=_VENDOR_TAGS[-1],
    ),
]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A relation to a carrier or aggregator in which the hub is the ESME."""

    KIND: ClassVar[str] = "link"

    name: Annotated[str, spec("Its name in commands, logs and metrics.", key=True, read=syntax.read_name)]
    host: Annotated[str, spec("The SMSC's host or IP address.", read=syntax.read_host)]
    port: Annotated[int, spec("The SMSC's port.", minimum=1, maximum=65_535)] = 2775
    system_id: Annotated[str, spec("Our name there.", read=syntax.read_system_id)]
    password: Annotated[Secret, spec("Our password there; the protocol carries 8 octets.", maximum=MAX_PASSWORD_OCTETS)]
    system_type: Annotated[str, spec("Sent at bind.", maximum=12, read=syntax.read_ascii)] = ""
    bind_mode: Annotated[str, spec("One transceiver, or a transmitter and a receiver.", choices=("trx", "tx+rx"))] = (
        "trx"
    )
    binds: Annotated[
        int, spec("Binds of each kind that bind_mode has, at a time.", unit="binds", minimum=1, maximum=100)
    ] = 1
    version: Annotated[str, spec("The SMPP version we say we speak.", choices=("3.3", "3.4", "5.0"))] = "3.4"
    tls: Annotated[
        str, spec("'verify' speaks TLS and checks the SMSC's certificate and name.", choices=("off", "verify"))
    ] = "off"
    tls_ca_file: Annotated[
        str, spec("Certificate authorities to trust (PEM); the system's when not given.", is_path=True)
    ] = ""
    tls_cert_file: Annotated[str, spec("Our own certificate (PEM), when the SMSC asks for one.", is_path=True)] = ""
    tls_key_file: Annotated[str, spec("The key of our certificate (PEM).", is_path=True)] = ""
    tls_server_name: Annotated[
        str, spec("The name to expect in the certificate; the host when not given.", read=syntax.read_host)
    ] = ""
    window: Window = 32
    throughput_per_s: Annotated[
        float,
        spec("Parts sent in a second at most; 0 for no limit.", unit="parts/s", minimum=0, maximum=1_000_000),
    ] = 0.0
    per_number_per_s: Annotated[
        float,
        spec(
            "Parts sent in a second at most from one source number; 0 for no limit. A long code of North America is "
            "often granted 1.",
            unit="parts/s",
            minimum=0,
            maximum=1_000_000,
        ),
    ] = 0.0
    gap_ms: Gap = 100
    enquire_link_s: EnquireLink = 30.0
    response_timeout_s: ResponseTimeout = 30.0
    default_alphabet: Alphabet = "gsm7"
    alphabets: Alphabets = ("gsm7", "ucs2")
    packed: Packed = False
    transliterate: Transliterate = "never"
    long_message: LongMessage = "udh8"
    message_id_form: Annotated[
        str,
        spec(
            "How the ids in receipts differ from those in responses: not at all; in case or leading zeros; "
            "hexadecimal in the response and decimal in the receipt; or the other way round.",
            choices=MESSAGE_ID_FORMS,
        ),
    ] = "folded"
    submit_with: Annotated[
        str,
        spec(
            "The PDU that texts are sent in. To an SMSC that turns out to speak 3.3, they go as submit_sm.",
            choices=("submit_sm", "data_sm"),
        ),
    ] = "submit_sm"
    validity_s: Validity = 2 * DAY_S
    send_validity: Annotated[bool, spec("Tell the SMSC how long a text may be tried, in validity_period.")] = False
    max_attempts: MaxAttempts = 50
    in_doubt: InDoubt = "resend"
    registered_delivery: Annotated[
        str, spec("Which receipts we ask for.", choices=("always", "wanted", "failure", "never"))
    ] = "wanted"
    ton_npi_rules: Annotated[
        tuple[str, ...],
        spec(
            "Type of number and numbering plan by address, the first that fits wins over the settings below: "
            "'source 77377 3/0', 'destination +1* 1/1' ('*' ends a beginning).",
            read=syntax.read_ton_npi_rule,
        ),
    ] = ()
    source_ton: Annotated[int, spec(f"Type of number of the source; {_ANY_TON}.", minimum=-1, maximum=6)] = -1
    source_npi: Annotated[int, spec(f"Numbering plan of the source; {_ANY_TON}.", minimum=-1, maximum=18)] = -1
    destination_ton: Annotated[int, spec(f"Type of number of the destination; {_ANY_TON}.", minimum=-1, maximum=6)] = -1
    destination_npi: Annotated[
        int, spec(f"Numbering plan of the destination; {_ANY_TON}.", minimum=-1, maximum=18)
    ] = -1
    address_plus: Annotated[bool, spec("Send E.164 addresses with their '+'; most SMSCs want digits alone.")] = False
    default_region: DefaultRegion = ""
    service_type: Annotated[str, spec("Sent with each text.", maximum=5, read=syntax.read_ascii)] = ""
    element_tlv: ElementTlv = 0
    outbind_port: Annotated[
        int,
        spec("Port to listen on for an SMSC that calls with outbind; 0 for none.", minimum=0, maximum=65_535),
    ] = 0
    outbind_password: OutbindSecret = None

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    @property
    def endpoint(self) -> str:
        """``link:`` and its name."""
        return f"link:{self.name}"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A relation in which somebody else's ESME binds to the hub."""

    KIND: ClassVar[str] = "account"

    system_id: Annotated[str, spec("The name it binds with.", key=True, read=syntax.read_system_id)]
    password: Annotated[
        Secret,
        spec(
            "Its password; the protocol carries 8 octets. Only an argon2 hash of it is kept, which may be given in its "
            "place.",
            maximum=MAX_PASSWORD_OCTETS,
            hashed=True,
        ),
    ]
    title: Annotated[str, spec("Its name for people.", maximum=100)] = ""
    allowed_ips: Annotated[
        tuple[str, ...],
        spec("Addresses and networks it may bind from; all when empty.", read=syntax.read_network),
    ] = ()
    bind_modes: Annotated[
        tuple[str, ...], spec("How it may bind; with 'rx' alone, it may submit nothing.", choices=BIND_TYPES)
    ] = BIND_TYPES
    max_binds: Annotated[int, spec("Binds at a time.", unit="binds", minimum=1, maximum=1000)] = 4
    window: Window = 32
    inbox: Annotated[
        int,
        spec(
            "Requests of its that may wait here; more are answered ESME_RTHROTTLED.",
            unit="PDUs",
            minimum=1,
            maximum=100_000,
        ),
    ] = 1000
    throughput_per_s: Annotated[
        float,
        spec(
            "Requests taken from it in a second at most, more are answered ESME_RTHROTTLED; 0 for no limit.",
            unit="PDUs/s",
            minimum=0,
            maximum=1_000_000,
        ),
    ] = 0.0
    throughput_per_day: Annotated[
        int,
        spec(
            "Texts taken from it in a day (UTC) at most, more are answered ESME_RTHROTTLED; 0 for no limit.",
            unit="texts",
            minimum=0,
            maximum=1_000_000_000,
        ),
    ] = 0
    duplicate_s: Annotated[
        float,
        spec(
            "Time within which the same text from the same source to the same destination is a repetition: answered "
            "as the first one was, and not sent; 0 for none.",
            unit="s",
            minimum=0,
            maximum=DAY_S,
        ),
    ] = 0.0
    lock_out_after: Annotated[
        int,
        spec(
            "Wrong passwords in a row after which their address is locked out of it; 0 for never.",
            unit="binds",
            minimum=0,
            maximum=1000,
        ),
    ] = 10
    lock_out_s: Annotated[float, spec("How long it is locked out.", unit="s", minimum=1, maximum=DAY_S)] = 300.0
    gap_ms: Gap = 100
    enquire_link_s: EnquireLink = 30.0
    response_timeout_s: ResponseTimeout = 30.0
    default_alphabet: Alphabet = "gsm7"
    alphabets: Alphabets = ("gsm7", "ucs2")
    packed: Packed = False
    transliterate: Transliterate = "never"
    long_message: LongMessage = "udh8"
    validity_s: Validity = 2 * DAY_S
    max_attempts: MaxAttempts = 50
    allowed_sources: Annotated[
        tuple[str, ...],
        spec(
            "Source addresses it may use, or their beginnings ended by '*'; all but call centres' numbers when empty.",
            read=syntax.read_source,
        ),
    ] = ()
    allowed_destinations: Annotated[
        tuple[str, ...],
        spec("Destinations it may send to, or their beginnings ended by '*'; all when empty.", read=syntax.read_source),
    ] = ()
    receipts: Annotated[bool, spec("Send it the receipts it asks for (H31).")] = True
    default_region: DefaultRegion = ""
    address_plus: Annotated[bool, spec("Send E.164 addresses with their '+'.")] = False
    element_tlv: ElementTlv = 0
    outbind_host: Annotated[
        str,
        spec(
            "Host of its ESME, which is called with outbind when something waits for it and it is not bound; nobody "
            "is when not given.",
            read=syntax.read_host,
        ),
    ] = ""
    outbind_port: Annotated[int, spec("Port of its ESME that takes outbind.", minimum=1, maximum=65_535)] = 2775
    outbind_password: OutbindSecret = None

    @property
    def key(self) -> str:
        """Its system_id."""
        return self.system_id

    @property
    def endpoint(self) -> str:
        """``account:`` and its system_id."""
        return f"account:{self.system_id}"

    @property
    def password_hash(self) -> str:
        """The argon2 hash; empty while the password is not hashed yet, which no catalog allows."""
        return self.password.value if self.password.kind is SecretKind.HASH else ""


def check_smpp(entry: Link | Account) -> list[BadValue]:
    """Check what the settings of a link or account say of each other."""
    problems = []
    if not entry.alphabets:
        problems.append(BadValue("alphabets", [], "name one at least"))
    region = entry.default_region
    if region and not (len(region) == 2 and region.isascii() and region.isalpha() and region.isupper()):
        problems.append(BadValue("default_region", region, "write two capital letters, for example 'US'"))
    if entry.element_tlv and entry.element_tlv not in _VENDOR_TAGS:
        why = "is a tag of the standard's: write one of 5120 to 16383 (0x1400 to 0x3FFF), or 0 for none"
        problems.append(BadValue("element_tlv", entry.element_tlv, why))
    return problems + (_check_account(entry) if isinstance(entry, Account) else _check_link(entry))


def _check_account(account: Account) -> list[BadValue]:
    problems = []
    if not account.bind_modes:
        problems.append(BadValue("bind_modes", [], "name one at least"))
    if account.outbind_password is not None and not account.outbind_host:
        problems.append(BadValue("outbind_host", "", "is missing: outbind_password alone calls nobody"))
    return problems


def _check_link(link: Link) -> list[BadValue]:
    problems = []
    if bool(link.tls_cert_file) != bool(link.tls_key_file):
        missing = "tls_key_file" if link.tls_cert_file else "tls_cert_file"
        problems.append(BadValue(missing, "", "is missing: a certificate and its key come together"))
    if link.tls == "off":
        for name in ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_server_name"):
            if getattr(link, name):
                problems.append(
                    BadValue(name, getattr(link, name), "means nothing with tls = 'off': set tls = 'verify'")
                )
    if link.outbind_password is not None and not link.outbind_port:
        problems.append(BadValue("outbind_port", 0, "is missing: outbind_password alone listens nowhere"))
    if link.submit_with == "data_sm" and link.version == "3.3":
        problems.append(BadValue("submit_with", "data_sm", "is not in SMPP 3.3: set version = '3.4', or 'submit_sm'"))
    if len(link.ton_npi_rules) > MAX_RULES:
        problems.append(BadValue("ton_npi_rules", f"{len(link.ton_npi_rules)} rules", f"at most {MAX_RULES}"))
    return problems
