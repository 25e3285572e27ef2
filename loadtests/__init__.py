"""Measurements: of the whole daemon (``bench``), and of the ways to its databases (``store_batching``)."""

__all__: list[str] = []
