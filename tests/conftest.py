"""What every test gets, wherever it lives.

- Each ``tests/fixtures_*.py`` is a plugin: a real server or a foreign peer puts its fixtures there, and no list has to
  be kept. (``pythonpath = ["."]`` in pyproject.toml makes ``tests`` importable under ``--import-mode=importlib``.)
- The header says which foreign programs a result was got with.
- No test talks to anything outside this machine, and none listens where a real service would: `guard_sockets` sees the
  sockets of this process (libpq opens its own and is not seen), `guard_standard_ports` sees the servers it started.
- Hypothesis: profile ``ci`` unless ``--hypothesis-profile`` says otherwise; the same for people and machines, so that
  nothing passes at home and fails in CI.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, Verbosity, settings

from ops import logs

TESTS = Path(__file__).parent
ROOT = TESTS.parent

pytest_plugins = [f"tests.{path.stem}" for path in sorted(TESTS.glob("fixtures_*.py"))]

# Ports where the real services of a developer's machine live. A test server on one of them would be found by, or
# would hide, the real one.
STANDARD_PORTS = frozenset({25, 53, 80, 143, 443, 587, 2775, 3550, 5060, 5061, 5222, 5223, 5269, 5280, 5281, 5347})
STANDARD_PORTS |= frozenset({5432, 6379, 8000, 8080, 9090, 9100})

# Below 32768, where Linux takes the ports of outgoing connections from: nothing else grabs one between our look and
# the server's bind.
FIRST_PORT, LAST_PORT = 12_000, 32_000

# Every process that a test starts inherits this, even one that became a daemon.
SESSION_MARK = f"SMSHUB_TEST_SESSION={uuid.uuid4().hex}"


# --- Hypothesis -----------------------------------------------------------------------------------------------------

# No deadline: on a shared core a slow example is the neighbour's fault. The parent is named because Hypothesis takes
# another one, which repeats the same examples every time and remembers none, when it sees CI=true.
_bounded = {
    "parent": settings.get_profile("default"),
    "deadline": None,
    "print_blob": True,
    "derandomize": False,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("quick", max_examples=20, **_bounded)
settings.register_profile("ci", max_examples=100, **_bounded)
settings.register_profile("fuzz", max_examples=10_000, verbosity=Verbosity.normal, **_bounded)
settings.load_profile("ci")


# --- The header -----------------------------------------------------------------------------------------------------

# Where Debian keeps programs that it leaves out of PATH.
_EXTRA_PATH = [*sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True), "/usr/sbin"]
_PROGRAMS = {
    "PostgreSQL": ["postgres", "--version"],
    # Debian's file: Prosody takes no --version, it starts.
    "Prosody": ["cat", "/usr/lib/prosody/prosody.version"],
    "tshark": ["tshark", "--version"],
    "BIND": ["named", "-v"],
    "Knot": ["knotd", "--version"],
    "curl": ["curl", "--version"],
    "HAProxy": ["haproxy", "-v"],
    "Redis": ["redis-server", "--version"],
    "node": ["node", "--version"],
}
_PEERS = ["slixmpp", "smpplib", "zeep"]


def _program_versions() -> Iterator[str]:
    """One line of words for each foreign program; all are asked at once."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_EXTRA_PATH])
    asked = {}
    for name, (program, *arguments) in _PROGRAMS.items():
        found = shutil.which(program, path=path)
        asked[name] = found and subprocess.Popen(
            [found, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    for name, process in asked.items():
        if not process:
            yield f"{name} missing"
            continue
        output, _ = process.communicate(timeout=30)
        versions = [word for line in output.splitlines() for word in line.split() if word.lstrip("v")[:1].isdigit()]
        yield f"{name} {versions[0] if versions else 'unknown'}"


def _peer_versions() -> Iterator[str]:
    for name in _PEERS:
        found = sorted((ROOT / ".venv-peers").glob(f"lib/python3*/site-packages/{name}-*.dist-info"))
        yield f"{name} {found[0].name.split('-')[1].removesuffix('.dist')}" if found else f"{name} missing"


def pytest_report_header(config: pytest.Config) -> list[str]:
    if config.option.verbose < 0:
        return []
    return ["peers: " + ", ".join([*_program_versions(), *_peer_versions()])]


# --- Guards ---------------------------------------------------------------------------------------------------------


class OutsideLoopback(AssertionError):
    """A test reached for something that is not this machine."""


class OnStandardPort(AssertionError):
    """A test, or a server that it started, listens where a real service would."""


def _is_loopback(host: object) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False  # a name: finding its address would already ask a name server
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _check_socket_event(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: a socket opened by whatever Python code passes here. It must cost nothing for other events."""
    if event[:7] != "socket.":
        return
    if event == "socket.getaddrinfo":
        host = arguments[0]
        host = host.decode() if isinstance(host, bytes) else host
        # None means the wildcard or loopback; what is done with it is seen at bind and connect.
        if host not in (None, "") and not _is_loopback(host):
            raise OutsideLoopback(f"a test looked up {host!r}")
    elif event in ("socket.connect", "socket.bind", "socket.sendto"):
        connection, address = arguments
        if getattr(connection, "family", None) not in (socket.AF_INET, socket.AF_INET6):
            return
        if not isinstance(address, tuple):
            return
        if not _is_loopback(address[0]):
            raise OutsideLoopback(f"{event} to {address!r}: tests stay on 127.0.0.1 and ::1")
        if event == "socket.bind" and address[1] in STANDARD_PORTS:
            raise OnStandardPort(f"a test listens on {address!r}: take one from unused_tcp_port")


def listening() -> dict[int, str]:
    """The standard ports that something on this machine listens on, with the inode of the socket."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:  # not Linux: the check in this process is all there is
            continue
        for line in lines:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == "0A" and port in STANDARD_PORTS:  # 0A: LISTEN
                found[port] = fields[9]
    return found


def is_ours(inode: str) -> bool:
    """Whether a process started by this session holds the socket."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if SESSION_MARK.encode() not in (process / "environ").read_bytes():
                continue
            links = [os.readlink(fd) for fd in (process / "fd").iterdir()]
        except OSError:  # gone, or not ours to look at
            continue
        if f"socket:[{inode}]" in links:
            return True
    return False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--scale", type=int, default=1, help="how many times as long the tests that ask for `scale` are (1: make test)"
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what it runs in the background deaf to SIGINT, and whom we start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # By default structlog lets rich walk through the local variables of a traceback, which change under its feet.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])
    # A logger that keeps its first configuration would keep that of the test which first used it.
    configure = structlog.configure
    structlog.configure = lambda **given: configure(**{**given, "cache_logger_on_first_use": False})
    name, _, value = SESSION_MARK.partition("=")
    # Workers of xdist are started by the session that has the mark already; one mark for each process is enough.
    os.environ[name] = value
    sys.addaudithook(_check_socket_event)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """While the servers that a test started still run, see where they listen."""
    result = yield
    # Only these start servers; for thousands of others a look at the kernel's tables would cost more than the test.
    if any(TESTS / folder in item.path.parents for folder in ("integration", "faults")):
        for port, inode in listening().items():
            if is_ours(inode):
                raise OnStandardPort(f"something that {item.nodeid} started listens on port {port}")
    return result


# --- Fixtures -------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that a test gives in this process sets logging up for all of it; the next test has it as it was."""
    before = structlog.get_config()
    yield
    now = structlog.get_config()
    if now != before:
        structlog.configure(**before)
        logs.keep_to("info")
        # The demonstration logs to a file for as long as its process lives: this one goes on.
        file = getattr(now["logger_factory"], "_file", None)
        if str(getattr(file, "name", "")).endswith("/smshub.log"):
            file.close()


@pytest.fixture(scope="session")
def scale(pytestconfig: pytest.Config) -> int:
    """By how much a test may multiply its rounds: 1 in ``make test``, more in the long forms."""
    return int(pytestconfig.getoption("scale"))


@pytest.fixture(scope="session")
def unused_tcp_port_factory(worker_id: str) -> Callable[[], int]:
    """Gives ports of 127.0.0.1 that nothing listens on, each once.

    Every worker of pytest-xdist draws from a range of its own, and each process starts at another place in it.
    """
    worker = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    width = (LAST_PORT - FIRST_PORT) // 8
    first = FIRST_PORT + worker % 8 * width
    order = [first + (os.getpid() * 37 + step) % width for step in range(width)]
    ports = iter(port for port in order if port not in STANDARD_PORTS)

    def next_port() -> int:
        for port in ports:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        raise RuntimeError("no free port left for tests")

    return next_port


@pytest.fixture
def unused_tcp_port(unused_tcp_port_factory: Callable[[], int]) -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    return unused_tcp_port_factory()
