"""The rules of H18, H20, H29 and H38, one case each, and the traps of looking for words."""

from __future__ import annotations

import time

import pytest

from threading_tokens.errors import BadRules
from threading_tokens.rules import (
    MAX_PHRASES,
    Continue,
    Open,
    OriginPolicy,
    ThreadRules,
    decide_thread,
    folded,
    reply_origin,
)
from threading_tokens.thread import Thread

HOUR_US = 3_600_000_000
RULES = ThreadRules(products=("Router", "Router Pro", "Modem", "Gerät"))


def thread(**changes: object) -> Thread:
    fields: dict[str, object] = {
        "id": 1,
        "call_centre": "acme",
        "number": "+18005550100",
        "customer": "+16175551212",
        "token": "a" * 26,
        "network_endpoint": "link:one",
        "opened_us": HOUR_US,
        "last_us": HOUR_US,
    }
    return Thread(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_new_address_opens() -> None:
    assert decide_thread(None, "hello", RULES, 0) == Open("new-address")


def test_a_new_address_that_names_a_product_opens_with_it() -> None:
    assert decide_thread(None, "my modem hums", RULES, 0) == Open("new-address", "Modem")


def test_a_new_address_with_a_key_phrase_is_a_new_address() -> None:
    assert decide_thread(None, "new problem", RULES, 0) == Open("new-address")


@pytest.mark.parametrize(
    ("idle_us", "after_us", "expected"),
    [
        (HOUR_US, HOUR_US - 1, Continue()),
        (HOUR_US, HOUR_US, Continue()),
        (HOUR_US, HOUR_US + 1, Open("elapsed", closes="elapsed")),
        (0, 1_000_000 * HOUR_US, Continue()),  # H38: no time-out as web chats have
    ],
)
def test_idle(idle_us: int, after_us: int, expected: object) -> None:
    rules = ThreadRules(idle_us=idle_us)
    assert decide_thread(thread(), "hello", rules, HOUR_US + after_us) == expected


@pytest.mark.parametrize(("age_us", "is_new"), [(HOUR_US, False), (HOUR_US + 1, True)])
def test_max_age_ends_a_busy_thread(age_us: int, is_new: bool) -> None:
    now_us = HOUR_US + age_us
    busy = thread(last_us=now_us)
    decision = decide_thread(busy, "hello", ThreadRules(max_age_us=HOUR_US), now_us)
    assert decision == (Open("max-age", closes="max-age") if is_new else Continue())


def test_a_clock_that_stepped_back_makes_no_thread_old() -> None:
    rules = ThreadRules(idle_us=1, max_age_us=1)
    assert decide_thread(thread(), "hello", rules, 0) == Continue()


@pytest.mark.parametrize(
    "text",
    ["new problem", "I have a NEW   Problem!", "new\r\n problem", "(new problem)", "ｎｅｗ ｐｒｏｂｌｅｍ"],
)
def test_a_key_phrase_opens(text: str) -> None:
    assert decide_thread(thread(), text, RULES, HOUR_US) == Open("key-phrase", closes="key-phrase")


@pytest.mark.parametrize(
    "text", ["new problems", "renew problem", "new-problem", "problem new", "new", "", "new_problem"]
)
def test_what_is_not_the_phrase_goes_on(text: str) -> None:
    assert decide_thread(thread(), text, RULES, HOUR_US) == Continue()


@pytest.mark.parametrize(
    ("phrase", "text", "is_found"),
    [
        ("Straße", "in der STRASSE", True),
        ("café", "au cafe\u0301!", True),
        ("cafe", "au cafe\u0301", False),
        ("İş", "yeni i̇ş var", True),
        ("新问题", "我有新问题了", True),  # no spaces between words: no edges to look for
        ("समस्या", "नई समस्या है", True),
        ("समस", "नई समस्या", False),  # the mark belongs to the word
        ("c++", "about C++, please", True),
        ("c++", "c++11", False),
        ("#help", "say #help", True),
        ("a.b", "axb", False),  # a phrase is no pattern
    ],
)
def test_words_of_other_scripts(phrase: str, text: str, is_found: bool) -> None:
    decision = decide_thread(thread(), text, ThreadRules(key_phrases=(phrase,)), HOUR_US)
    assert isinstance(decision, Open) == is_found


def test_the_first_product_becomes_the_threads() -> None:
    assert decide_thread(thread(), "it is the ROUTER", RULES, HOUR_US) == Continue("Router")


def test_another_product_opens() -> None:
    decision = decide_thread(thread(product="Router"), "and my modem", RULES, HOUR_US)
    assert decision == Open("product", "Modem", "product")


def test_the_same_product_goes_on() -> None:
    assert decide_thread(thread(product="Router"), "that router", RULES, HOUR_US) == Continue("Router")


def test_comparing_with_the_threads_product_goes_on() -> None:
    text = "the modem is fine, the router is not"
    assert decide_thread(thread(product="Router"), text, RULES, HOUR_US) == Continue("Router")


def test_the_longer_of_two_products_at_one_place_counts() -> None:
    decision = decide_thread(thread(product="Router"), "my router pro is broken", RULES, HOUR_US)
    assert decision == Open("product", "Router Pro", "product")
    assert decide_thread(thread(), "two router pros", RULES, HOUR_US) == Continue("Router")


def test_of_several_new_products_the_first_counts() -> None:
    decision = decide_thread(thread(product="Gerät"), "modem and router", RULES, HOUR_US)
    assert decision == Open("product", "Modem", "product")


def test_a_product_that_is_spelt_anew_in_the_rules_is_no_new_product() -> None:
    assert decide_thread(thread(product="ROUTER"), "the router", RULES, HOUR_US) == Continue("ROUTER")


def test_a_key_phrase_takes_the_product_of_its_text_only() -> None:
    old = thread(product="Router")
    assert decide_thread(old, "new problem", RULES, HOUR_US) == Open("key-phrase", "", "key-phrase")
    assert decide_thread(old, "new problem: modem", RULES, HOUR_US) == Open("key-phrase", "Modem", "key-phrase")


@pytest.mark.parametrize(
    ("text", "now_us", "reason"),
    [
        ("is the router a modem?", HOUR_US * 1_000, "elapsed"),
        ("new problem: is the router a modem?", HOUR_US, "key-phrase"),
    ],
)
def test_what_the_old_thread_was_about_is_nothing_to_the_new(text: str, now_us: int, reason: str) -> None:
    decision = decide_thread(thread(product="Modem"), text, RULES, now_us)
    assert decision == Open(reason, "Router", reason)


def test_no_phrases_no_products() -> None:
    assert decide_thread(thread(), "new problem", ThreadRules(key_phrases=()), HOUR_US) == Continue()


def test_a_phrase_beyond_the_limit_is_not_looked_for() -> None:
    assert decide_thread(thread(), "x " * 32_767 + "new problem", RULES, HOUR_US) == Continue()


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301\u0316" * 32_767,  # canonical ordering at once would take two seconds
        "new proble" * 6_553,
        "new " * 16_384,
        " " * 65_536,
        "\ufdfa" * 65_536,  # eighteen characters each
        "new product 1x" * 4_681,
    ],
    ids=["marks", "near-misses", "first-words", "spaces", "expanding", "edges"],
)
def test_the_worst_texts_are_bounded(text: str) -> None:
    phrases = tuple(f"new product {number}" for number in range(MAX_PHRASES))
    rules = ThreadRules(key_phrases=phrases, products=phrases)
    decide_thread(thread(), "", rules, HOUR_US)  # compiles
    before = time.thread_time()
    decide_thread(thread(), text, rules, HOUR_US)
    assert time.thread_time() - before < 1.0


def test_pieces_fold_as_the_whole_does() -> None:
    text = "Stra\u00dfe cafe\u0301 " * 200
    assert folded(text) == " ".join(["strasse caf\u00e9"] * 200)
    assert folded("e\u0301" * 1_000) == "\u00e9" * 1_000


@pytest.mark.parametrize(
    ("fields", "setting"),
    [
        ({"idle_us": -1}, "idle_us"),
        ({"max_age_us": -1}, "max_age_us"),
        ({"key_phrases": ("",)}, "key_phrases"),
        ({"key_phrases": ("!?",)}, "key_phrases"),
        ({"products": ("x" * 129,)}, "products"),
        ({"products": tuple(map(str, range(MAX_PHRASES + 1)))}, "products"),
    ],
)
def test_rules_that_cannot_be_followed(fields: dict[str, object], setting: str) -> None:
    with pytest.raises(BadRules) as caught:
        ThreadRules(**fields)  # type: ignore[arg-type]
    assert caught.value.setting == setting


@pytest.mark.parametrize(
    ("policy", "product", "origin"),
    [
        (OriginPolicy(), "Router", "+18005550100"),
        (OriginPolicy("business", "Acme Inc"), "Router", "Acme Inc"),
        (OriginPolicy("product", "Acme"), "Router", "Router"),
        (OriginPolicy("product", "Acme"), "", "Acme"),
        (OriginPolicy("product"), "", "+18005550100"),
        (OriginPolicy("fixed", "12345"), "Router", "12345"),
    ],
)
def test_the_origin_of_a_reply(policy: OriginPolicy, product: str, origin: str) -> None:
    policy.check(["Router"])
    assert reply_origin(policy, thread(product=product)) == origin
    # H29: the same whichever CSR answers
    other = thread(product=product, designation_kind="login", designation_value="bob", desk_label="Bob")
    assert reply_origin(policy, other) == origin


@pytest.mark.parametrize(
    ("policy", "products"),
    [
        (OriginPolicy("nickname", "x"), ()),
        (OriginPolicy("number", "x"), ()),
        (OriginPolicy("business"), ()),
        (OriginPolicy("business", "Twelve chars"), ()),
        (OriginPolicy("business", "Gerät"), ()),
        (OriginPolicy("business", "12345"), ()),
        (OriginPolicy("business", " Acme"), ()),
        (OriginPolicy("product"), ("A product with a long name",)),
        (OriginPolicy("fixed", "Acme"), ()),
        (OriginPolicy("fixed", "+1"), ()),
    ],
)
def test_origins_that_no_network_takes(policy: OriginPolicy, products: tuple[str, ...]) -> None:
    with pytest.raises(BadRules):
        policy.check(products)
