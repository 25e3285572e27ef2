"""Jasmin with its RabbitMQ and its Redis, all three private.

It is installed into an environment of its own (``loadtests/peers/setup``): its pins are old, and it brings a package
called ``smpp``, as we do. It is told its carrier, user and route as an operator would: over jcli, its telnet console.

Its queues are declared without durable and its messages published without delivery_mode 2, and neither can be set: what
RabbitMQ holds for it is in memory, whatever RabbitMQ could do. It is measured twice: with its logs as they come (INFO,
which writes some lines for each text), and at its kindest, with warnings alone.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtests.peers.gateway import (
    LOOK_S,
    READY_S,
    Gateway,
    Logged,
    NotInstalled,
    is_listening,
    program,
    says,
    wait_until,
)
from loadtests.processes import PASSWORD, ROOT, Tool, ToolFailed, free_ports

ENVIRONMENT = ROOT / "var" / "peers-jasmin"
PYTHON = ENVIRONMENT / "bin" / "python"
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one in /usr/sbin changes to the system's user and node
BINDS = 4
WINDOW = 50  # with more, its answers only come later
GREETING = b"Session ref: "  # with a number behind it; a prompt comes with the first answer
PROMPTS = (b"jcli : ", b"> ")  # the second while a form is filled in

# jasmind locks a fixed name in /tmp, which a kill leaves behind; so that two can be on one machine, ours is elsewhere.
STARTER = """\
import runpy, sys, lockfile
name, real = sys.argv.pop(1), lockfile.FileLock
lockfile.FileLock = lambda _: real(name)
runpy.run_module("jasmin.bin.jasmind", run_name="__main__", alter_sys=True)
"""
SECTIONS = (
    *("smpp-server", "smpp-server-pb", "client-management", "service-smppclient", "sm-listener", "dlr", "amqp-broker"),
    *("http-api", "router", "deliversm-thrower", "dlr-thrower", "redis-client", "jcli", "interceptor-client"),
)
# A spec of AMQP 0-9-1 comes with the client library; Jasmin's own copy is not part of what pip installs.
SPEC = "txamqp/specs/standard/amqp0-9-1.stripped.xml"


def configuration(*, ports: dict[str, int], spec: Path, directory: Path, log_level: str) -> str:
    """jasmin.cfg.

    Args:
        ports: of "smpp-server", "smpp-server-pb", "client-management", "router", "jcli" (its own) and of "amqp-broker",
            "redis-client" (the others').
        spec: the description of AMQP.
        directory: where it may write.
        log_level: "INFO", "WARNING", …
    """
    more = {
        "amqp-broker": [f"spec = {spec}"],
        "jcli": ["authentication = False"],
        "client-management": [f"store_path = {directory}"],
        "router": [f"store_path = {directory}"],
    }
    lines = []
    for section in SECTIONS:
        lines += [f"[{section}]", f"log_level = {log_level}", f"log_file = {directory / section}.log"]
        if section in ports:
            lines.append(f"port = {ports[section]}")
            lines.append("host = 127.0.0.1" if section in ("amqp-broker", "redis-client") else "bind = 127.0.0.1")
        lines += more.get(section, [])
    return "\n".join(lines) + "\n"


def forms(carrier_port: int, log_level: int, directory: Path) -> list[list[str]]:
    """What is typed into jcli: forms, each ended by its last line.

    Args:
        carrier_port: of the SMSC.
        log_level: as a number of Python's logging.
        directory: for the connector's log.
    """
    connector = {
        "cid": "carrier",
        "host": "127.0.0.1",
        "port": carrier_port,
        "username": "hub",
        "password": PASSWORD,
        "submit_throughput": 0,  # its default is one a second
        "con_fail_delay": 1,
        "loglevel": log_level,
        "logfile": directory / "connector.log",
    }
    return [
        ["smppccm -a", *(f"{key} {value}" for key, value in connector.items()), "ok"],
        ["group -a", "gid load", "ok"],
        ["user -a", "uid load", "gid load", "username load", f"password {PASSWORD}", "ok"],
        ["mtrouter -a", "type DefaultRoute", "connector smppc(carrier)", "rate 0.0", "ok"],
        ["smppccm -1 carrier"],
    ]


class Jcli:
    """Its console. A context."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), READY_S)

    def __enter__(self) -> Jcli:
        self._read(lambda found: found.endswith(b"\n") and GREETING in found)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fill(self, form: list[str]) -> None:
        """Fill in a form. Raises: ToolFailed: it was refused."""
        for line in form[:-1]:
            self._type(line)
        give_up_at = time.monotonic() + READY_S
        while "uccessfully" not in (said := self._type(form[-1])):
            if time.monotonic() > give_up_at:
                raise ToolFailed(f"jcli refuses {form[0]!r}: {said}")
            time.sleep(LOOK_S)  # it opens its doors before it is connected to the broker

    def _type(self, line: str) -> str:
        self._socket.sendall(line.encode() + b"\r\n")
        return self._read(lambda found: found.endswith(PROMPTS))

    def _read(self, is_all: Callable[[bytes], bool]) -> str:
        found = b""
        while not is_all(found):
            received = self._socket.recv(65536)
            if not received:
                raise ToolFailed(f"jcli hung up after {found!r}")
            found += received
        return found.decode(errors="replace")


class Jasmin(Gateway):
    """SMPP in and out."""

    name = "Jasmin, logs off"
    path = "application"
    legs = "SMPP → SMPP"
    durability = "in RabbitMQ's memory"
    load = f"{BINDS} binds, window {WINDOW}"
    share = 10
    log_level = "WARNING"

    def versions(self) -> str:
        asked = "from importlib.metadata import version as of; print(of('jasmin'))"
        own = says(str(PYTHON), "-I", "-c", asked).strip()
        rabbitmq = says("dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server").partition("-")[0]
        redis = says("redis-server", "--version").partition("v=")[2].partition(" ")[0]
        return f"Jasmin {own}, RabbitMQ {rabbitmq or '?'}, Redis {redis}"

    def start(self) -> None:
        if not PYTHON.exists():
            raise NotInstalled(f"{PYTHON.relative_to(ROOT)} is not there: loadtests/peers/setup makes it")
        names = ("smpp-server", "smpp-server-pb", "client-management", "router", "jcli", "amqp-broker", "redis-client")
        numbers = free_ports(len(names) + 3)
        ports = dict(zip(names, numbers, strict=False))
        carrier_port, epmd_port, dist_port = numbers[len(names) :]
        self.carrier.ask("listen", port=carrier_port)
        self._redis(ports["redis-client"])
        self._rabbitmq(ports["amqp-broker"], epmd_port, dist_port)
        self._jasmind(ports)
        self._configure(ports["jcli"], carrier_port)
        self.carrier.ask("bound")
        self.tool = self.stack.enter_context(Tool("loadtests.esme"))
        self.tool.ask("bind", port=ports["smpp-server"], binds=BINDS, system_id="load", password=PASSWORD)

    def _redis(self, port: int) -> None:
        directory = self._folder("redis")
        redis = program("redis-server", "redis-server")
        command = [redis, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
        self.run(Logged(command, directory / "redis.log"))
        wait_until("listening (Redis)", lambda: is_listening(port), self)

    def _rabbitmq(self, port: int, epmd_port: int, dist_port: int) -> None:
        directory = self._folder("rabbitmq")
        environment = os.environ | {
            "HOME": str(directory),  # of its Erlang cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd_port),
            "RABBITMQ_NODENAME": f"peers{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(directory / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
        }
        # Without one there, Erlang starts a daemon that outlives it.
        epmd = [program("epmd", "erlang-base"), "-port", str(epmd_port), "-address", "127.0.0.1"]
        self.run(Logged(epmd, directory / "epmd.log", environment))
        wait_until("listening (epmd)", lambda: is_listening(epmd_port), self)
        self.run(Logged([program(RABBITMQ, "rabbitmq-server")], directory / "rabbitmq.log", environment))
        wait_until("listening (RabbitMQ)", lambda: is_listening(port), self)

    def _jasmind(self, ports: dict[str, int]) -> None:
        directory = self._folder("jasmin")
        config = directory / "jasmin.cfg"
        (spec,) = ENVIRONMENT.glob(f"lib/python3*/site-packages/{SPEC}")
        config.write_text(configuration(ports=ports, spec=spec, directory=directory, log_level=self.log_level))
        command = [str(PYTHON), "-I", "-c", STARTER, str(directory / "lock")]
        command += ["--config", str(config), "--disable-http-api"]
        environment = os.environ | {"ROOT_PATH": str(directory), "LOG_PATH": str(directory)}
        self.run(Logged(command, directory / "jasmind.log", environment))
        for name in ("jcli", "smpp-server"):
            wait_until(f"listening ({name})", lambda name=name: is_listening(ports[name]), self)  # type: ignore[misc]

    def _configure(self, port: int, carrier_port: int) -> None:
        level = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}[self.log_level]
        with Jcli(port) as jcli:
            for form in forms(carrier_port, level, self.directory / "jasmin"):
                jcli.fill(form)

    def _folder(self, name: str) -> Path:
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        return directory

    def send(self, count: int, customer: int) -> dict[str, Any]:
        return self.tool.ask("load", 300, count=count, window=WINDOW, customer=customer)


class JasminAsInstalled(Jasmin):
    """The same with the logs that it comes with."""

    name = "Jasmin, logs as installed"
    log_level = "INFO"
