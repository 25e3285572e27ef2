"""Opting out: the words that customers say, what they change, and what is answered. Pure.

1. A word counts only when it is the whole text: case, accents, and punctuation and symbols around it are passed over,
   nothing else. "stop" and "STOP!!" count; "please stop" and "stop the printer" are for a person to read.
2. STOP, STOPALL, START, UNSTOP and HELP are the networks' own words and count in every language; the others count for
   call centres whose language they are of.
3. Who is out by (number, customer), and by (all of a call centre's numbers, customer): the later of the two rules, and
   when both are of one time, out.
4. STOP and STOPALL change that to out; START, UNSTOP, and from somebody who is out YES as well, to in. HELP changes
   nothing. A change is confirmed once; what changes nothing is not, but for HELP, which is answered always.
5. Who is out gets nothing but that confirmation, the answer to HELP, and one request of the desk to opt in again.

Source: CTIA Messaging Principles and Best Practices (2023) §5.1; 47 CFR §64.1200(a)(10) and (12), in force since
2025-04-11 (the words, and one confirmation); the Canadian common short code guidelines (ARRET, AIDE, INFO); the lists
that aggregators publish: AWS, Braze, Telnyx, Twilio. Those lists are in English and French: the words of the other
languages are the ones in common use, and an operator who knows better adds to the table below.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

MAX_TEXT_CHARACTERS: Final = 64  # a row of exclamation marks is allowed
MAX_WORD_CHARACTERS: Final = 24  # the longest word has 16
MAX_PARTS: Final = 4  # of a text that may be a word: a text of so many parts with a word in it is mostly empty parts
ATTRIBUTE: Final = "opt-out"
"""Of a message. On a customer's: ``stop``, ``start`` or ``help``. On one to a customer: ``confirmation`` (the hub's) or
``request`` (the desk's, to opt in again): these two are sent though the customer is out."""
CONFIRMATION: Final = "confirmation"
REQUEST: Final = "request"


class Verb(StrEnum):
    """What a word asks for."""

    STOP = "stop"
    STOP_ALL = "stop-all"
    START = "start"
    YES = "yes"
    HELP = "help"


EVERYWHERE: Final[Mapping[Verb, str]] = MappingProxyType(
    {
        Verb.STOP: "stop",
        Verb.STOP_ALL: "stopall, stop all",
        Verb.START: "start, unstop",
        Verb.HELP: "help",
    }
)
"""The words of every language."""

WORDS: Final[Mapping[str, Mapping[Verb, str]]] = MappingProxyType(
    {
        "de": {
            Verb.STOP: "stopp, abmelden, abbestellen",
            Verb.STOP_ALL: "alles stopp, stopp alles",
            Verb.START: "anmelden",
            Verb.YES: "ja",
            Verb.HELP: "hilfe, info",
        },
        "en": {
            Verb.STOP: "unsubscribe, cancel, end, quit, optout, opt out, revoke",
            Verb.YES: "yes",
            Verb.HELP: "info",
        },
        "es": {
            Verb.STOP: "alto, baja, parar, cancelar, no más",
            Verb.STOP_ALL: "parar todo, baja todo",
            Verb.START: "alta",
            Verb.YES: "sí",
            Verb.HELP: "ayuda, info",
        },
        "fr": {
            Verb.STOP: "arrêt, arrêter, désabonner, désinscrire",
            Verb.STOP_ALL: "arrêt tout, tout arrêter",
            Verb.START: "débuter, réabonner",
            Verb.YES: "oui",
            Verb.HELP: "aide, info",
        },
        "hi": {
            Verb.STOP: "बंद, बंद करो, रोकें, रोको",
            Verb.STOP_ALL: "सब बंद, सब बंद करो",
            Verb.START: "शुरू, शुरू करो",
            Verb.YES: "हाँ, हां",
            Verb.HELP: "मदद, सहायता",
        },
        "it": {
            Verb.STOP: "ferma, basta, annulla, cancellami, disiscrivi",
            Verb.STOP_ALL: "ferma tutto",
            Verb.START: "inizia, riattiva",
            Verb.YES: "sì",
            Verb.HELP: "aiuto, info",
        },
        "nl": {
            Verb.STOP: "stoppen, afmelden, uitschrijven",
            Verb.STOP_ALL: "stop alles, alles stoppen",
            Verb.START: "aanmelden",
            Verb.YES: "ja",
            Verb.HELP: "hulp, info",
        },
        "pt": {
            Verb.STOP: "parar, sair, cancelar, pare",
            Verb.STOP_ALL: "parar tudo",
            Verb.START: "iniciar, voltar",
            Verb.YES: "sim",
            Verb.HELP: "ajuda, info",
        },
        "tr": {
            Verb.STOP: "dur, iptal, ret",
            Verb.STOP_ALL: "hepsini durdur",
            Verb.START: "başla, onay",
            Verb.YES: "evet",
            Verb.HELP: "yardım, bilgi",
        },
    }
)
"""By language (ISO 639-1), apart by commas, as people spell them: accents and case do not matter."""


class Answer(StrEnum):
    """Which text a word is answered with."""

    OUT = "out"
    IN = "in"
    HELP = "help"


DEFAULT_TEXTS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "de": (
            "{title}: Sie sind abgemeldet und erhalten keine weiteren SMS. Antworten Sie START, um sich wieder "
            "anzumelden.",
            "{title}: Sie sind wieder angemeldet. HELP für Hilfe, STOP zum Abmelden.",
            "{title}: Schreiben Sie uns hier, wir antworten Ihnen. STOP zum Abmelden.",
        ),
        "en": (
            "{title}: You are opted out and will get no more texts. Reply START to opt in again.",
            "{title}: You are opted in again. Reply HELP for help, STOP to opt out. Msg & data rates may apply.",
            "{title}: Write to us here and our staff will answer. Reply STOP to opt out. Msg & data rates may apply.",
        ),
        "es": (
            "{title}: Usted se ha dado de baja y ya no le escribiremos. Responda START para volver.",
            "{title}: Vuelve a recibir nuestros mensajes. Responda HELP para ayuda, STOP para la baja.",
            "{title}: Escriba por este medio y le responderemos. Responda STOP para darse de baja.",
        ),
        "fr": (
            "{title} : Désinscription faite, plus de SMS de notre part. Répondez START pour vous réinscrire.",
            "{title} : Inscription faite, nos SMS reprennent. AIDE pour de l'aide, STOP pour vous désinscrire.",
            "{title} : Écrivez-nous ici, nous vous répondrons. Répondez STOP pour vous désinscrire.",
        ),
        "hi": (
            "{title}: अब आपको हमारे संदेश नहीं मिलेंगे। फिर से पाने के लिए START भेजें।",
            "{title}: आपको हमारे संदेश फिर मिलेंगे। मदद के लिए HELP, बंद करने के लिए STOP भेजें।",
            "{title}: हमें यहाँ लिखें, हम उत्तर देंगे। बंद करने के लिए STOP भेजें।",
        ),
        "it": (
            "{title}: La disiscrizione è avvenuta, non riceverà altri SMS. Risponda START per tornare.",
            "{title}: L'iscrizione è di nuovo attiva. Risponda HELP per aiuto, STOP per disiscriversi.",
            "{title}: Ci scriva qui e le risponderemo. Risponda STOP per disiscriversi.",
        ),
        "nl": (
            "{title}: U bent afgemeld en ontvangt geen sms meer. Antwoord START om u weer aan te melden.",
            "{title}: U bent weer aangemeld. Antwoord HELP voor hulp, STOP om u af te melden.",
            "{title}: Schrijf ons hier, wij antwoorden u. Antwoord STOP om u af te melden.",
        ),
        "pt": (
            "{title}: O seu pedido foi aceite, sem mais SMS da nossa parte. Responda START para voltar.",
            "{title}: Volta a receber as nossas mensagens. Responda HELP para ajuda, STOP para sair.",
            "{title}: Escreva-nos aqui e responderemos. Responda STOP para sair.",
        ),
        "tr": (
            "{title}: Listeden çıktınız, artık SMS almayacaksınız. Yeniden almak için START yazın.",
            "{title}: Yeniden SMS alacaksınız. Yardım için HELP, çıkmak için STOP yazın.",
            "{title}: Bize buradan yazın, yanıtlayalım. Çıkmak için STOP yazın.",
        ),
    }
)
"""By language: the answers to STOP, to START and to HELP. STOP, START and HELP in them count in every language.

In characters of GSM 03.38 where the language allows it, so that each is one part."""


class Word(msgspec.Struct, frozen=True, gc=False):
    """A word that was said.

    Attributes:
        verb: what it asks for.
        spelling: how the table spells it, at most 32 characters: what the ledger notes.
    """

    verb: Verb
    spelling: str


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What the ledger knows of a number (or of all numbers of a call centre) and a customer.

    Attributes:
        number: as customers text it; or ``scope_of`` a call centre.
        customer: their address.
        is_out: whether they want nothing from it.
        since_us: since when.
        how: ``keyword``, ``desk``, ``operator`` or ``import``.
        who: the endpoint that the word came through, or who changed it.
        word: the word, empty when none was said.
    """

    number: str
    customer: str
    is_out: bool
    since_us: int
    how: str
    who: str = ""
    word: str = ""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What a word comes to.

    Attributes:
        mark: the customer's text is marked so for the desk: ``stop``, ``start``, ``help``; empty: an ordinary text.
        becomes_out: True: out from now on; False: in; None: nothing changes.
        for_all: the change is for all numbers of the call centre.
        answer: the text that is sent, None for none.
    """

    mark: str = ""
    becomes_out: bool | None = None
    for_all: bool = False
    answer: Answer | None = None


ORDINARY: Final = Decision()

_AROUND = "".join(character for character in map(chr, range(128)) if not character.isalnum())
_SEPARATORS = re.compile(r"[\s\-_\u2010-\u2015]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_MUTE = re.compile("[\ufe00-\ufe0f]")  # variation selectors: how an emoji is drawn


def scope_of(call_centre: str) -> str:
    """What stands in the ledger for all numbers of a call centre. No address begins so."""
    return f"*{call_centre}"


def fold(text: str) -> str:
    """A text as words are compared: without case, accents, and what surrounds its letters and digits."""
    text = _trimmed(_MUTE.sub("", text))  # before signs are taken apart: some are made of letters
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    text = _ACCENTS.sub("", text).replace("ı", "i")
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return _trimmed(_SEPARATORS.sub(" ", text))


def _trimmed(text: str) -> str:
    first, last = 0, len(text)
    while first < last and not _counts(text[first]):
        first += 1
    while last > first and not _counts(text[last - 1]):
        last -= 1
    return text[first:last]


def _counts(character: str) -> bool:
    """Whether a character is part of a word: a letter, a digit, or a sign that belongs to one."""
    return unicodedata.category(character)[0] in "LNM"


@lru_cache(maxsize=1024)
def _table(languages: tuple[str, ...]) -> dict[str, Word]:
    table: dict[str, Word] = {}
    for words in (EVERYWHERE, *(WORDS.get(language, {}) for language in languages)):
        for verb, spellings in words.items():
            for spelling in spellings.split(", "):
                table.setdefault(fold(spelling), Word(verb, spelling))
    return table


def read_word(text: str, languages: Sequence[str]) -> Word | None:
    """The word that a whole text is, None when it is an ordinary text.

    Args:
        text: the customer's, whole.
        languages: the call centre's.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        return None
    if text.isascii():  # nearly all texts: without the tables of Unicode
        core = text.strip(_AROUND)
        if len(core) > MAX_WORD_CHARACTERS:
            return None
        return _table(tuple(languages)).get(_SEPARATORS.sub(" ", core.lower()))
    core = fold(text)
    return _table(tuple(languages)).get(core) if len(core) <= MAX_WORD_CHARACTERS else None


def out_since(own: Entry | None, everywhere: Entry | None) -> int:
    """Since when a customer is out, in microseconds; 0 when they are not.

    Args:
        own: what is known of the number.
        everywhere: what is known of all numbers of its call centre.
    """
    if own is None or everywhere is None:
        later = own or everywhere
    elif own.since_us == everywhere.since_us:
        later = own if own.is_out else everywhere
    else:
        later = own if own.since_us > everywhere.since_us else everywhere
    return later.since_us if later is not None and later.is_out else 0


def decide(verb: Verb, own: Entry | None, everywhere: Entry | None, others: Sequence[Entry] = ()) -> Decision:
    """What a customer's word comes to.

    Args:
        verb: what the word asks for.
        own, everywhere: as in ``out_since``.
        others: what is known of other numbers of the call centre and this customer.
    """
    is_out = out_since(own, everywhere) > 0
    if verb is Verb.HELP:
        return Decision("help", answer=Answer.HELP)
    if verb is Verb.STOP:
        return Decision("stop") if is_out else Decision("stop", True, answer=Answer.OUT)
    if verb is Verb.STOP_ALL:
        if everywhere is not None and everywhere.is_out and all(out_since(e, everywhere) for e in (own, *others)):
            return Decision("stop")
        return Decision("stop", True, for_all=True, answer=Answer.OUT)
    if is_out:
        return Decision("start", False, answer=Answer.IN)
    return Decision("start") if verb is Verb.START else ORDINARY


def since_after(now_us: int, *known: Entry | None) -> int:
    """The time of a change made now: later than all that it is to beat, even where clocks differ."""
    return max([now_us, *(entry.since_us + 1 for entry in known if entry is not None)])


def answer_text(answer: Answer, title: str, languages: Sequence[str], own_texts: tuple[str, str, str]) -> str:
    """The text that a word is answered with.

    Args:
        answer: which.
        title: the call centre's name for people.
        languages: the call centre's; the first that there are texts of counts.
        own_texts: the call centre's own texts for STOP, START and HELP; empty ones are made.
    """
    which = list(Answer).index(answer)
    if own_texts[which]:
        return own_texts[which]
    language = next((each for each in languages if each in DEFAULT_TEXTS), "en")
    return DEFAULT_TEXTS[language][which].format(title=title)
