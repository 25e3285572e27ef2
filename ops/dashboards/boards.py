"""All dashboards."""

from __future__ import annotations

from typing import Final

from ops.dashboards.desks import DESKS
from ops.dashboards.links import LINKS
from ops.dashboards.overview import OVERVIEW
from ops.dashboards.panels import Board
from ops.dashboards.provisioning import PROVISIONING
from ops.dashboards.queues import QUEUES

BOARDS: Final[tuple[Board, ...]] = (OVERVIEW, LINKS, DESKS, QUEUES, PROVISIONING)
