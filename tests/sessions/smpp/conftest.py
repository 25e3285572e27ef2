"""What the tests of the shells share."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import trio


class Recorder:
    """An observer that remembers: ``recorder["bound"]`` is how often, ``labels`` what came with each."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.labels: list[tuple[str, dict[str, str]]] = []
        self._news = trio.Event()

    def count(self, event: str, **labels: str) -> None:
        self.events[event] += 1
        self.labels.append((event, labels))
        self._news.set()

    async def wait(self, event: str, times: int = 1, within_s: float = 5) -> None:
        """Until it has happened that often."""
        with trio.fail_after(within_s):
            while self.events[event] < times:
                self._news = trio.Event()
                await self._news.wait()

    def __getitem__(self, event: str) -> int:
        return self.events[event]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, made for this run."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.fail("openssl is missing: it makes the certificate of the TLS tests", pytrace=False)
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=smsc.test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:smsc.test",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))
