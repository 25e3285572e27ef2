"""What the comparison with other gateways writes for them, reads from them, and makes of the figures."""

from __future__ import annotations

import configparser
import dataclasses
import io
import json
from pathlib import Path

import pytest

from loadtests.peers import http_load, jasmin, kannel, table
from loadtests.peers.gateway import Run
from loadtests.peers.http_load import BadAnswer, answer_end, status_of

ANSWER = b"HTTP/1.1 202 Accepted\r\nServer: Kannel/1.4.5\r\nContent-Length: 24\r\n\r\n0: Accepted for delivery"


def groups(text: str) -> list[dict[str, str]]:
    """Kannel's file as its groups."""
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if equals and key == "group":
            found.append({})
        if equals:
            assert key not in found[-1], f"{key} twice in one group"
            found[-1][key] = value
    return found


def of_kind(kind: str, text: str) -> list[dict[str, str]]:
    return [group for group in groups(text) if group["group"] == kind]


def test_kannel_between_an_application_and_a_carrier() -> None:
    store = kannel.store_lines("file", Path("/x/store"))
    text = kannel.configuration(store=store, admin=1, smsbox=2, sendsms=3, carrier=4)
    (core,), (smsc,), (smsbox,) = (of_kind(kind, text) for kind in ("core", "smsc", "smsbox"))
    assert (core["store-type"], core["store-location"]) == ("file", "/x/store")
    assert (core["admin-port"], core["smsbox-port"], smsbox["sendsms-port"], smsc["port"]) == ("1", "2", "3", "4")
    assert "allowed-smsc-id" not in smsc  # a text by HTTP names no carrier: with this it would be refused
    assert "{" not in text


def test_kannel_between_two_carriers_sends_to_the_second_alone() -> None:
    text = kannel.configuration(store="", admin=1, smsbox=2, sendsms=3, carrier=4, source=5)
    carrier, source = of_kind("smsc", text)
    assert (carrier["smsc-id"], carrier["port"], source["smsc-id"], source["port"]) == ("carrier", "4", "source", "5")
    assert source["reroute-smsc-id"] == carrier["allowed-smsc-id"] == "carrier"
    assert source["allowed-smsc-id"] == "source"
    assert "reroute-smsc-id" not in carrier


def test_stores_of_kannel() -> None:
    assert kannel.store_lines("none", Path("/x")) == ""
    assert kannel.store_lines("spool", Path("/x")).splitlines() == ["store-type = spool", "store-location = /x"]
    with pytest.raises(ValueError, match="redis"):
        kannel.store_lines("redis", Path("/x"))


def test_kannels_target_leaves_room_for_the_customer() -> None:
    before, middle, after = kannel.target().partition("{customer}")
    assert before.endswith("&to=")
    assert (middle, after) == ("{customer}", "")
    assert " " not in before


@pytest.mark.parametrize(
    ("status", "is_online"),
    [
        ("", False),
        ("No boxes connected\n carrier[carrier] SMPP: (online 1s, rcvd", False),
        ("smsbox:(none), (on-line 0d 0h)\n carrier[carrier] SMPP: (connecting, rcvd", False),
        ("smsbox:(none), (on-line 0d 0h)\n carrier[carrier] SMPP: (online 1s, rcvd", True),
    ],
)
def test_when_kannel_is_ready(status: str, is_online: bool) -> None:
    assert kannel.is_online(status) is is_online


def test_jasmin_stays_in_its_directory_and_on_the_loopback_interface() -> None:
    ports = {"smpp-server": 1, "router": 2, "jcli": 3, "amqp-broker": 4, "redis-client": 5}
    text = jasmin.configuration(ports=ports, spec=Path("/s.xml"), directory=Path("/d"), log_level="WARNING")
    read = configparser.RawConfigParser()
    read.read_string(text)
    assert {section: read.getint(section, "port") for section in ports} == ports
    for section in ports:
        assert read.get(section, "host", fallback=read.get(section, "bind", fallback="")) == "127.0.0.1"
    for section in read.sections():
        assert read.get(section, "log_file").startswith("/d/")
        assert read.get(section, "log_level") == "WARNING"
    assert read.get("amqp-broker", "spec") == "/s.xml"
    assert read.get("router", "store_path") == read.get("client-management", "store_path") == "/d"


def test_what_is_typed_into_jasmin() -> None:
    forms = jasmin.forms(2776, 30, Path("/d"))
    assert [form[0] for form in forms] == ["smppccm -a", "group -a", "user -a", "mtrouter -a", "smppccm -1 carrier"]
    assert all(form[-1] == "ok" for form in forms if len(form) > 1)  # a form without it is never saved
    assert {"port 2776", "submit_throughput 0", "logfile /d/connector.log"} <= set(forms[0])


def run(rate: float, cpu: float) -> Run:
    return Run(rate, cpu, ack_p50_ms=1.0, ack_p99_ms=2.0, tools_cpu_s_per_1000=0.01, load_average=0.5)


def row(name: str, path: str, runs: list[Run], hubs: list[Run] | None = None) -> table.Row:
    return table.Row(name, path, "SMPP → SMPP", "on disk", "window 1", runs, hubs or [])


def aim_of(found: table.Row) -> str:
    return table.figures([found])[2].split("|")[-2].strip()


def test_medians_are_of_each_figure() -> None:
    found = row("smshub", "transit", [run(100, 3), run(300, 1), run(200, 2)]).median
    assert (found.delivered_per_s, found.cpu_s_per_1000, found.ack_p99_ms) == (200, 2, 2.0)


def test_a_ratio_is_of_runs_that_stand_beside_each_other() -> None:
    hubs = [run(20_000, 0.05), run(2_000, 0.05), run(9_000, 0.1)]  # a machine that others slow down
    runs = [run(8_000, 0.2), run(800, 0.2), run(5_000, 0.1)]
    found = row("Kannel, file store", "application", runs, hubs)
    assert (found.times_rate, found.times_cpu, found.aim) == (2.5, pytest.approx(4), 2.0)
    assert aim_of(found) == "≥ 2: met"


def test_aims_that_are_not_met_and_rows_without() -> None:
    hubs = [run(20_000, 0.05)]
    assert aim_of(row("Jasmin, logs as installed", "application", [run(1_000, 1)], hubs)) == "≥ 30: NOT MET"
    assert aim_of(row("Jasmin, logs off", "application", [run(1_000, 1)], hubs)) == ""
    assert aim_of(row("smshub", "application", hubs)) == ""


def test_a_cost_too_small_to_count_makes_no_ratio() -> None:
    found = row("Kannel, no store", "transit", [run(1, 0.1)], [run(2, 0.0)])
    assert (found.times_rate, found.times_cpu) == (2, None)


def test_without_the_hub_nothing_is_compared() -> None:
    found = row("Kannel, file store", "transit", [run(1, 1)])
    assert (found.times_rate, found.times_cpu) == (None, None)
    assert aim_of(found) == ""


def test_runs_without_their_pairs_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = row("Kannel, file store", "transit", [run(1, 1), run(1, 1)], [run(2, 1)]).times_rate


def test_tables_are_even_and_show_each_gateway_once() -> None:
    hubs = [run(30_000, 0.04)]
    rows = [row("smshub", "transit", hubs), row("Kannel, no store", "transit", [run(15_000, 0.02)], hubs)]
    for made in (table.comparison(rows), table.figures(rows)):
        assert len({len(line) for line in made}) == 1
        assert [line.split("|")[2].strip() for line in made[2:]] == ["smshub", "Kannel, no store"]
    assert "| 30,000 " in table.figures(rows)[2]
    assert table.markdown(("a", "b"), []) == ["| a | b |", "| - | - |"]
    told = json.loads(json.dumps(table.report(rows[1])))
    assert (told["times_rate"], told["median"]["delivered_per_s"], told["runs"][0]["cpu_s_per_1000"]) == (
        2,
        15_000,
        0.02,
    )


def test_an_aim_names_a_gateway_that_is_measured() -> None:
    measured = {(kind.path, kind.name) for kind in (kannel.KannelHttp, kannel.KannelTransit, jasmin.JasminAsInstalled)}
    assert set(table.AIMS) == measured
    assert {field.name for field in dataclasses.fields(Run)} >= {"delivered_per_s", "cpu_s_per_1000"}


def test_an_answer_ends_where_its_length_says() -> None:
    for at in range(len(ANSWER)):
        assert answer_end(ANSWER[:at]) is None
    assert answer_end(ANSWER) == len(ANSWER)
    assert answer_end(ANSWER + b"HTTP/1.1 2") == len(ANSWER)
    assert answer_end(ANSWER.replace(b"Content-Length", b"content-length")) == len(ANSWER)
    assert answer_end(b"HTTP/1.1 204 No\r\nContent-Type: x\r\nContent-Length:0\r\n\r\n") == 54
    assert status_of(ANSWER) == "202"


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text\r\n\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4x\r\n\r\n",
        b"x" * (http_load.MAX_ANSWER + 1),
    ],
)
def test_an_answer_of_unknown_length_is_refused(octets: bytes) -> None:
    with pytest.raises(BadAnswer):
        answer_end(octets)


@pytest.mark.parametrize("octets", [b"", b"SSH-2.0-OpenSSH", b"HTTP/1.1 2x2 Odd", b"\0" * 40])
def test_what_is_not_http_has_no_status(octets: bytes) -> None:
    with pytest.raises(BadAnswer):
        status_of(octets)


def test_the_tool_answers_an_error_with_an_error() -> None:
    said = io.StringIO()
    command = {"do": "load", "port": 0, "target": "/{customer}", "connections": 1, "count": 1, "customer": 0}
    http_load.serve([json.dumps(command | {"within_s": 1})], said)
    answer = json.loads(said.getvalue())
    assert answer["acked"] == 0
    assert answer["error"]
