"""Merges stand back behind queries and inserts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshwise.store.background import MERGES, NICENESS, stand_back, stand_back_all


@pytest.fixture
def other() -> Iterator[int]:
    """A process whose priority may be changed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def task(directory: Path, thread: int, name: str) -> None:
    (directory / str(thread)).mkdir()
    (directory / str(thread) / "comm").write_text(f"{name}\n")


def test_only_threads_that_merge_stand_back(tmp_path: Path, other: int) -> None:
    """The priority of a thread that merges is lowered, once; those of others stay."""
    task(tmp_path, other, MERGES)
    mine = os.getpriority(os.PRIO_PROCESS, os.getpid())
    task(tmp_path, os.getpid(), "QueryPipeline")
    assert stand_back(tmp_path) == 1
    assert stand_back(tmp_path) == 1
    assert os.getpriority(os.PRIO_PROCESS, other) == max(NICENESS, mine)
    assert os.getpriority(os.PRIO_PROCESS, os.getpid()) == mine


def test_a_thread_that_ended_or_a_system_without_any_is_passed_over(tmp_path: Path) -> None:
    """Neither keeps a store from starting."""
    task(tmp_path, 2**30, MERGES)
    assert stand_back(tmp_path) == 0
    assert stand_back(tmp_path / "none") == 0
    assert stand_back_all(0.0, tmp_path) == 0
