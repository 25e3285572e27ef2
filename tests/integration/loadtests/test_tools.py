"""The load tools, tried on the real daemon: they count, and they notice when something is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from loadtests.bench import check, check_arrived
from loadtests.processes import HELPLINE, PASSWORD, Echo, HubProcess, Place, Tool, ToolFailed, free_ports
from loadtests.profile import table
from loadtests.wire import DELIVER_SM, FIRST_CUSTOMER, SUBMIT_SM, Template, receipts_of
from smpp.codec import decode, split_frames
from smpp.pdu import DeliverSm, SubmitSm
from smpp.receipt import read

MESSAGES = 200
WITHIN_S = 60.0


class Stage:
    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.place = Place(directory)
        self.carrier = stack.enter_context(Tool("loadtests.smsc_sink"))
        self.desk = stack.enter_context(Tool("loadtests.component_sink"))
        self.esme = stack.enter_context(Tool("loadtests.esme"))
        self.carrier.ask("listen", port=self.place.carrier_port)
        self.desk.ask("listen", port=self.place.desk_port)
        self.hub = stack.enter_context(HubProcess(self.place))
        self.carrier.ask("bound", WITHIN_S)
        self.desk.ask("bound", WITHIN_S)
        self.esme.ask("bind", WITHIN_S, port=self.place.smpp_port, binds=2, system_id="load", password=PASSWORD)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, tmp_path_factory.mktemp("hub"))


def test_a_closed_loop_from_account_to_link(stage: Stage) -> None:
    stage.carrier.ask("reset")
    run = stage.esme.ask("load", WITHIN_S, count=MESSAGES, window=20, customer=0)
    check(run, MESSAGES)
    arrived = stage.carrier.ask("expect", WITHIN_S, count=MESSAGES)
    assert arrived["count"] == MESSAGES
    assert run["first"] <= arrived["first"] <= arrived["last"]
    assert 0 < run["p50_ms"] <= run["p99_ms"] <= run["max_ms"]


def test_an_open_loop_keeps_its_rate(stage: Stage) -> None:
    stage.carrier.ask("reset")
    run = stage.esme.ask("load", WITHIN_S, count=MESSAGES, rate=1000.0, customer=1000)
    check(run, MESSAGES)
    check_arrived(stage.carrier.ask("expect", WITHIN_S, count=MESSAGES), MESSAGES)
    assert run["last"] - run["first"] > 0.9 * MESSAGES / 1000.0  # never faster than it was told


def test_receipts_come_back(stage: Stage) -> None:
    stage.carrier.ask("receipts", on=True, window=10)
    stage.esme.ask("reset")
    run = stage.esme.ask("load", WITHIN_S, count=MESSAGES, window=20, customer=2000, receipts=True)
    came = stage.esme.ask("receipts", WITHIN_S, count=MESSAGES)
    stage.carrier.ask("receipts", on=False)
    check(run, MESSAGES)
    assert came["count"] == MESSAGES


def test_from_link_to_desk(stage: Stage) -> None:
    stage.desk.ask("reset")
    run = stage.carrier.ask(
        "load", WITHIN_S, count=MESSAGES, window=50, customer=3000, destination=HELPLINE.removeprefix("+")
    )
    check(run, MESSAGES)
    assert stage.desk.ask("expect", WITHIN_S, count=MESSAGES)["count"] == MESSAGES


def test_what_is_missing_is_noticed(stage: Stage) -> None:
    stage.carrier.ask("reset")
    stage.carrier.tell("expect", count=1, within_s=0.1)
    with pytest.raises(ToolFailed, match="0 of 1"):
        check_arrived(stage.carrier.answer(), 1)
    with pytest.raises(ToolFailed, match="0x58"):
        check({"acked": 2, "statuses": {"0x0": 1, "0x58": 1}}, 2)


def test_the_echo_answers_everything() -> None:
    (port,) = free_ports(1)
    with Echo(port), Tool("loadtests.esme") as esme:
        esme.ask("bind", WITHIN_S, port=port, binds=2, system_id="load", password=PASSWORD)
        check(esme.ask("load", WITHIN_S, count=MESSAGES, window=20, customer=0), MESSAGES)


def test_cpu_and_memory_of_a_process(stage: Stage) -> None:
    assert stage.hub.cpu_s() > 0
    assert 20 < stage.hub.memory_mb() <= stage.hub.memory_mb("VmHWM") < 500


@pytest.mark.parametrize(("command_id", "varies"), [(SUBMIT_SM, "destination"), (DELIVER_SM, "source")])
def test_templates_are_what_the_codec_reads(command_id: int, varies: str) -> None:
    octets = Template(command_id, "12125550100", varies, b"hello", 1).frames(7, 3, FIRST_CUSTOMER + 5)
    frames, rest = split_frames(octets)
    assert rest == len(octets)
    pdus = [decode(frame) for frame in frames]
    for at, pdu in enumerate(pdus):
        assert isinstance(pdu, SubmitSm if command_id == SUBMIT_SM else DeliverSm)
        customer, other = pdu.destination_addr, pdu.source_addr
        if varies == "source":
            customer, other = other, customer
        assert (customer, other) == (f"1{FIRST_CUSTOMER + 5 + at}", "12125550100")
        assert (pdu.sequence_number, pdu.short_message, pdu.registered_delivery) == (7 + at, b"hello", 1)


def test_receipts_are_what_the_codec_reads() -> None:
    asked = Template(SUBMIT_SM, "12125550100", "destination", b"hello", 1).frames(1, 1, FIRST_CUSTOMER)
    (octets,) = receipts_of([asked], [b"0000002a"], 9)
    pdu = decode(octets)
    assert isinstance(pdu, DeliverSm)
    assert (pdu.sequence_number, pdu.source_addr, pdu.destination_addr) == (9, f"1{FIRST_CUSTOMER}", "12125550100")
    found = read(pdu.esm_class, pdu.short_message, pdu.data_coding, pdu.tlvs, 0)
    assert found is not None
    assert (found.message_id, found.state.value) == ("0000002a", "DELIVRD")


def test_shares_of_a_profile() -> None:
    lines = table("a (x.py:1);b (y.py:2) 3\na (x.py:1) 1\n")
    assert lines[1].split() == ["75.0%", "75.0%", "b", "(y.py)"]
    assert lines[2].split() == ["25.0%", "100.0%", "a", "(x.py)"]
