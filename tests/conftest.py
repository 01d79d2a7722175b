"""The order of the suite, and how many workers share it."""

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: it runs on one core while the rest goes by on the others."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


def pytest_xdist_auto_num_workers() -> int:
    """Have half as many workers again as cores: tests with real processes wait for them a third of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2
