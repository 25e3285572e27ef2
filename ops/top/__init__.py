"""``smshub top``: a daemon's metrics, shown in a terminal as they change. ``app`` alone needs Textual."""

from __future__ import annotations

from ops.top.reading import NobodyThere, NoMetrics, Reader, read_sample
from ops.top.samples import Sample
from ops.top.view import Following, Row, View

__all__ = ["Following", "NoMetrics", "NobodyThere", "Reader", "Row", "Sample", "View", "read_sample"]
