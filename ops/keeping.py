"""The daemon's keeper, as the settings ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hub.keeping import Keeper, KeepingSettings
from hub.keeping_rules import DAY_US
from ops.archive import ObjectArchive, archive_of
from ops.config import Config
from store import Store

MOST_AHEAD_US = 6 * 3_600_000_000  # a machine that slept, or whose clock was set right, is not yet suspicious


def archive_in(config: Config, environ: Mapping[str, str]) -> ObjectArchive | None:
    """The archive that a configuration names. Raises: BadValue; UnreadableSecret."""
    return archive_of(config.archive, Path(config.path).parent, environ)


def keeper_of(
    config: Config, store: Store, clock: Callable[[], int], environ: Mapping[str, str], holder: str = ""
) -> Keeper:
    """A keeper.

    Args:
        config: checked.
        store: the open store.
        clock: now in microseconds.
        environ: for secrets.
        holder: its name in the lease; the daemon's own when empty.

    Raises: BadValue; UnreadableSecret.
    """
    settings = KeepingSettings(
        feed_us=round(config.archive.keep_feed_days * DAY_US),
        account_days=config.archive.keep_account_days,
        most_ahead_us=MOST_AHEAD_US,
    )
    archive = archive_in(config, environ)
    return Keeper(store, clock, archive, settings, holder or f"daemon:{config.node.id}")
