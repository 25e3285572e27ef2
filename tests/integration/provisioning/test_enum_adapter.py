"""The ENUM adapter against real name servers, which dig asks as well."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import dns.name
import dns.query
import dns.rcode
import dns.tsig
import dns.update
import pytest

from provisioning.carrier_directory import CarrierDirectory
from provisioning.directories import Answer, Finding, Listing, Task
from provisioning.directories.enum import CHUNK, EnumAdapter
from provisioning.enum_records import name_of
from provisioning.errors import BadValue, UnreadableSecret
from provisioning.secret import Secret, SecretKind
from tests.fixtures_bind import GUARDED_ZONE, SECRETS, ZONE, NameServer, make_bind

TIMEOUT_S = 60.0  # of a busy machine; nothing waits for it to pass
Made = Callable[..., EnumAdapter]
_places = count()


def directory_of(server: NameServer, key: str = "hub-key", **settings: object) -> CarrierDirectory:
    told = {
        "name": "carriers",
        "adapter": "enum",
        "server": "127.0.0.1",
        "port": server.port,
        "zone": ZONE,
        "tsig_name": key,
        "tsig_secret": Secret(SecretKind.LITERAL, SECRETS[key]),
        "gateway": "gw.example.net",
        "timeout_s": TIMEOUT_S,
    }
    return CarrierDirectory(**{**told, **settings})  # type: ignore[arg-type]


@pytest.fixture
def made() -> Iterator[Made]:
    adapters = []

    def make(server: NameServer, key: str = "hub-key", **settings: object) -> EnumAdapter:
        adapters.append(EnumAdapter(directory_of(server, key, **settings), {}))
        return adapters[-1]

    yield make
    for adapter in adapters:
        adapter.close()


def task_of(number: str, *, element: str = "SPID:6006", call_centre: str = "acme", **told: str) -> Task:
    listing = Listing(number=number, real_number=number, call_centre=call_centre, element=element, **told)
    return Task(f"key-{number}", listing)


def fresh(how_many: int, prefix: str = "+1617", **told: str) -> list[Task]:
    """Numbers that no other test has."""
    return [task_of(f"{prefix}{next(_places):07d}", **told) for _ in range(how_many)]


def again(tasks: Sequence[Task], **told: str) -> list[Task]:
    """The same numbers with other content."""
    return [task_of(task.listing.number, **told) for task in tasks]


def findings(answers: Sequence[Answer]) -> Counter[Finding]:
    return Counter(answer.finding for answer in answers)


def dig(server: NameServer, task: Task, kind: str = "NAPTR") -> list[str]:
    """What another program is told of a number, line by line, in order."""
    name = name_of(task.listing.number, ZONE)
    command = ["dig", "@127.0.0.1", "-p", str(server.port), "+short", "+tcp", "+time=30", str(name), kind]
    return sorted(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.splitlines())


def put(server: NameServer, task: Task, *records: tuple[str, str], key: str = "other-key") -> None:
    """Somebody else writes at a number's name."""
    update = dns.update.UpdateMessage(ZONE)
    update.use_tsig(dns.tsig.Key(key, SECRETS[key], "hmac-sha256."))
    name = dns.name.from_text(str(name_of(task.listing.number, ZONE)))
    for kind, text in records:
        update.add(name, 300, kind, text)
    answer = dns.query.tcp(update, "127.0.0.1", port=server.port, timeout=TIMEOUT_S)
    assert answer.rcode() == dns.rcode.NOERROR


@pytest.fixture(params=["bind", "knot"])
def server(request: pytest.FixtureRequest) -> NameServer:
    """Each of the two servers."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, NameServer)
    return found


# --- the main flow, on both servers ----------------------------------------------------------------------------------


def test_numbers_are_published_looked_up_changed_and_withdrawn(server: NameServer, made: Made) -> None:
    """H5."""
    adapter, tasks = made(server), fresh(CHUNK + 20)
    number = tasks[0].listing.number
    assert findings(adapter.confirm(tasks)) == {Finding.ABSENT: len(tasks)}
    assert adapter.publish(tasks) == [Answer(Finding.ACTIVE)] * len(tasks)
    assert dig(server, tasks[0]) == [
        f'100 10 "u" "E2U+sms:tel" "!^.*$!tel:{number}!" .',
        f'100 20 "u" "E2U+sms:mailto" "!^.*$!mailto:{number}@gw.example.net!" .',
        f'100 30 "u" "E2U+mms:mailto" "!^.*$!mailto:{number}@gw.example.net!" .',
        f'100 40 "u" "E2U+pstn:tel" "!^.*$!tel:{number};spn=6006!" .',
    ]
    assert dig(server, tasks[0], "TXT") == ['"v=smshub1" "owner=hub-key" "call-centre=acme"']
    assert findings(adapter.confirm(tasks)) == {Finding.ACTIVE: len(tasks)}
    assert findings(adapter.publish(tasks)) == {Finding.ACTIVE: len(tasks)}  # as after a crash

    others = again(tasks, element="OCN:7007")
    assert findings(adapter.confirm(others)) == {Finding.DIFFERS: len(tasks)}
    assert findings(adapter.publish(others)) == {Finding.ACTIVE: len(tasks)}
    assert next(line for line in dig(server, tasks[-1]) if "pstn" in line).endswith('ocn=7007!" .')

    assert findings(adapter.withdraw(tasks)) == {Finding.ABSENT: len(tasks)}
    assert findings(adapter.withdraw(tasks)) == {Finding.ABSENT: len(tasks)}
    assert dig(server, tasks[0]) == dig(server, tasks[0], "TXT") == []


def test_what_another_hub_has_is_a_conflict_and_stays_untouched(server: NameServer, made: Made) -> None:
    ours, theirs, tasks = made(server), made(server, "other-key"), fresh(40)
    assert findings(theirs.publish(tasks[7:9])) == {Finding.ACTIVE: 2}
    before = dig(server, tasks[7])
    answers = ours.publish(tasks)
    assert findings(answers) == {Finding.ACTIVE: 38, Finding.CONFLICT: 2}
    assert answers[7] == Answer(Finding.CONFLICT, "the owner is 'other-key'")
    assert ours.confirm(tasks[7:8]) == [Answer(Finding.CONFLICT, "the owner is 'other-key'")]
    assert ours.withdraw(tasks[7:8]) == [Answer(Finding.ABSENT, "what stands there is another owner's")]
    assert dig(server, tasks[7]) == before
    assert findings(theirs.confirm(tasks[7:9])) == {Finding.ACTIVE: 2}


def test_what_nobody_owns_is_a_conflict_as_well(server: NameServer, made: Made) -> None:
    [records, address, free] = tasks = fresh(3)
    put(server, records, ("NAPTR", '10 10 "u" "E2U+sip" "!^.*$!sip:a@b.example!" .'))
    put(server, address, ("A", "192.0.2.1"))
    answers = made(server).publish(tasks)
    assert [answer.finding for answer in answers] == [Finding.CONFLICT, Finding.CONFLICT, Finding.ACTIVE]
    assert "not told" in answers[0].reason
    assert "another kind" in answers[1].reason
    assert dig(server, records) == ['10 10 "u" "E2U+sip" "!^.*$!sip:a@b.example!" .']
    assert dig(server, address, "A") == ["192.0.2.1"]
    assert dig(server, address) == []
    assert len(dig(server, free)) == 4


def test_others_texts_at_our_name_are_left_alone(server: NameServer, made: Made) -> None:
    adapter, [task] = made(server), fresh(1)
    adapter.publish([task])
    put(server, task, ("TXT", '"v=spf1 -all"'))
    assert findings(adapter.publish(again([task], element=""))) == {Finding.ACTIVE: 1}
    assert len(dig(server, task)) == 3
    assert findings(adapter.withdraw([task])) == {Finding.ABSENT: 1}
    assert dig(server, task, "TXT") == ['"v=spf1 -all"']


# --- owners ----------------------------------------------------------------------------------------------------------


def test_a_number_that_moved_between_call_centres_is_brought_over(bind: NameServer, made: Made) -> None:
    """The catalog gives a number to one call centre at a time, so the hub need not ask itself."""
    adapter, tasks = made(bind), fresh(2)
    adapter.publish(tasks)
    moved = again(tasks, call_centre="globex")
    assert findings(adapter.confirm(moved)) == {Finding.DIFFERS: 2}
    assert findings(adapter.publish(moved)) == {Finding.ACTIVE: 2}
    assert dig(bind, tasks[0], "TXT") == ['"v=smshub1" "owner=hub-key" "call-centre=globex"']


def test_an_entity_id_outlives_a_key(bind: NameServer, made: Made) -> None:
    tasks = fresh(2)
    assert findings(made(bind, entity_id="hub 7").publish(tasks)) == {Finding.ACTIVE: 2}
    assert findings(made(bind, "other-key", entity_id="hub 7").publish(tasks)) == {Finding.ACTIVE: 2}
    assert findings(made(bind, "other-key").publish(tasks)) == {Finding.CONFLICT: 2}


def test_routing_information_is_told(bind: NameServer, made: Made) -> None:
    """H6."""
    [task] = fresh(1, element="", network_id="net 1", ip_address="2001:db8::7")
    assert findings(made(bind).publish([task])) == {Finding.ACTIVE: 1}
    assert any(line.endswith(';nwid=net%201;gwip=2001:db8::7!" .') for line in dig(bind, task))


def test_another_time_to_live_is_written_once(bind: NameServer, made: Made) -> None:
    [task] = fresh(1)
    made(bind, ttl_s=60).publish([task])
    assert findings(made(bind, ttl_s=120).publish([task])) == {Finding.ACTIVE: 1}
    name = str(name_of(task.listing.number, ZONE))
    command = ["dig", "@127.0.0.1", "-p", str(bind.port), "+noall", "+answer", "+tcp", name, "NAPTR"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.splitlines()
    assert {line.split()[1] for line in lines} == {"120"}


# --- refusals --------------------------------------------------------------------------------------------------------


def test_numbers_that_the_key_may_not_touch_are_singled_out(bind: NameServer, made: Made) -> None:
    tasks = fresh(30)
    tasks[3:3] = fresh(1, prefix="+44")
    tasks += fresh(1, prefix="+44")
    answers = made(bind, "limited-key").publish(tasks)
    refused = Answer(Finding.REFUSED, "the server refuses this number (REFUSED)")
    assert [place for place, answer in enumerate(answers) if answer == refused] == [3, 31]
    assert findings(answers) == {Finding.ACTIVE: 30, Finding.REFUSED: 2}


def test_a_server_that_takes_no_updates_is_tried_again_later(bind: NameServer, made: Made) -> None:
    """Nothing is wrong with any number: an empty update is refused as well. BIND answers so while a zone is frozen."""
    tasks = fresh(3)
    answers = made(bind, "reader-key", zone=GUARDED_ZONE).publish(tasks)
    assert findings(answers) == {Finding.LATER: 3}
    assert all("every update" in answer.reason for answer in answers)
    assert findings(made(bind, zone=GUARDED_ZONE).confirm(tasks)) == {Finding.ABSENT: 3}
    assert findings(made(bind, zone=GUARDED_ZONE).publish(tasks)) == {Finding.ACTIVE: 3}


def test_a_key_without_rights_publishes_nothing(bind: NameServer, knot: NameServer, made: Made) -> None:
    """BIND's update-policy looks at names only, so that an empty update passes; Knot says that it is NOTAUTH."""
    tasks = fresh(3)
    assert findings(made(bind, "reader-key").publish(tasks)) == {Finding.REFUSED: 3}
    assert findings(made(knot, "reader-key").publish(tasks)) == {Finding.LATER: 3}
    assert dig(bind, tasks[0]) == dig(knot, tasks[0]) == []


def test_numbers_of_another_zone_are_not_asked_for(bind: NameServer, made: Made) -> None:
    adapter = made(bind, zone=f"4.4.{ZONE}")
    [answer] = adapter.publish(fresh(1))
    assert answer == Answer(Finding.REFUSED, f"zone '4.4.{ZONE}' is not for this number")
    assert findings(adapter.withdraw(fresh(1))) == {Finding.ABSENT: 1}
    endless = ".".join(["a" * 60] * 4)
    assert findings(made(bind, zone=endless).publish(fresh(1))) == {Finding.REFUSED: 1}


def test_a_zone_that_the_server_has_not_is_for_later(bind: NameServer, made: Made) -> None:
    [answer] = made(bind, zone="e164.example").publish(fresh(1))
    assert answer.finding is Finding.LATER
    assert "NOTAUTH" in answer.reason


def test_what_fits_in_no_record_is_refused_and_hinders_no_other(bind: NameServer, made: Made) -> None:
    tasks = fresh(2)
    tasks[0] = again(tasks[:1], element=f"sip:{'x' * 250}@example.net")[0]
    answers = made(bind).publish(tasks)
    assert [answer.finding for answer in answers] == [Finding.REFUSED, Finding.ACTIVE]
    assert "too long" in answers[0].reason


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"tsig_name": "no-such-key"}, "does not know the TSIG key"),
        ({"tsig_secret": Secret(SecretKind.LITERAL, SECRETS["other-key"])}, "TSIG signature wrong"),
        ({"tsig_algorithm": "hmac-sha512"}, "does not know the TSIG key"),
    ],
)
def test_a_wrong_key_is_told_as_such(server: NameServer, made: Made, settings: dict[str, object], why: str) -> None:
    tasks = fresh(2)
    for answers in (made(server, **settings).publish(tasks), made(server, **settings).withdraw(tasks)):
        assert findings(answers) == {Finding.LATER: 2}
        assert why in answers[0].reason


def test_a_server_that_is_not_there_is_an_error_of_the_system(
    made: Made, bind: NameServer, unused_tcp_port: int
) -> None:
    with pytest.raises(OSError, match="refused"):
        made(bind, port=unused_tcp_port).publish(fresh(1))


def test_a_secret_that_is_no_base64_is_refused_at_once(bind: NameServer, made: Made) -> None:
    for words in ("not base64!", "AAA"):
        with pytest.raises(BadValue, match="tsig-keygen") as refusal:
            made(bind, tsig_secret=Secret(SecretKind.LITERAL, words))
        assert words not in str(refusal.value)
    with pytest.raises(UnreadableSecret):
        made(bind, tsig_secret=Secret(SecretKind.ENV, "NOT_SET"))


def test_a_secret_that_is_renewed_is_used_from_the_next_call_on(bind: NameServer, made: Made, tmp_path: Path) -> None:
    """As a token of a registry is. A daemon runs for years, and keys do not."""
    file = tmp_path / "secret"
    file.write_text(SECRETS["other-key"])
    adapter = made(bind, tsig_secret=Secret(SecretKind.FILE, str(file)))
    tasks = fresh(2)
    assert findings(adapter.publish(tasks)) == {Finding.LATER: 2}
    file.write_text(SECRETS["hub-key"])
    assert findings(adapter.publish(tasks)) == {Finding.ACTIVE: 2}
    file.unlink()
    with pytest.raises(UnreadableSecret):
        adapter.confirm(tasks)


# --- restarts --------------------------------------------------------------------------------------------------------


def test_a_restarted_server_is_found_again(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], made: Made
) -> None:
    """What was published is in the server's journal; the adapter's connection is a new one."""
    server = make_bind(tmp_path, unused_tcp_port_factory())
    server.start()
    try:
        adapter, tasks = made(server), fresh(CHUNK)
        assert findings(adapter.publish(tasks)) == {Finding.ACTIVE: CHUNK}
        server.stop()
        with pytest.raises(OSError, match="refused"):
            adapter.confirm(tasks)
        server.start()
        assert findings(adapter.publish(tasks)) == {Finding.ACTIVE: CHUNK}
        server.stop()
        server.start()
        assert findings(adapter.confirm(tasks)) == {Finding.ACTIVE: CHUNK}  # hung up on, asked again
    finally:
        server.stop()
