"""Scenarios played by locust: applications, customers, a carrier and a desk around a real hub.

``python -m loadtests.locust SCENARIO``; loadtests/README.md says how to run it and how to read what it prints. Only
``loadtests.locust.__main__`` and what it alone imports stand on gevent: nothing else may, or a test would be patched.
"""

__all__: list[str] = []
