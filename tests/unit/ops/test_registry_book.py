"""The reference registry's book: owners, conflicts, repetitions, slow decisions; who may speak to it; its words."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ops.simulators.registry_behaviour import WORDS, Behaviour, Fault, FaultKind, change, spend
from ops.simulators.registry_book import Action, Book, Wish
from ops.simulators.registry_script import CountStep, ExpectStep, GiveStep, SetStep, WaitStep, read_script
from ops.simulators.registry_state import BadState, StateFile
from ops.simulators.registry_users import FRESH_US, NotAuthenticated, TokenDesk, User, by_bearer
from ops.simulators.smsc_errors import BadScript, BadWords
from provisioning.directories.replies import State
from provisioning.directories.soap_envelope import PASSWORD_TEXT, WSSE_NS, envelope, open_envelope, username_token
from provisioning.directories.xml_reading import Element, read_xml

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "simulators.md"
NUMBER = "+16175550100"
NOW_US = 1_795_329_000_000_000
AT_ONCE = Behaviour()
SLOWLY = Behaviour(decide_after_s=10)


def publish(key: str, number: str = NUMBER, **fields: object) -> Wish:
    return Wish(key, Action.PUBLISH, {"number": number, "loa": "l1", **fields})


def withdraw(key: str, number: str = NUMBER) -> Wish:
    return Wish(key, Action.WITHDRAW, {"number": number})


def state(book: Book, owner: str, behaviour: Behaviour = AT_ONCE, now_us: int = NOW_US) -> State:
    return book.look_up(owner, [NUMBER], behaviour, now_us)[0].state


def test_a_number_comes_and_goes() -> None:
    book = Book()
    [there] = book.submit("a", [publish("k1")], AT_ONCE, NOW_US)
    [changed] = book.submit("a", [publish("k2", title="Acme")], AT_ONCE, NOW_US)
    assert (there.state, changed.state) == (State.ACTIVE, State.ACTIVE)
    assert changed.listing == {"number": NUMBER, "loa": "l1", "title": "Acme"}
    assert book.submit("a", [withdraw("k3")], AT_ONCE, NOW_US)[0].state is State.ABSENT
    assert state(book, "a") is State.ABSENT
    assert not book.entries, "nothing is kept of what is gone"


def test_the_same_key_twice_is_once() -> None:
    book = Book()
    for behaviour in (AT_ONCE, SLOWLY):
        before = book.applied
        for _ in range(3):
            book.submit("a", [publish(f"k{behaviour.decide_after_s}"), withdraw("w", "+1999")], behaviour, NOW_US)
        assert book.applied == before + 1


def test_a_number_of_another_owner_is_taken_and_nothing_is_changed() -> None:
    book = Book()
    book.submit("a", [publish("k1")], AT_ONCE, NOW_US)
    for wish in (publish("k2"), withdraw("k3"), publish("k1")):
        assert book.submit("b", [wish], AT_ONCE, NOW_US)[0].state is State.TAKEN
    assert (state(book, "a"), state(book, "b"), book.applied) == (State.ACTIVE, State.TAKEN, 1)
    book.release(NUMBER)
    assert book.submit("b", [publish("k2")], AT_ONCE, NOW_US)[0].state is State.ACTIVE
    book.give(NUMBER, "c")
    assert state(book, "b") is State.TAKEN


def test_a_slow_decision() -> None:
    book = Book()
    [taken_up] = book.submit("a", [publish("k1")], SLOWLY, NOW_US)
    assert (taken_up.state, taken_up.retry_after_s) == (State.PENDING, 10)
    assert book.look_up("a", [NUMBER], SLOWLY, NOW_US + 4_000_000)[0].retry_after_s == 6
    assert state(book, "b", SLOWLY) is State.TAKEN, "it was asked for first"
    assert state(book, "a", SLOWLY, NOW_US + 10_000_000) is State.ACTIVE
    later_us = NOW_US + 20_000_000
    assert book.submit("a", [withdraw("k2")], SLOWLY, later_us)[0].state is State.PENDING
    assert state(book, "a", SLOWLY, later_us + 10_000_000) is State.ABSENT


def test_a_later_wish_takes_the_place_of_one_that_waits() -> None:
    book = Book()
    book.submit("a", [publish("k1")], SLOWLY, NOW_US)
    book.submit("a", [withdraw("k2")], SLOWLY, NOW_US + 5_000_000)
    assert state(book, "a", SLOWLY, NOW_US + 12_000_000) is State.PENDING
    assert state(book, "a", SLOWLY, NOW_US + 15_000_000) is State.ABSENT


def test_what_is_refused() -> None:
    book = Book()
    behaviour = Behaviour(refuses=(("+1617", "ported away"),))
    [prefix, no_letter, no_number] = book.submit(
        "a", [publish("k1"), Wish("k2", Action.PUBLISH, {"number": "+442071838750"}), publish("k3", "1617")],
        behaviour, NOW_US,
    )  # fmt: skip
    assert (prefix.state, prefix.reason) == (State.REFUSED, "ported away")
    assert (no_letter.state, no_letter.reason) == (State.REFUSED, "no letter of authorization")
    assert (no_number.state, no_number.reason) == (State.REFUSED, "no E.164 number")
    assert state(book, "a", behaviour) is State.REFUSED
    assert book.submit("a", [publish("k1")], AT_ONCE, NOW_US)[0].state is State.ACTIVE, "looked at anew"
    [kept] = book.submit("a", [publish("k4", title="new")], behaviour, NOW_US)
    assert (kept.state, kept.reason, kept.listing) == (State.ACTIVE, "ported away", {"number": NUMBER, "loa": "l1"})


def test_pages_of_an_owners_numbers() -> None:
    book = Book()
    book.submit("a", [publish(f"k{n}", f"+1617555010{n}") for n in (3, 1, 2)], AT_ONCE, NOW_US)
    book.submit("b", [publish("k", "+16175550105")], AT_ONCE, NOW_US)
    numbers = [found.number for found in book.numbers_of("a", "+16175550101", 2, AT_ONCE, NOW_US)]
    assert numbers == ["+16175550102", "+16175550103"]


# --- The file --------------------------------------------------------------------------------------------------------


def test_the_file_brings_everything_back(tmp_path: Path) -> None:
    path = tmp_path / "registry.state"
    book = Book()
    with StateFile(path, book) as file:
        book.submit("a", [publish("k1"), publish("k2", "+1888")], AT_ONCE, NOW_US)
        file.write()
        book.submit("a", [withdraw("k3", "+1888"), publish("k4", "+1877")], SLOWLY, NOW_US)
        book.submit("a", [publish("k5", "+1866")], Behaviour(refuses=(("+1866", "no"),)), NOW_US)
        file.write()
    for _ in range(2):  # the file of a file
        again = Book()
        with StateFile(path, again):
            assert again.entries == book.entries
    [new] = again.submit("a", [publish("k9", "+1855")], AT_ONCE, NOW_US)
    assert new.record_id not in {one.record_id for one in book.look_up("a", list(book.entries), SLOWLY, NOW_US)}
    later_us = NOW_US + 10_000_000
    assert [one.state for one in again.look_up("a", ["+1888", "+1877"], SLOWLY, later_us)] == [
        State.ABSENT,
        State.ACTIVE,
    ]


def test_a_line_that_is_not_whole_was_never_answered(tmp_path: Path) -> None:
    path = tmp_path / "registry.state"
    book = Book()
    with StateFile(path, book) as file:
        for n in range(2):
            book.submit("a", [publish(f"k{n}", f"+161755501{n:02}")], AT_ONCE, NOW_US)
            file.write()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in (first, first + 1, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with StateFile(path, again := Book()):
            assert set(again.entries) == {"+16175550100"}
    path.write_bytes(b"\n" + whole)
    with pytest.raises(BadState, match=r"registry\.state:1 is no line"):
        StateFile(path, Book())
    assert path.read_bytes() == b"\n" + whole, "what cannot be read is not thrown away"


# --- Who may speak ---------------------------------------------------------------------------------------------------

USERS = (User(name="hub", password="pw", token="t0k"), User(name="half", password="other"))


def test_bearer_tokens() -> None:
    assert by_bearer(USERS, "Bearer t0k").owner_id == "hub"
    assert by_bearer(USERS, "bearer  t0k ").name == "hub"
    for words in ("", "Bearer", "Bearer ", "Bearer t0", "Basic t0k", "t0k", "Bearer \udce9"):
        with pytest.raises(NotAuthenticated):
            by_bearer(USERS, words)


def security(name: str = "hub", password: str = "pw", nonce: bytes = b"1" * 16, created: str = "") -> Element:
    created = created or "2026-11-22T06:30:00Z"
    found, _ = open_envelope(read_xml(envelope("<x/>", username_token(name, password, nonce, created))))
    assert found is not None
    return found


def test_a_token_is_taken_once() -> None:
    desk = TokenDesk()
    assert desk.by_username_token(USERS, security(), NOW_US, is_private=False).name == "hub"
    with pytest.raises(NotAuthenticated, match="used already"):
        desk.by_username_token(USERS, security(), NOW_US + FRESH_US, is_private=False)
    assert desk.by_username_token(USERS, security(nonce=b"2" * 16), NOW_US, is_private=False).name == "hub"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (None, "no UsernameToken"),
        (Element(f"{WSSE_NS} Security"), "no UsernameToken"),
        (security(password="wrong"), "unknown user or wrong password"),
        (security(name="nobody"), "unknown user or wrong password"),
        (security(name="half"), "unknown user or wrong password"),
        (security(created="2026-11-22T06:24:59Z"), "five minutes"),
        (security(created="2026-11-22T06:35:01Z"), "five minutes"),
        (security(created="now"), "Nonce and Created"),
        (security(nonce=b""), "nonce"),
        (security(nonce=b"1" * 257), "nonce"),
    ],
)
def test_tokens_that_are_refused(header: Element | None, why: str) -> None:
    desk = TokenDesk()
    for _ in range(2):
        with pytest.raises(NotAuthenticated, match=why):
            desk.by_username_token(USERS, header, NOW_US, is_private=True)


def test_a_password_as_it_is_goes_over_tls_only() -> None:
    password = Element(f"{WSSE_NS} Password", {"Type": PASSWORD_TEXT}, "pw")
    name = Element(f"{WSSE_NS} Username", {}, "hub")
    shown = Element(f"{WSSE_NS} Security", {}, "", (Element(f"{WSSE_NS} UsernameToken", {}, "", (name, password)),))
    assert TokenDesk().by_username_token(USERS, shown, NOW_US, is_private=True).name == "hub"
    with pytest.raises(NotAuthenticated, match="TLS only"):
        TokenDesk().by_username_token(USERS, shown, NOW_US, is_private=False)


def test_no_secret_is_shown() -> None:
    assert "pw" not in repr(USERS[0]) + str(USERS[0])
    assert base64.b64encode(b"t0k").decode() not in repr(USERS[0])
    assert "t0k" not in repr(USERS[0])


# --- Words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "behaviour"),
    [
        ("answer 250ms", Behaviour(answer_after_s=0.25)),
        ("decide 2s", Behaviour(decide_after_s=2)),
        ("letters off", Behaviour(wants_letter=False)),
        ("refuse +1888", Behaviour(refuses=(("+1888", "not on our network"),))),
        ("refuse +1888 ported away", Behaviour(refuses=(("+1888", "ported away"),))),
        ("fault cut-after 2", Behaviour(fault=Fault(FaultKind.CUT_AFTER, 2))),
        ("fault page", Behaviour(fault=Fault(FaultKind.PAGE))),
        ("fault status 500", Behaviour(fault=Fault(FaultKind.STATUS))),
        (
            "fault status 429 3 retry-after 7",
            Behaviour(fault=Fault(FaultKind.STATUS, 3, status=429, retry_after="7")),
        ),
        ("fault status 503 retry-after 7", Behaviour(fault=Fault(FaultKind.STATUS, 0, status=503, retry_after="7"))),
    ],
)
def test_words(words: str, behaviour: Behaviour) -> None:
    assert change(Behaviour(), words.split()) == behaviour


@pytest.mark.parametrize(
    "words",
    [
        *("", "x", "fault", "fault x", "fault status", "fault status 200", "fault status x", "fault page 0"),
        *("fault page x", "fault page 1 2", "refuse 1888", "letters maybe", "decide soon", "answer"),
    ],
)
def test_no_words(words: str) -> None:
    with pytest.raises(BadWords):
        change(Behaviour(), words.split())


def test_switching_off() -> None:
    behaviour = Behaviour()
    for words in ("answer 1", "decide 1", "refuse +1", "refuse +2", "fault page"):
        behaviour = change(behaviour, words.split())
    assert len(behaviour.refuses) == 2
    for words in ("answer off", "decide off", "refuse off", "fault off"):
        behaviour = change(behaviour, words.split())
    assert behaviour == Behaviour()


def test_a_fault_is_spent() -> None:
    behaviour = change(Behaviour(), ["fault", "page", "2"])
    faults = []
    for _ in range(3):
        fault, behaviour = spend(behaviour)
        faults.append(fault and fault.kind)
    assert faults == [FaultKind.PAGE, FaultKind.PAGE, None]
    for_ever = Behaviour(fault=Fault(FaultKind.PAGE))
    assert spend(for_ever) == (for_ever.fault, for_ever)


def test_a_script_is_read_whole() -> None:
    lines = [
        "# a comment",
        "set decide 2s",
        "give +1888 somebody",
        "release +1888",
        "expect +1888 active within 2m",
        "expect-numbers 10 pending",
        "wait 1s",
    ]
    assert [step for _, _, step in read_script(lines)] == [
        SetStep(("decide", "2s")),
        GiveStep("+1888", "somebody"),
        GiveStep("+1888", ""),
        ExpectStep("+1888", State.ACTIVE, 120.0),
        CountStep(10, State.PENDING, 5.0),
        WaitStep(1.0),
    ]
    wrong = [
        "set x 1",
        "give 1888 a",
        "expect +1 fine",
        "expect +1 active 5",
        "wait",
        "give 'x",
        "expect-numbers -1 active",
    ]
    with pytest.raises(BadScript) as bad:
        read_script(["wait 1s", *wrong])
    assert [line for line, _ in bad.value.errors] == list(range(2, 9))


def test_the_page_tells_of_all_words() -> None:
    section = PAGE.read_text().partition("\n## The registry\n")[2].partition("\n## ")[0]
    for word in WORDS:
        assert f"| `{word.name} " in section, word.name
    for kind in FaultKind:
        assert f"`{kind}" in section, kind
