"""Charging records (X6): what happened to each text, for whoever bills it.

``records`` says what a record is, ``ts32298`` and ``ber`` how 3GPP writes it, ``csv_twin`` how a spreadsheet reads it;
``files`` puts them into files that are whole or not there, and ``follower`` does so with each event of the feed, once.
"""

from __future__ import annotations

from ops.charging.files import Spool, SpoolState
from ops.charging.follower import ChargingFollower, open_follower
from ops.charging.records import Record

__all__ = ["ChargingFollower", "Record", "Spool", "SpoolState", "open_follower"]
