"""Looking numbers up by ENUM: against BIND with TSIG, against a validating resolver, and against servers that lie."""

from __future__ import annotations

import os
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import dns.tsig
import pytest
import trio
from click.testing import CliRunner

from hub import wall_clock_us
from hub.routing import way_of
from ops.cli import main
from ops.config import ConfigErrors, load_config, read_config
from ops.daemon import open_daemon
from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories import Finding, Listing, Task
from provisioning.directories.enum import EnumAdapter
from provisioning.enum_records import name_of
from provisioning.secret import Secret, SecretKind
from tests.fixtures_bind import SECRETS, ZONE, NameServer, make_bind, make_named
from tests.fixtures_lying_dns import LyingServer, reply_to
from translators.enum_cache import CacheRules, Result
from translators.enum_lookup import EnumLookup, LookupSettings

PATIENCE_S = 60.0  # of a test, for a busy machine
NUMBER = "+16175550001"
OTHER = "+16175550002"
UNKNOWN = "+16175550003"
GOOD = f'300 IN NAPTR 100 10 u E2U+pstn:tel "!^.*$!tel:{NUMBER};spn=6006!" .'
KEY = dns.tsig.Key("reader-key", b64decode(SECRETS["reader-key"]), "hmac-sha256.")


def lookup(port: int, **settings: Any) -> EnumLookup:
    told: dict[str, Any] = {"servers": ("127.0.0.1",), "port": port, "zones": (ZONE,), "timeout_s": PATIENCE_S}
    return EnumLookup(LookupSettings(**{**told, **settings}), wall_clock_us)


def publish(server: NameServer) -> None:
    directory = CarrierDirectory(
        name="carriers",
        adapter="enum",
        server="127.0.0.1",
        port=server.port,
        zone=ZONE,
        tsig_name="hub-key",
        tsig_secret=Secret(SecretKind.LITERAL, SECRETS["hub-key"]),
        gateway="gw.example.net",
        timeout_s=PATIENCE_S,
        ttl_s=120,
    )
    adapter = EnumAdapter(directory, {})
    tasks = [
        Task(number, Listing(number=number, real_number=number, call_centre="acme", element=element))
        for number, element in ((NUMBER, "SPID:6006"), (OTHER, ""))
    ]
    assert {answer.finding for answer in adapter.publish(tasks)} == {Finding.ACTIVE}
    adapter.close()


@pytest.fixture(scope="module")
def published(bind: NameServer) -> NameServer:
    """BIND with two numbers, one of them with an element."""
    publish(bind)
    return bind


# --- a real server ---------------------------------------------------------------------------------------------------


async def test_what_was_published_is_found(published: NameServer) -> None:
    """H6."""
    with trio.fail_after(PATIENCE_S):
        asks = lookup(published.port, key=KEY)
        found, bare, absent = [await asks.look_up(number) for number in (NUMBER, OTHER, UNKNOWN)]
    assert (found.result, found.reading.element, found.ttl_s) == (Result.FOUND, "SPID:6006", 120)
    assert found.server == "127.0.0.1"
    assert [kind for kind, _ in found.reading.services] == ["sms:tel", "sms:mailto", "mms:mailto", "pstn:tel"]
    assert bare.result is Result.EMPTY
    assert (absent.result, absent.ttl_s) == (Result.ABSENT, 60)  # the least of the SOA's


async def test_zones_are_asked_in_order(published: NameServer) -> None:
    with trio.fail_after(PATIENCE_S):
        asks = lookup(published.port, key=KEY, zones=(f"9.{ZONE}", f"2.1.{ZONE}", f"6.1.{ZONE}", ZONE))
        assert (await asks.look_up(NUMBER)).result is Result.FOUND
        assert (await asks.look_up(UNKNOWN)).result is Result.ABSENT
        assert (await lookup(published.port, zones=(f"9.{ZONE}",)).look_up(NUMBER)).result is Result.ABSENT


async def test_an_unsigned_answer_is_not_believed_unless_any_is(published: NameServer) -> None:
    with trio.fail_after(PATIENCE_S):
        found = await lookup(published.port).look_up(NUMBER)
        assert found.result is Result.UNTRUSTED
        assert "neither TSIG nor DNSSEC" in found.reason
        assert (await lookup(published.port, trust="any").look_up(NUMBER)).result is Result.FOUND


async def test_a_wrong_key_gets_no_answer_that_is_believed(published: NameServer) -> None:
    wrong = dns.tsig.Key("reader-key", b"another secret", "hmac-sha256.")
    found = await lookup(published.port, key=wrong, timeout_s=0.5).look_up(NUMBER)
    assert found.result is Result.FAILED
    assert "no answer that can be believed" in found.reason


async def test_the_next_server_is_asked_when_one_fails_and_stays_the_first(published: NameServer) -> None:
    with closing(LyingServer(published.port, "127.0.0.9")) as failing, trio.fail_after(PATIENCE_S):
        failing.by_udp = lambda wire: [reply_to(wire, flags=2).to_wire()]  # SERVFAIL
        asks = lookup(published.port, trust="any", servers=("127.0.0.9", "127.0.0.1"))
        assert (await asks.look_up(NUMBER)).server == "127.0.0.1"
        assert (await asks.look_up(OTHER)).server == "127.0.0.1"
        assert len(failing.asked) == 1


async def test_when_all_servers_fail_the_last_says_why(published: NameServer) -> None:
    asks = lookup(published.port, servers=("127.0.0.9", "127.0.0.8"), timeout_s=0.2)
    found = await asks.look_up(NUMBER)
    assert (found.result, found.server) == (Result.FAILED, "127.0.0.8")
    assert found.reason


async def test_the_cache_is_filled_beside_the_texts(published: NameServer) -> None:
    asks = lookup(published.port, key=KEY, per_s=10_000.0)
    assert asks.answer(NUMBER) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asks.run)
        with trio.fail_after(PATIENCE_S):
            while asks.answer(NUMBER) is None:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.01)
            found = asks.answer(NUMBER)
            assert found is not None
            assert (found.element, found.endpoint) == ("SPID:6006", "")
            assert 0 < found.valid_until_us - wall_clock_us() <= 120_000_000
            assert asks.answer(UNKNOWN) is None
            while not _sample(asks, "lookups_total", result="absent"):  # noqa: ASYNC110
                await trio.sleep(0.01)
            assert asks.answer(UNKNOWN) is None
        assert _sample(asks, "lookups_total", result="found") == 1
        assert _sample(asks, "lookups_total", result="absent") == 1
        assert _sample(asks, "cached_numbers", kind="element") == 1
        assert _sample(asks, "cache_total", outcome="nothing") == 1
        nursery.cancel_scope.cancel()


def _sample(asks: EnumLookup, name: str, **labels: str) -> float:
    return next(
        sample.value for sample in asks.samples() if (sample.name, sample.labels) == (f"smshub_enum_{name}", labels)
    )


async def test_a_flood_of_numbers_that_do_not_exist_grows_nothing(published: NameServer) -> None:
    rules = CacheRules(size=50, queue=20)
    asks = lookup(published.port, key=KEY, per_s=10_000.0, rules=rules, concurrency=4)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asks.run)
        with trio.fail_after(PATIENCE_S):
            made_up = 0
            while asks.answer(NUMBER) is None or _sample(asks, "lookups_total", result="absent") < 200:
                for _ in range(100):
                    asks.answer(f"+1999{made_up:09d}")
                    made_up += 1
                await trio.sleep(0.001)
        assert _sample(asks, "cached_numbers", kind="nothing") <= 100
        assert _sample(asks, "waiting_numbers") <= 40
        assert _sample(asks, "lookups_under_way") <= 4
        assert _sample(asks, "cache_total", outcome="dropped") > 0
        nursery.cancel_scope.cancel()


# --- a validating resolver -------------------------------------------------------------------------------------------


RESOLVER = """
options {{
    directory "{home}"; pid-file "{home}/named.pid"; session-keyfile "{home}/session.key";
    managed-keys-directory "{home}";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion yes; dnssec-validation yes; empty-zones-enable no;
    forward only; forwarders {{ 127.0.0.1 port {upstream}; }};
}};
controls {{ }};
trust-anchors {{ "{zone}." static-key {key}; }};
"""


@pytest.fixture
def resolver(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> Iterator[NameServer]:
    """A BIND that validates DNSSEC, before one whose zone is signed; and its zone holds a number."""
    homes = [tmp_path / name for name in ("signed", "resolver")]
    for home in homes:
        home.mkdir()
    signed = make_bind(homes[0], unused_tcp_port_factory(), dnssec=True)
    validating = make_named(homes[1], unused_tcp_port_factory())
    try:
        signed.start()
        publish(signed)
        until = time.monotonic() + PATIENCE_S
        while not (keys := sorted(homes[0].glob("K*.key"))) or "RRSIG" not in _dnskeys(signed):
            assert time.monotonic() < until, "the zone was never signed"
            time.sleep(0.1)
        words = next(line for line in keys[0].read_text().splitlines() if not line.startswith(";")).split()
        at = words.index("DNSKEY") + 1
        key = f'{" ".join(words[at : at + 3])} "{"".join(words[at + 3 :])}"'
        told = {"home": homes[1], "port": validating.port, "upstream": signed.port, "zone": ZONE, "key": key}
        (homes[1] / "named.conf").write_text(RESOLVER.format(**told))
        validating.start()
        yield validating
    finally:
        validating.stop()
        signed.stop()


def _dnskeys(server: NameServer) -> str:
    command = ["dig", "@127.0.0.1", "-p", str(server.port), "+dnssec", "+tcp", "+time=30", ZONE, "DNSKEY"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


async def test_what_a_resolver_has_validated_is_believed(resolver: NameServer) -> None:
    with trio.fail_after(PATIENCE_S):
        found, absent = [await lookup(resolver.port).look_up(number) for number in (NUMBER, UNKNOWN)]
    assert (found.result, found.reading.element) == (Result.FOUND, "SPID:6006")
    assert absent.result is Result.ABSENT


# --- lies ------------------------------------------------------------------------------------------------------------


def changed(message: dns.message.Message, *, id: int | None = None, name: str = "") -> bytes:
    if id is not None:
        message.id = id
    if name:
        question = dns.message.make_query(name, "NAPTR").question
        message.question = question
    return message.to_wire()


LIES: dict[str, Callable[[bytes], list[bytes]]] = {
    "garbage": lambda wire: [b"", b"\x00", wire[:2] + b"\xff" * 600, os.urandom(300)],
    "another id": lambda wire: [changed(reply_to(wire, GOOD), id=(int.from_bytes(wire[:2], "big") + 1) & 0xFFFF)],
    "another question": lambda wire: [changed(reply_to(wire, GOOD), name="1.2.3.e164.test")],
    "the question itself": lambda wire: [wire],
    "cut in the middle": lambda wire: [reply_to(wire, GOOD).to_wire()[:-20]],
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_waited_past(lying_server: LyingServer, lie: str) -> None:
    """Whoever guesses an id wrong, or writes rubbish, keeps nobody from the right answer."""
    lying_server.by_udp = lambda wire: [*LIES[lie](wire), reply_to(wire, GOOD, flags=dns.flags.AD).to_wire()]
    with trio.fail_after(PATIENCE_S):
        found = await lookup(lying_server.port).look_up(NUMBER)
    assert (found.result, found.reading.element) == (Result.FOUND, "SPID:6006")


@pytest.mark.parametrize("lie", LIES)
async def test_lies_alone_are_no_answer(lying_server: LyingServer, lie: str) -> None:
    lying_server.by_udp = LIES[lie]
    found = await lookup(lying_server.port, timeout_s=0.2, trust="any").look_up(NUMBER)
    assert found.result is Result.FAILED
    assert found.reading.element == ""


@pytest.mark.parametrize(
    ("code", "result"),
    [(2, Result.FAILED), (5, Result.FAILED), (1, Result.FAILED), (0, Result.ABSENT), (3, Result.ABSENT)],
)
async def test_what_codes_mean(lying_server: LyingServer, code: int, result: Result) -> None:
    soa = f"{ZONE}. 900 IN SOA ns.x. h.x. 1 2 3 4 77"
    lying_server.by_udp = lambda wire: [reply_to(wire, authority=soa, flags=code | dns.flags.AD).to_wire()]
    with trio.fail_after(PATIENCE_S):
        found = await lookup(lying_server.port).look_up(NUMBER)
    assert found.result is result
    assert found.ttl_s == (77 if result is Result.ABSENT else 0)


async def test_signed_questions_want_signed_answers(lying_server: LyingServer) -> None:
    lying_server.by_udp = lambda wire: [reply_to(wire, GOOD, flags=dns.flags.AD).to_wire()]
    found = await lookup(lying_server.port, key=KEY, timeout_s=0.2, trust="any").look_up(NUMBER)
    assert found.result is Result.FAILED


async def test_an_answer_that_does_not_fit_is_asked_for_again_by_tcp(lying_server: LyingServer) -> None:
    many = [f'300 IN NAPTR {n} 10 u E2U+pstn:tel "!^.*$!tel:{NUMBER};spn={n}!" .' for n in range(1000, 1200)]
    lying_server.by_udp = lambda wire: [reply_to(wire, flags=dns.flags.TC | dns.flags.AD).to_wire()]
    lying_server.by_tcp = lambda wire: [reply_to(wire, *many, flags=dns.flags.AD).to_wire(max_size=65_535)]
    with trio.fail_after(PATIENCE_S):
        found = await lookup(lying_server.port).look_up(NUMBER)
    assert (found.result, found.reading.element) == (Result.FOUND, "SPID:1000")
    assert "of 200 records" in found.reading.disbelieved[0]


@pytest.mark.parametrize("answer", [b"", b"\x00" * 5, b"\xff" * 40])
async def test_nonsense_by_tcp_is_a_failure(lying_server: LyingServer, answer: bytes) -> None:
    lying_server.by_udp = lambda wire: [reply_to(wire, flags=dns.flags.TC).to_wire()]
    lying_server.by_tcp = lambda wire: [answer]
    with trio.fail_after(PATIENCE_S):
        found = await lookup(lying_server.port, trust="any").look_up(NUMBER)
    assert found.result is Result.FAILED
    assert found.reason


async def test_aliases_are_followed_and_circles_are_not(lying_server: LyingServer) -> None:
    name = str(name_of(NUMBER, ZONE))

    def alias(wire: bytes) -> list[bytes]:
        answer = reply_to(wire, "500 IN CNAME a.example.")
        answer.answer.append(dns.rrset.from_text("a.example.", *GOOD.split(" ", 3)))
        return [answer.to_wire()]

    def circle(wire: bytes) -> list[bytes]:
        return [reply_to(wire, f"500 IN CNAME {name}.").to_wire()]

    with trio.fail_after(PATIENCE_S):
        lying_server.by_udp = alias
        found = await lookup(lying_server.port, trust="any").look_up(NUMBER)
        assert (found.result, found.ttl_s) == (Result.FOUND, 300)
        lying_server.by_udp = circle
        assert (await lookup(lying_server.port, trust="any").look_up(NUMBER)).result is Result.FAILED


async def test_a_silent_server_is_not_asked_again_for_every_text(lying_server: LyingServer) -> None:
    asks = lookup(lying_server.port, timeout_s=0.05, per_s=10_000.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asks.run)
        with trio.fail_after(PATIENCE_S):
            while not _sample(asks, "lookups_total", result="failed"):
                asks.answer(NUMBER)
                await trio.sleep(0.001)
            for _ in range(100):
                assert asks.answer(NUMBER) is None
                await trio.lowlevel.checkpoint()
        assert len(lying_server.asked) == 1
        nursery.cancel_scope.cancel()


# --- the daemon and the command line ---------------------------------------------------------------------------------

CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
[metrics]
port = 0
[enum]
servers = ["127.0.0.1"]
port = {port}
zones = ["e164.test"]
tsig_name = "reader-key"
tsig_secret = "{secret}"
timeout_s = 60
[[link]]
name = "usual"
host = "127.0.0.1"
port = {nowhere}
system_id = "hub"
password = "x"
[[link]]
name = "direct"
host = "127.0.0.1"
port = {nowhere}
system_id = "hub"
password = "x"
[[route]]
prefix = "*"
endpoint = "link:usual"
[[route]]
prefix = "*"
element = "SPID:6006"
endpoint = "link:direct"
"""


@pytest.fixture
def configuration(published: NameServer, tmp_path: Path, unused_tcp_port: int) -> Path:
    path = tmp_path / "smshub.toml"
    path.write_text(CONFIGURATION.format(port=published.port, nowhere=unused_tcp_port, secret=SECRETS["reader-key"]))
    return path


async def test_the_daemon_routes_by_what_enum_says(configuration: Path) -> None:
    config = load_config(configuration)
    with trio.fail_after(PATIENCE_S):
        async with open_daemon(config) as daemon:

            def way(number: str) -> str | None:
                return way_of(number, daemon.hub.directory, wall_clock_us(), daemon.answers)

            assert way(NUMBER) == "link:usual"  # nothing is known yet, and nobody waits
            while way(NUMBER) != "link:direct":  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.01)
            assert way(OTHER) == way(UNKNOWN) == "link:usual"


async def test_without_servers_there_is_nothing_to_ask(tmp_path: Path) -> None:
    config = read_config('[store]\nurl = "sqlite:///hub.db"\n[smpp]\nport = 0\n[metrics]\nport = 0\n', "", tmp_path)
    with trio.fail_after(PATIENCE_S):
        async with open_daemon(config) as daemon:
            assert daemon.answers is None


def test_the_command_shows_what_is_believed(configuration: Path) -> None:
    shown = CliRunner().invoke(main, ["enum", "lookup", "+1 617 555-0001", "--config", str(configuration)])
    assert shown.exit_code == 0, shown.output
    assert "127.0.0.1 says of 1.0.0.0.5.5.5.7.1.6.1.e164.test: element SPID:6006, for 120 s" in shown.output
    assert "E2U+sms:mailto" in shown.output
    absent = CliRunner().invoke(main, ["enum", "lookup", UNKNOWN, "--config", str(configuration)])
    assert absent.exit_code == 0
    assert "does not know the number" in absent.output
    told = CliRunner().invoke(main, ["enum", "lookup", OTHER, "--json", "--config", str(configuration)])
    assert '"result": "empty"' in told.output


def test_the_command_says_that_an_answer_is_not_believed(published: NameServer, tmp_path: Path) -> None:
    arguments = [
        "--set",
        "enum.servers=127.0.0.1",
        "--set",
        f"enum.port={published.port}",
        "--set",
        f"enum.zones={ZONE}",
    ]
    refused = CliRunner().invoke(main, ["enum", "lookup", NUMBER, *arguments])
    assert refused.exit_code == 1
    assert "not signed" in refused.output
    off = CliRunner().invoke(main, ["enum", "lookup", NUMBER])
    assert off.exit_code == 2
    assert "enum.servers" in off.output


def test_route_explain_asks(configuration: Path) -> None:
    def explained(*arguments: str) -> str:
        shown = CliRunner().invoke(main, ["route", "explain", *arguments, "--config", str(configuration)])
        assert shown.exit_code == 0, shown.output
        return shown.output

    prepared = CliRunner().invoke(main, ["provision", "apply", str(configuration)])
    assert prepared.exit_code == 0, prepared.output
    assert f"{NUMBER} goes to link:direct" in explained(NUMBER)
    assert "element SPID:6006" in explained(NUMBER)
    assert f"{UNKNOWN} goes to link:usual" in explained(UNKNOWN)
    assert f"{UNKNOWN} goes to link:direct" in explained(UNKNOWN, "--element", "SPID:6006")
    assert f"{NUMBER} goes to link:usual" in explained(NUMBER, "--no-enum")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('servers = ["dns.example.net"]', "is no IP address"),
        ('servers = ["127.0.0.1"]\ntsig_name = "k"', "tsig_secret: is missing"),
        ('tsig_secret = "eHg="', "tsig_name: is missing"),
        ("longest_s = 5", "must not be below shortest_s"),
        ('servers = ["127.0.0.1"]\nzones = []', "zones"),
        ('trust = "some"', "trust"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(tmp_path: Path, lines: str, why: str) -> None:
    with pytest.raises(ConfigErrors, match=why):
        read_config(f"[enum]\n{lines}\n", "", tmp_path)
