"""The desk side of what is provisioned: call centres, their numbers and blocks, their desks. Pure, immutable.

See ``model`` for what the annotations are for.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

import msgspec

from provisioning import syntax
from provisioning.annotations import DAY_S, MaxAttempts, ReplyWay, Validity
from provisioning.e164 import digits_of, is_toll_free
from provisioning.errors import BadAlias, BadValue
from provisioning.fields import spec
from provisioning.secret import Secret

STATES = ("active", "suspended")
# Those that hub.opt_out has words and answers in; a unit test holds the two together.
OPT_OUT_LANGUAGES = ("de", "en", "es", "fr", "hi", "it", "nl", "pt", "tr")
MAX_BLOCK_NUMBERS = 10_000_000  # a whole area code; more is a slip of the pen

MAX_PHRASES = 100  # the worst text costs 80 ms against so many
# TS 23.040 §9.1.2.5: eleven 7-bit characters fit the ten octets of an alphanumeric address.
_SENDER_NAME = re.compile(r"[A-Za-z0-9 &._!'*+-]{1,11}", re.ASCII)
_SHORT_CODE = re.compile(r"[0-9]{3,8}", re.ASCII)

Element = Annotated[
    str,
    spec(
        "Identification element of the number and its messages: SPID, eSPID, vSPID, AltSPID or OCN with ':' and its "
        "value, or a SIP URI; the call centre's when not given (H8).",
        read=syntax.read_element,
    ),
]
Activity = Annotated[str, spec("A suspended number is kept but takes and sends no texts.", choices=STATES)]
Confirmation = Annotated[
    str,
    spec("What a customer is answered then; when not given, a sentence with the call centre's title.", maximum=480),
]
Owner = Annotated[str, spec("The call centre it belongs to.", read=syntax.read_name)]


class CallCentre(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant: its rules for threads, and what its customers see as sender."""

    KIND: ClassVar[str] = "call-centre"

    name: Annotated[str, spec("Its name in commands, logs and metrics.", key=True, read=syntax.read_name)]
    title: Annotated[str, spec("Its name for people.", maximum=100)] = ""
    idle_s: Annotated[
        float, spec("Silence after which the next text opens a new thread; 0 for never (H18).", unit="s", minimum=0)
    ] = DAY_S
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
    default_link: ReplyWay = ""
    element: Element = ""
    opt_out: Annotated[
        str,
        spec(
            "Whether the words STOP, START, HELP and their like are obeyed, and customers who are out are spared.",
            choices=("enforce", "off"),
        ),
    ] = "enforce"
    opt_out_languages: Annotated[
        tuple[str, ...],
        spec(
            "Languages whose words are obeyed, two letters each; the first one's are in the answers.",
            choices=OPT_OUT_LANGUAGES,
        ),
    ] = ("en",)
    opt_out_text: Confirmation = ""
    opt_in_text: Confirmation = ""
    help_text: Confirmation = ""
    trap_texts: Annotated[
        int,
        spec(
            "Texts to one of its numbers within trap_s that trip the number's trap: more are answered as too many, "
            "until fewer come; 0 for no trap.",
            unit="texts",
            minimum=0,
            maximum=1_000_000,
        ),
    ] = 0
    trap_s: Annotated[float, spec("The time over which trap_texts counts.", unit="s", minimum=1, maximum=3600)] = 60.0
    trap_exceptions: Annotated[
        tuple[str, ...],
        spec("White list: senders that no trap stops, or their beginnings ended by '*' (H7).", read=syntax.read_source),
    ] = ()

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
    link: ReplyWay = ""
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
    link: ReplyWay = ""
    state: Activity = "active"

    @property
    def key(self) -> str:
        """First and last number with ``…`` between."""
        return block_key(self.first, self.last)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return digits_of(self.last) - digits_of(self.first) + 1


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
    validity_s: Validity = 7 * DAY_S
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


def block_key(first: str, last: str) -> str:
    """The name of a block."""
    return f"{first}…{last}"


def check_call_centre(centre: CallCentre) -> list[BadValue]:
    """Check what the settings of a call centre say of each other."""
    problems = []
    for name in ("key_phrases", "products"):
        phrases = getattr(centre, name)
        if len(phrases) > MAX_PHRASES:
            problems.append(BadValue(name, f"{len(phrases)} phrases", f"at most {MAX_PHRASES}: each is looked for"))
        for phrase in phrases:
            if not any(map(str.isalnum, phrase)):
                problems.append(BadValue(name, phrase, "has no letter or digit to look for"))
    if centre.opt_out == "enforce" and not centre.opt_out_languages:
        problems.append(BadValue("opt_out_languages", [], "name one at least, or set opt_out = 'off'"))
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


def check_number(number: Number) -> list[BadValue]:
    """Check what the settings of a number say of each other."""
    if not number.alias_of:
        return []
    if not is_toll_free(number.number):
        why = f"only a toll-free number is an alias, and {number.number} is none: leave alias_of out"
        return [BadAlias("alias_of", number.alias_of, why)]
    if is_toll_free(number.alias_of):
        return [BadAlias("alias_of", number.alias_of, "is itself toll-free: give the real number behind it")]
    return []


def check_block(block: Block) -> list[BadValue]:
    """Check what the settings of a block say of each other."""
    if len(block.first) != len(block.last) or block.first > block.last:
        return [BadValue("last", block.last, f"must not be below first = {block.first!r}, and have as many digits")]
    if block.size > MAX_BLOCK_NUMBERS:
        return [BadValue("last", block.last, f"makes a block of {block.size} numbers; at most {MAX_BLOCK_NUMBERS}")]
    if block.alias and not is_toll_free(block.alias):
        return [BadAlias("alias", block.alias, "is not toll-free: a hunt group stands behind an 8xx")]
    return []
