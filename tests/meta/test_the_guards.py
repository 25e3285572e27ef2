"""The guards of ``tests/conftest.py`` are tested too: a fence that nobody has leaned on may not be there."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

import tests.conftest as house

# TEST-NET-1 (RFC 5737): nobody's address. The guard must answer before the kernel does.
NOWHERE = "192.0.2.1"


def test_no_test_connects_outside_loopback() -> None:
    with socket.socket() as outgoing, pytest.raises(house.OutsideLoopback):
        outgoing.connect((NOWHERE, 9))


def test_no_test_sends_a_datagram_outside_loopback() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as outgoing, pytest.raises(house.OutsideLoopback):
        outgoing.sendto(b"", (NOWHERE, 9))


def test_no_test_asks_a_name_server() -> None:
    with pytest.raises(house.OutsideLoopback):
        socket.getaddrinfo("smsc.example", 2775)


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_no_test_listens_for_the_world(host: str) -> None:
    with socket.socket() as listener, pytest.raises(house.OutsideLoopback):
        listener.bind((host, 0))


def test_no_test_listens_where_a_real_service_would() -> None:
    with socket.socket() as listener, pytest.raises(house.OnStandardPort):
        listener.bind(("127.0.0.1", 2775))


def test_loopback_is_open(unused_tcp_port: int) -> None:
    address = ("127.0.0.1", unused_tcp_port)
    with socket.create_server(address) as listener, socket.create_connection(address):
        listener.accept()[0].close()


def test_ports_are_given_once(unused_tcp_port_factory: Callable[[], int]) -> None:
    ports = [unused_tcp_port_factory() for _ in range(20)]
    assert len(set(ports)) == 20
    assert not house.STANDARD_PORTS.intersection(ports)


def test_a_server_in_another_process_is_seen(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import socket; s = socket.create_server(('127.0.0.1', {unused_tcp_port})); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        monkeypatch.setattr(house, "STANDARD_PORTS", frozenset({unused_tcp_port}))
        found = house.listening()
        assert set(found) == {unused_tcp_port}
        assert house.is_ours(found[unused_tcp_port])
        server.communicate(b"\n")


def test_a_socket_of_another_session_is_not_ours() -> None:
    assert not house.is_ours("0")
