"""When a conversation is new (H18), and where a reply comes from (H29). Pure.

A text continues the open thread of its pair unless, asked in this order:

1. there is none: ``new-address``;
2. the thread is older than ``max_age_us``: ``max-age``;
3. nothing was said in it for ``idle_us``: ``elapsed``;
4. the text has a key phrase: ``key-phrase``;
5. the text names a product, and not the thread's: ``product``. The first product named in a thread that has none
   becomes the thread's. A text that names the thread's product and another goes on: it compares, it does not change
   the subject.

Both times end at their last microsecond: a thread idle for exactly ``idle_us`` goes on. A clock that stepped back makes
no thread old.

**How words are found.** Text and phrases are brought to one form: Unicode NFKC, case-folded, runs of white space as one
space. A phrase counts only as whole words: ``Router`` is not in ``routers``. Scripts that put no spaces between words
(Han, Kana, Thai…) have no word edges to look for, so there the phrase counts wherever it stands. Of two products at one
place the longer counts: ``Router Pro`` does not name ``Router``.

**What it costs.** A text is looked at up to 65,536 characters. Each phrase is first looked for with ``str.find``, which
is linear and fast; only a text that has one of them is given to the regular expression, which is an alternation of
literals and cannot backtrack. Canonical ordering is quadratic in the length of a run of combining marks (a text of
64 KiB of them would take two seconds), so a long text is normalised in short pieces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

import msgspec

from threading_tokens.errors import BadRules
from threading_tokens.thread import OpenedBecause, Thread

DAY_US = 86_400 * 1_000_000

# Bodies are longer only when somebody tries what the hub does with them: 255 segments hold 39,015 characters.
MAX_TEXT_CHARACTERS = 65_536
# The worst text of 64 KiB takes 80 ms against a hundred phrases that begin alike; common ones take microseconds.
MAX_PHRASES = 100
MAX_PHRASE_CHARACTERS = 128

# The longest piece that is normalised at once: 64 KiB of combining marks take 10 ms in such pieces.
_PIECE_CHARACTERS = 256

# Letters, digits and _, and the marks that belong to the letter before them; `\w` knows no marks, and without them a
# phrase would be found at the beginning of a longer Hindi or Hebrew word. The danda (0964, 0965) ends sentences.
_WORD = r"\w\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_BEFORE, _AFTER = f"(?<![{_WORD}])", f"(?![{_WORD}])"
# Thai to Lao, Myanmar, Khmer, Kana, Han and its extensions.
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


class ThreadRules(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """A call centre's parameters for its threads (H18, H20, H38).

    Attributes:
        idle_us: silence of both sides after which the next text opens a new thread; 0 = never.
        max_age_us: age after which the next text opens a new thread; 0 = never.
        key_phrases: phrases by which a customer begins anew.
        products: names of products, in the spelling that desks shall see.

    Raises:
        BadRules: a time is negative, or phrases are too many, too long or empty.
    """

    idle_us: int = DAY_US
    max_age_us: int = 0
    key_phrases: tuple[str, ...] = ("new problem",)
    products: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for setting, value in (("idle_us", self.idle_us), ("max_age_us", self.max_age_us)):
            if value < 0:
                raise BadRules(setting, f"{value} is less than 0")
        for setting, phrases in (("key_phrases", self.key_phrases), ("products", self.products)):
            if len(phrases) > MAX_PHRASES:
                raise BadRules(setting, f"{len(phrases)} are more than {MAX_PHRASES}")
            for phrase in phrases:
                if len(phrase) > MAX_PHRASE_CHARACTERS:
                    raise BadRules(setting, f"{phrase[:40]!r}… is longer than {MAX_PHRASE_CHARACTERS} characters")
                if not any(character.isalnum() for character in phrase):
                    raise BadRules(setting, f"{phrase!r} has no letter or digit to look for")


class Continue(msgspec.Struct, frozen=True, gc=False):
    """The open thread goes on.

    Attributes:
        product: the thread's product from now on.
    """

    product: str = ""


class Open(msgspec.Struct, frozen=True, gc=False):
    """A new thread begins.

    Attributes:
        reason: one of `OpenedBecause`.
        product: its product, empty when the text names none.
        closes: why the thread that was open ends, None when none was open.
    """

    reason: str
    product: str = ""
    closes: str | None = None


def folded(text: str) -> str:
    """The form in which texts and phrases are compared: NFKC, case-folded, white space as single spaces.

    Args:
        text: of any length; cut at 65,536 characters.
    """
    text = text[:MAX_TEXT_CHARACTERS]
    if text.isascii():
        return " ".join(text.lower().split())
    if len(text) <= _PIECE_CHARACTERS:
        return " ".join(_normalised(text).split())
    return " ".join("".join(map(_normalised, _pieces(text))).split())


def _normalised(text: str) -> str:
    # Folding can leave a form that is not normal (ﬁ, İ), and normalising can bring capitals back (ℌ).
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _pieces(text: str) -> Iterable[str]:
    """Cut where normalisation does not reach over: before a character that is no mark, at a space when one is near."""
    at = 0
    while len(text) - at > _PIECE_CHARACTERS:
        end = at + _PIECE_CHARACTERS
        space = text.rfind(" ", end - 64, end)
        if space > at:
            end = space
        else:
            for back in range(end, end - 32, -1):
                if not unicodedata.category(text[back]).startswith("M"):
                    end = back
                    break
        yield text[at:end]
        at = end
    yield text[at:]


class _Words:
    """Some phrases, ready to be looked for in folded texts."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._spelling = {folded(phrase): phrase for phrase in phrases}
        # The longest first: an alternation takes the first branch that fits.
        literals = sorted(self._spelling, key=len, reverse=True)
        self._literals = tuple(literals)
        branches = (
            ("" if _SPACELESS.match(literal[0]) else _BEFORE)
            + re.escape(literal)
            + ("" if _SPACELESS.match(literal[-1]) else _AFTER)
            for literal in literals
        )
        self._pattern = re.compile("|".join(branches))

    def are_in(self, text: str) -> bool:
        for literal in self._literals:
            if literal in text:
                return self._pattern.search(text) is not None
        return False

    def first(self, text: str, unless: str) -> str:
        """The first phrase in the text, in its own spelling; `unless`, when that is named anywhere; or nothing.

        `unless` may be spelt as the rules spelt it yesterday: what is compared is its folded form.
        """
        for literal in self._literals:
            if literal in text:
                break
        else:
            return ""
        first, unless_folded = "", folded(unless)
        for found in self._pattern.finditer(text):
            if found[0] == unless_folded:
                return unless  # "" is never found
            first = first or self._spelling[found[0]]
        return first


@lru_cache(maxsize=4096)
def _words(phrases: tuple[str, ...]) -> _Words:
    return _Words(phrases)


@lru_cache(maxsize=4096)
def _words_of(rules: ThreadRules) -> tuple[_Words | None, _Words | None]:
    """The key phrases and the products of some rules; None for none."""
    return (
        _words(rules.key_phrases) if rules.key_phrases else None,
        _words(rules.products) if rules.products else None,
    )


def decide_thread(open_thread: Thread | None, text: str, rules: ThreadRules, now_us: int) -> Continue | Open:
    """Decide whether a text continues the open thread of its pair.

    Args:
        open_thread: the open thread of the pair, or None.
        text: what the customer wrote; empty when it is not the customer's (an outbound text, a call).
        rules: the call centre's.
        now_us: when the text came.

    Source: H18, H20, H38.
    """
    key_phrases, products = _words_of(rules)
    comparable = folded(text) if text and (key_phrases or products) else ""
    closes = None
    if open_thread is not None:
        closes = _end_of(open_thread, comparable, key_phrases, rules, now_us)
        if closes is None:
            current = open_thread.product
            product = products.first(comparable, current) if products and comparable else ""
            if not product or not current or product == current:
                return Continue(product or current)
            return Open(_PRODUCT, product, _PRODUCT)
    # What the thread that ended was about is nothing to the new one: the first product that is named counts.
    product = products.first(comparable, "") if products and comparable else ""
    return Open(closes or _NEW_ADDRESS, product, closes)


def _end_of(thread: Thread, comparable: str, key_phrases: _Words | None, rules: ThreadRules, now_us: int) -> str | None:
    """Why the thread ends before products are looked at, or None."""
    if rules.max_age_us and now_us - thread.opened_us > rules.max_age_us:
        return _MAX_AGE
    if rules.idle_us and now_us - thread.last_us > rules.idle_us:
        return _ELAPSED
    if key_phrases is not None and key_phrases.are_in(comparable):
        return _KEY_PHRASE
    return None


# Members of a StrEnum are slower to compare and print than the strings that rows hold.
_NEW_ADDRESS = OpenedBecause.NEW_ADDRESS.value
_MAX_AGE = OpenedBecause.MAX_AGE.value
_ELAPSED = OpenedBecause.ELAPSED.value
_KEY_PHRASE = OpenedBecause.KEY_PHRASE.value
_PRODUCT = OpenedBecause.PRODUCT.value


class OriginKind(StrEnum):
    """What a reply is sent from (H29)."""

    NUMBER = "number"  # the number that the customer texted
    BUSINESS = "business"
    PRODUCT = "product"  # the thread's product; the value while it has none
    FIXED = "fixed"  # always this number or short code


_PHONE = re.compile(r"\+[1-9][0-9]{2,14}|[0-9]{3,8}", re.ASCII)
# GSM 03.40 §9.1.2.5: eleven 7-bit characters fit the ten octets of an alphanumeric address.
_SENDER_NAME = re.compile(r"[A-Za-z0-9 &._!'*+-]{1,11}", re.ASCII)


class OriginPolicy(msgspec.Struct, frozen=True, gc=False):
    """What a call centre's replies are sent from, the same whichever CSR answers (H29).

    Attributes:
        kind: one of `OriginKind`.
        value: business: the sender name. product: the sender name while a thread has no product, or empty for the
            number. fixed: a number or short code. number: empty.
    """

    kind: str = OriginKind.NUMBER.value
    value: str = ""

    def check(self, products: Iterable[str] = ()) -> None:
        """Refuse a policy that could not be followed.

        Args:
            products: those of the call centre's rules, which a policy of kind ``product`` sends from.

        Raises:
            BadRules: with what is wrong.
        """
        if self.kind not in list(OriginKind):
            raise BadRules("origin", f"{self.kind!r} is none of {', '.join(OriginKind)}")
        if self.kind == OriginKind.NUMBER and self.value:
            raise BadRules("origin", f"the kind 'number' takes no value, not {self.value!r}")
        if self.kind == OriginKind.FIXED and not _PHONE.fullmatch(self.value):
            raise BadRules("origin", f"{self.value!r} is neither an E.164 number nor a short code")
        names = [self.value] if self.kind == OriginKind.BUSINESS else []
        if self.kind == OriginKind.PRODUCT:
            names = [*([self.value] if self.value else []), *products]
        for name in names:
            if not is_sender_name(name):
                raise BadRules(
                    "origin", f"{name!r} is no sender name: 1 to 11 letters, digits and punctuation, one letter"
                )


def is_sender_name(name: str) -> bool:
    """Whether a name fits the alphanumeric address of an SMS: at most eleven characters, a letter among them."""
    return bool(_SENDER_NAME.fullmatch(name)) and name == name.strip() and any(map(str.isalpha, name))


def reply_origin(policy: OriginPolicy, thread: Thread) -> str:
    """What a reply in a thread is sent from. Never depends on the CSR.

    Source: H29.
    """
    if policy.kind == OriginKind.NUMBER:
        return thread.number
    if policy.kind == OriginKind.PRODUCT:
        return thread.product or policy.value or thread.number
    return policy.value
