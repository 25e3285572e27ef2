"""Grafana dashboards, as files, and the tables that they are made from."""

from ops.dashboards.boards import BOARDS
from ops.dashboards.panels import Board, Panel, Query, Row

__all__ = ["BOARDS", "Board", "Panel", "Query", "Row"]
