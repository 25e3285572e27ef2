"""A certificate for ports of ours that tests open on this machine, made for the run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """A certificate of ``localhost`` and 127.0.0.1, signed by itself, and its key. PEM."""

    cert_file: Path
    key_file: Path


def made_certificate(folder: Path) -> Certificate:
    """Make one, good for two days."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.fail("openssl is missing: it makes the certificates of the TLS tests", pytrace=False)
    folder.mkdir(exist_ok=True)
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subprocess.run(
        [openssl, "req", "-x509", *curve, "-days", "2", "-keyout", str(made.key_file), "-out", str(made.cert_file),
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
        check=True,
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    return made


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One for the run."""
    return made_certificate(tmp_path_factory.mktemp("certificate"))
