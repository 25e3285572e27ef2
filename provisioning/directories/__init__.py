"""Adapters to the directories of carriers and the industry (H5).

``adapter`` is the contract; one module for each way that directories are spoken to.
"""

from provisioning.directories.adapter import Adapter, Answer, Finding, Listing, Task

__all__ = ["Adapter", "Answer", "Finding", "Listing", "Task"]
