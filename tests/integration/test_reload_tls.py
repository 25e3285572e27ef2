"""A certificate of the hub's own port is renewed: who connects from then on is shown it, who is connected stays."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import trio

from ops.config import load_config
from ops.daemon import open_daemon
from smpp.codec import encode
from smpp.pdu import EnquireLink

CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
tls_port = {port}
tls_cert_file = "hub.pem"
tls_key_file = "hub.key"
max_unbound = 3
[metrics]
port = 0
"""


def certify(folder: Path, name: str) -> None:
    """Make a certificate that signs itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.fail("openssl is missing: it makes the certificates of the TLS tests", pytrace=False)
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        [openssl, *words, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", "/CN=hub.test"],
        check=True,
        capture_output=True,
        cwd=folder,
        timeout=60,
    )


def renew(folder: Path) -> None:
    certify(folder, "new")
    for ending in ("key", "pem"):
        (folder / f"new.{ending}").replace(folder / f"hub.{ending}")


async def connect(port: int) -> tuple[trio.SSLStream[trio.SocketStream], bytes]:
    """Connect. Returns: the connection, and what certificate was shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # each certificate signs itself
    stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", port), context, https_compatible=True)
    await stream.do_handshake()
    shown = stream.getpeercert(binary_form=True)
    assert isinstance(shown, bytes)
    return stream, shown


async def test_a_renewed_certificate_is_shown_and_nobody_is_dropped(tmp_path: Path, unused_tcp_port: int) -> None:
    path, broken = tmp_path / "smshub.toml", tmp_path / "hub.key"
    path.write_text(CONFIGURATION.format(port=unused_tcp_port))
    certify(tmp_path, "hub")
    with trio.fail_after(60):
        async with open_daemon(load_config(path)) as daemon:
            first, old = await connect(unused_tcp_port)
            renew(tmp_path)
            assert (await daemon.reload("test")).state == "done"
            second, new = await connect(unused_tcp_port)
            assert new != old
            assert new == ssl.PEM_cert_to_DER_cert((tmp_path / "hub.pem").read_text())
            await first.send_all(encode(EnquireLink(sequence_number=7)))
            assert (await first.receive_some(16))[4:8].hex() in ("80000015", "80000000"), "the old connection lives"

            # A key that does not fit is refused, and the certificate before it stays.
            certify(tmp_path, "other")
            (tmp_path / "other.key").replace(broken)
            answer = await daemon.reload("test")
            assert answer.state == "refused"
            assert "smpp.tls_cert_file" in answer.errors[0]
            third, shown = await connect(unused_tcp_port)
            assert shown == new
            for stream in (first, second, third):
                await trio.aclose_forcefully(stream)
