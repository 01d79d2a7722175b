"""The order of the suite, and how many workers share it."""

import gc
import os
import shutil
import tempfile
from collections.abc import Generator

import pytest

from support.store import SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: it runs on one core while the rest goes by on the others."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


def pytest_configure(config: pytest.Config) -> None:
    """Give the run, whose workers inherit it, a directory for what is made once."""
    if not hasattr(config, "workerinput"):
        os.environ[SHARED] = tempfile.mkdtemp(prefix="meshwise-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(SHARED), ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests, not garbage: what is imported for five thousand of them stays, and is looked through in vain."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """Have half as many workers again as cores: tests with real processes wait for them a third of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2
