"""The order of the suite."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: it runs on one core while the rest goes by on the others."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)
