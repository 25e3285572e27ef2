"""Other gateways beside the hub: same machine, same load, same carrier, in one run (``python -m loadtests.peers``)."""

__all__: list[str] = []
