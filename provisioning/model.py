"""What is provisioned: call centres, numbers, blocks, links, accounts, desks, routes. Pure, immutable.

Each class is one table of the configuration file and one command group; the annotations are the only place where a
setting's type, unit, bounds, default and help are written. An entry is built by ``build`` (checked, canonical);
building one by its class directly checks nothing.

Endpoints are named by their kind and key: ``link:acme``, ``account:agg1``, ``desk:helpline``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec

from provisioning import syntax
from provisioning.e164 import digits_of, is_toll_free
from provisioning.errors import BadAlias, BadValue, ProvisioningError, did_you_mean
from provisioning.fields import Field, Form, fields_of, key_names, secret_from, spec
from provisioning.secret import Secret, SecretKind

ALPHABETS = ("gsm7", "ascii", "latin1", "ucs2")
LONG_MESSAGE = ("udh8", "udh16", "sar", "payload", "blocks")
MESSAGE_ID_FORMS = ("exact", "folded", "response-hex", "receipt-hex")
BIND_TYPES = ("trx", "tx", "rx")
STATES = ("active", "suspended")
MAX_PASSWORD_OCTETS = 8  # SMPP 3.4 §5.2.2: a C-octet string of 9 with its NUL
MAX_BLOCK_NUMBERS = 10_000_000  # a whole area code; more is a slip of the pen

MAX_PHRASES = 100  # the worst text costs 80 ms against so many
# TS 23.040 §9.1.2.5: eleven 7-bit characters fit the ten octets of an alphanumeric address.
_SENDER_NAME = re.compile(r"[A-Za-z0-9 &._!'*+-]{1,11}", re.ASCII)
_SHORT_CODE = re.compile(r"[0-9]{3,8}", re.ASCII)

_DAY_S = 86_400.0
_ANY_TON = "-1 lets the address itself decide"

Element = Annotated[
    str,
    spec(
        "Identification element of the number and its messages: SPID, eSPID, vSPID, AltSPID or OCN with ':' and its "
        "value, or a SIP URI; the call centre's when not given (H8).",
        read=syntax.read_element,
    ),
]
Activity = Annotated[str, spec("A suspended number is kept but takes and sends no texts.", choices=STATES)]
Owner = Annotated[str, spec("The call centre it belongs to.", read=syntax.read_name)]
ReplyLink = Annotated[
    str,
    spec(
        "Network endpoint that replies leave by, 'link:NAME' or 'account:SYSTEM_ID'; when not given, the one the "
        "customer last came through.",
        read=syntax.read_endpoint,
    ),
]
Alphabet = Annotated[str, spec("What data_coding 0 means to the peer.", choices=ALPHABETS)]
Alphabets = Annotated[
    tuple[str, ...],
    spec("Alphabets that may be used towards the peer; the smallest that carries a text is.", choices=ALPHABETS),
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
Throughput = Annotated[
    float, spec("Parts sent in a second at most; 0 for no limit.", unit="parts/s", minimum=0, maximum=1_000_000)
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
    spec("How long a text is tried when its sender did not say.", unit="s", minimum=1, maximum=63 * _DAY_S),
]
MaxAttempts = Annotated[
    int,
    spec("Temporary refusals after which a text becomes a dead letter.", unit="attempts", minimum=1, maximum=10_000),
]


class CallCentre(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant: its rules for threads, and what its customers see as sender."""

    KIND: ClassVar[str] = "call-centre"

    name: Annotated[str, spec("Its name in commands, logs and metrics.", key=True, read=syntax.read_name)]
    title: Annotated[str, spec("Its name for people.", maximum=100)] = ""
    idle_s: Annotated[
        float, spec("Silence after which the next text opens a new thread; 0 for never (H18).", unit="s", minimum=0)
    ] = _DAY_S
    max_age_s: Annotated[float, spec("Age at which a thread ends; 0 for never (H20).", unit="s", minimum=0)] = 0.0
    key_phrases: Annotated[
        tuple[str, ...], spec("Phrases of a customer that open a new thread (H18).", minimum=1, maximum=128)
    ] = ("new problem",)
    products: Annotated[
        tuple[str, ...], spec("Products whose first mention opens a new thread (H18).", minimum=1, maximum=128)
    ] = ()
    origin: Annotated[
        str,
        spec(
            "What customers see as sender of replies, whichever CSR answers: the number they texted, the business "
            "name, the thread's product, or a fixed number (H29).",
            choices=("number", "business", "product", "fixed"),
        ),
    ] = "number"
    origin_value: Annotated[
        str,
        spec(
            "The business name (at most 11 characters), the fixed number or short code, or the name while a thread "
            "has no product; not for 'number'.",
            maximum=16,
        ),
    ] = ""
    default_number: Annotated[
        str, spec("The number that a text from the desk without thread or number comes from.", read=syntax.read_number)
    ] = ""
    default_link: ReplyLink = ""
    element: Element = ""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


class Number(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An E.164 number of a call centre; an 8xx is an alias of a real number (H2)."""

    KIND: ClassVar[str] = "number"

    number: Annotated[str, spec("The number, E.164 (H10).", key=True, read=syntax.read_number)]
    call_centre: Owner
    alias_of: Annotated[
        str, spec("Of a toll-free number: the real number behind it (H2).", read=syntax.read_number)
    ] = ""
    element: Element = ""
    link: ReplyLink = ""
    state: Activity = "active"

    @property
    def key(self) -> str:
        """The number, E.164."""
        return self.number

    @property
    def e164(self) -> str:
        """The number, E.164."""
        return self.number


class Block(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """All numbers from the first to the last, kept as one row however many they are (H3)."""

    KIND: ClassVar[str] = "block"

    first: Annotated[str, spec("The lowest number, E.164.", key=True, read=syntax.read_number)]
    last: Annotated[str, spec("The highest number, E.164.", key=True, read=syntax.read_number)]
    call_centre: Owner
    alias: Annotated[
        str,
        spec("The toll-free number that the block is the hunt group behind (H3).", read=syntax.read_number),
    ] = ""
    element: Element = ""
    link: ReplyLink = ""
    state: Activity = "active"

    @property
    def key(self) -> str:
        """First and last number with ``…`` between."""
        return block_key(self.first, self.last)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return digits_of(self.last) - digits_of(self.first) + 1


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
    throughput_per_s: Throughput = 0.0
    gap_ms: Gap = 100
    enquire_link_s: EnquireLink = 30.0
    response_timeout_s: ResponseTimeout = 30.0
    default_alphabet: Alphabet = "gsm7"
    alphabets: Alphabets = ("gsm7", "ucs2")
    long_message: LongMessage = "udh8"
    message_id_form: Annotated[
        str,
        spec(
            "How the ids in receipts differ from those in responses: not at all; in case or leading zeros; "
            "hexadecimal in the response and decimal in the receipt; or the other way round.",
            choices=MESSAGE_ID_FORMS,
        ),
    ] = "folded"
    validity_s: Validity = 2 * _DAY_S
    max_attempts: MaxAttempts = 50
    in_doubt: Annotated[
        str,
        spec(
            "What becomes of parts that were sent and never answered: sent again, or held until a receipt or an "
            "operator decides.",
            choices=("resend", "hold"),
        ),
    ] = "resend"
    registered_delivery: Annotated[
        str, spec("Which receipts we ask for.", choices=("always", "wanted", "failure", "never"))
    ] = "wanted"
    source_ton: Annotated[int, spec(f"Type of number of the source; {_ANY_TON}.", minimum=-1, maximum=6)] = -1
    source_npi: Annotated[int, spec(f"Numbering plan of the source; {_ANY_TON}.", minimum=-1, maximum=18)] = -1
    destination_ton: Annotated[int, spec(f"Type of number of the destination; {_ANY_TON}.", minimum=-1, maximum=6)] = -1
    destination_npi: Annotated[
        int, spec(f"Numbering plan of the destination; {_ANY_TON}.", minimum=-1, maximum=18)
    ] = -1
    address_plus: Annotated[bool, spec("Send E.164 addresses with their '+'; most SMSCs want digits alone.")] = False
    default_region: Annotated[
        str,
        spec(
            "Country of national numbers that arrive here, two letters; they stay as they are when not given.",
            maximum=2,
        ),
    ] = ""
    service_type: Annotated[str, spec("Sent with each text.", maximum=5, read=syntax.read_ascii)] = ""

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
    bind_modes: Annotated[tuple[str, ...], spec("How it may bind.", choices=BIND_TYPES)] = BIND_TYPES
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
    gap_ms: Gap = 100
    enquire_link_s: EnquireLink = 30.0
    response_timeout_s: ResponseTimeout = 30.0
    default_alphabet: Alphabet = "gsm7"
    alphabets: Alphabets = ("gsm7", "ucs2")
    long_message: LongMessage = "udh8"
    validity_s: Validity = 2 * _DAY_S
    max_attempts: MaxAttempts = 50
    allowed_sources: Annotated[
        tuple[str, ...],
        spec(
            "Source addresses it may use, or their beginnings ended by '*'; all but call centres' numbers when empty.",
            read=syntax.read_source,
        ),
    ] = ()
    receipts: Annotated[bool, spec("Send it the receipts it asks for (H31).")] = True
    default_region: Annotated[
        str,
        spec(
            "Country of national numbers that arrive here, two letters; they stay as they are when not given.",
            maximum=2,
        ),
    ] = ""
    address_plus: Annotated[bool, spec("Send E.164 addresses with their '+'.")] = False

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


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """Where the CSRs of a call centre work: an external component of their XMPP server (XEP-0114)."""

    KIND: ClassVar[str] = "desk"

    name: Annotated[str, spec("Its name in commands, logs and metrics.", key=True, read=syntax.read_name)]
    call_centre: Owner
    domain: Annotated[str, spec("The component's domain.", read=syntax.read_domain)]
    host: Annotated[str, spec("The XMPP server's host or IP address.", read=syntax.read_host)] = "127.0.0.1"
    port: Annotated[int, spec("The server's component port.", minimum=1, maximum=65_535)] = 5347
    secret: Annotated[Secret, spec("The secret shared with the server.")]
    director: Annotated[str, spec("JID of the director, who is handed each new thread.", read=syntax.read_jid)]
    allowed_domains: Annotated[
        tuple[str, ...],
        spec("Domains that its CSRs write from; the director's when empty.", read=syntax.read_domain),
    ] = ()
    tls: Annotated[
        str,
        spec(
            "'verify' speaks TLS and checks the server's certificate; 'off' belongs on loopback or a private link.",
            choices=("off", "verify"),
        ),
    ] = "off"
    tls_ca_file: Annotated[
        str, spec("Certificate authorities to trust (PEM); the system's when not given.", is_path=True)
    ] = ""
    receipt_on: Annotated[
        str,
        spec(
            "When a customer's text counts as delivered: when the server has it, or when the CSR's client says so "
            "(XEP-0184).",
            choices=("handover", "received"),
        ),
    ] = "handover"
    foreign_token: Annotated[
        str,
        spec(
            "How a token of another call centre is refused: as forbidden, or as if it did not exist.",
            choices=("forbidden", "unknown"),
        ),
    ] = "forbidden"  # noqa: S105 - a policy
    window: Annotated[
        int, spec("Stanzas that may be on their way at a time.", unit="stanzas", minimum=1, maximum=100_000)
    ] = 500
    validity_s: Validity = 7 * _DAY_S
    max_attempts: MaxAttempts = 50

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    @property
    def endpoint(self) -> str:
        """``desk:`` and its name."""
        return f"desk:{self.name}"

    @property
    def csr_domains(self) -> tuple[str, ...]:
        """The domains whose users may write to it."""
        if self.allowed_domains:
            return self.allowed_domains
        return (self.director.partition("/")[0].rpartition("@")[2],)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where texts to numbers that are no call centre's go: the longest prefix wins."""

    KIND: ClassVar[str] = "route"

    prefix: Annotated[
        str,
        spec(
            "Beginning of the destination: '+1617', '*' for all, digits alone for short codes.",
            key=True,
            read=syntax.read_prefix,
        ),
    ]
    endpoint: Annotated[str, spec("'link:NAME' or 'account:SYSTEM_ID'.", read=syntax.read_endpoint)]

    @property
    def key(self) -> str:
        """The prefix."""
        return self.prefix


Entry = CallCentre | Number | Block | Link | Account | Desk | Route
E = TypeVar("E", CallCentre, Number, Block, Link, Account, Desk, Route)

# In the order in which they are applied: who is named comes before who names.
KINDS: dict[str, type[Entry]] = {kind.KIND: kind for kind in (Link, Account, CallCentre, Desk, Block, Number, Route)}


def block_key(first: str, last: str) -> str:
    """The name of a block."""
    return f"{first}…{last}"


def build(kind: type[E], given: Mapping[str, Any]) -> tuple[E | None, list[BadValue]]:
    """Check what a table or command gives for an entry, all of it at once.

    Args:
        kind: the entry's class.
        given: settings by key, secrets in any of their forms or as a ``Secret``.

    Returns: the entry in its canonical form, or None; and every error.
    """
    fields = fields_of(kind)
    problems: list[BadValue] = []
    known = key_names(fields)
    for key in given:
        if key not in known:
            problems.append(
                BadValue(key, _shown(given[key]), f"is no setting of a {kind.KIND}{did_you_mean(key, known)}")
            )
    values: dict[str, Any] = {}
    for field in fields:
        try:
            value = _value(field, given)
        except BadValue as problem:
            problems.append(problem)
            continue
        if value is not msgspec.UNSET:
            values[field.name] = value
    if problems:
        return None, problems
    entry = kind(**values)
    problems = check(entry)
    return (None if problems else entry), problems


def _shown(value: Any) -> Any:
    # An unknown key may be a misspelt secret.
    return "***" if isinstance(value, str) else value


def _value(field: Field, given: Mapping[str, Any]) -> Any:
    if field.form is Form.SECRET and not isinstance(given.get(field.name), Secret):
        secret = secret_from(field, given)
        if secret is not None:
            return secret
    elif field.name in given:
        value = field.check(given[field.name])
        if field.required and value == "":
            raise BadValue(field.name, value, "must not be empty")
        return value
    if field.required:
        raise BadValue(field.name, None, f"is missing: add {' or '.join(field.keys)} ({field.spec.help})")
    return msgspec.UNSET


def check(entry: Entry) -> list[BadValue]:
    """Check what fields say of each other. Answers every error."""
    if isinstance(entry, CallCentre):
        return _check_call_centre(entry)
    if isinstance(entry, Number):
        return _check_number(entry)
    if isinstance(entry, Block):
        return _check_block(entry)
    if isinstance(entry, (Link, Account)):
        return _check_smpp(entry)
    return []


def _check_call_centre(centre: CallCentre) -> list[BadValue]:
    problems = []
    for name in ("key_phrases", "products"):
        phrases = getattr(centre, name)
        if len(phrases) > MAX_PHRASES:
            problems.append(BadValue(name, f"{len(phrases)} phrases", f"at most {MAX_PHRASES}: each is looked for"))
        for phrase in phrases:
            if not any(map(str.isalnum, phrase)):
                problems.append(BadValue(name, phrase, "has no letter or digit to look for"))
    return problems + _check_origin(centre)


def _check_origin(centre: CallCentre) -> list[BadValue]:
    value = centre.origin_value
    names: list[tuple[str, str]] = []
    if centre.origin == "number" and value:
        return [BadValue("origin_value", value, "means nothing with origin = 'number': leave it out")]
    if centre.origin == "business":
        names = [("origin_value", value)]
    elif centre.origin == "product":
        names = [("origin_value", value)] if value else []
        names += [("products", product) for product in centre.products]
    elif centre.origin == "fixed" and not _SHORT_CODE.fullmatch(value):
        try:
            syntax.read_number(value, "origin_value")
        except BadValue as problem:
            return [BadValue("origin_value", value, f"{problem.why}; or give a short code of 3 to 8 digits")]
    return [
        BadValue(field, name, "is no sender name: 1 to 11 letters, digits and & . _ ! ' * + -, one letter among them")
        for field, name in names
        if not (_SENDER_NAME.fullmatch(name) and name == name.strip() and any(map(str.isalpha, name)))
    ]


def _check_number(number: Number) -> list[BadValue]:
    if not number.alias_of:
        return []
    if not is_toll_free(number.number):
        why = f"only a toll-free number is an alias, and {number.number} is none: leave alias_of out"
        return [BadAlias("alias_of", number.alias_of, why)]
    if is_toll_free(number.alias_of):
        return [BadAlias("alias_of", number.alias_of, "is itself toll-free: give the real number behind it")]
    return []


def _check_block(block: Block) -> list[BadValue]:
    if len(block.first) != len(block.last) or block.first > block.last:
        return [BadValue("last", block.last, f"must not be below first = {block.first!r}, and have as many digits")]
    if block.size > MAX_BLOCK_NUMBERS:
        return [BadValue("last", block.last, f"makes a block of {block.size} numbers; at most {MAX_BLOCK_NUMBERS}")]
    if block.alias and not is_toll_free(block.alias):
        return [BadAlias("alias", block.alias, "is not toll-free: a hunt group stands behind an 8xx")]
    return []


def _check_smpp(entry: Link | Account) -> list[BadValue]:
    problems = []
    if not entry.alphabets:
        problems.append(BadValue("alphabets", [], "name one at least"))
    region = entry.default_region
    if region and not (len(region) == 2 and region.isascii() and region.isalpha() and region.isupper()):
        problems.append(BadValue("default_region", region, "write two capital letters, for example 'US'"))
    if isinstance(entry, Account):
        if not entry.bind_modes:
            problems.append(BadValue("bind_modes", [], "name one at least"))
        return problems
    if bool(entry.tls_cert_file) != bool(entry.tls_key_file):
        missing = "tls_key_file" if entry.tls_cert_file else "tls_cert_file"
        problems.append(BadValue(missing, "", "is missing: a certificate and its key come together"))
    if entry.tls == "off":
        for name in ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_server_name"):
            if getattr(entry, name):
                problems.append(
                    BadValue(name, getattr(entry, name), "means nothing with tls = 'off': set tls = 'verify'")
                )
    return problems


def built(kind: type[E], **given: Any) -> E:
    """Build one entry, raising the first error; for code that has its values at hand.

    Raises: ProvisioningError.
    """
    entry, problems = build(kind, given)
    if entry is None:
        error: ProvisioningError = problems[0]
        raise error
    return entry
