"""The daemon keeps to the rules of its configuration file, and its archive settings are read whole."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio

from ops import schema
from ops.archive import DirectoryShelf, ObjectArchive, S3Shelf
from ops.config import ConfigErrors, read_config
from ops.daemon import open_daemon
from ops.keeping import archive_in
from provisioning import CallCentre
from store import open_store
from tests.fixtures_keeping import DAY, Stock

CONFIGURATION = """
[store]
url = "sqlite:///hub.db"
[smpp]
port = 0
[metrics]
port = 0
[archive]
target = "directory:archive"
[[call_centre]]
name = "acme"
[[retention]]
name = "week"
call_centre = "acme"
period_days = 7
action = "archive"
"""


async def test_the_daemon_archives_what_is_due(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    schema.prepare(url)
    async with open_store(url, synchronous="OFF") as store:
        stock = Stock(store)
        stock.now_us = time.time_ns() // 1000
        await stock.add(CallCentre(name="acme"))
        old, young = await stock.put(8 * DAY), await stock.put(6 * DAY)
    config = read_config(CONFIGURATION, str(tmp_path / "hub.toml"), tmp_path)
    with trio.fail_after(60):
        async with open_daemon(config) as daemon:
            while not daemon.keeper.tally.archived:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.02)
            assert await Stock(daemon.store).ids() == [young]
    archive = ObjectArchive(DirectoryShelf(tmp_path / "archive"))
    assert [record.id for name in archive.shelf.names("") if name.endswith(".gz") for record in archive.load(name)] == [
        old
    ]


def test_the_settings_of_s3_hold_no_secret(tmp_path: Path) -> None:
    (tmp_path / "s3-secret").write_text("hush\n")
    words = """
[archive]
target = "s3:smshub-texts/production/"
format = "parquet"
s3_endpoint_url = "https://s3.example.net"
s3_region = "eu-central-1"
s3_access_key_env = "S3_ACCESS_KEY"
s3_secret_key_file = "s3-secret"
"""
    config = read_config(words, str(tmp_path / "hub.toml"), tmp_path)
    assert config.archive.target == "s3:smshub-texts/production"
    archive = archive_in(config, {"S3_ACCESS_KEY": "who"})
    assert archive is not None
    assert isinstance(archive.shelf, S3Shelf)
    assert archive.suffix == ".parquet"
    assert "hush" not in repr(config)


@pytest.mark.parametrize("target", ["directory:", "s3:", "s3:UPPER/x", "s3:texts/a b", "ftp:x", "archive"])
def test_a_target_that_is_none_is_told_with_its_line(tmp_path: Path, target: str) -> None:
    with pytest.raises(ConfigErrors, match=r"hub.toml:2: archive.target.*directory:/var"):
        read_config(f'[archive]\ntarget = "{target}"\n', "hub.toml", tmp_path)
