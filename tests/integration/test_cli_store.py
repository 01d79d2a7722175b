"""The operator's verbs on a store, as processes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from meshwise.store.client import connect
from support.app_spans import AppSpan, send_spans
from support.processes import MESHWISE, run
from support.store import Store, running_store


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


def test_backfill_says_what_it_did(store: Store) -> None:
    """A backfill derives the edges of its window, tells how many rows changed, and changes none the second time."""
    caller = AppSpan("web", "CLIENT", time.time() - 600, attributes={"server.address": "cart.internal"})
    with connect(store.url) as client:
        send_spans(client, caller, caller.child("cart", "SERVER"))
    command = [*MESHWISE, "store", "backfill", "--store-url", store.url, "--since", "1h"]
    first = run(command)
    assert first[:2] == (0, "worked out 1 buckets with spans; 2 rows of the rollups changed\n"), first
    assert run(command)[1] == "worked out 1 buckets with spans; 0 rows of the rollups changed\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--since", "soon"], "--since: 'soon' is not a duration"),
        (["--start", "monday"], "--start: 'monday' is not a time"),
        (["--since", "1000h"], "cannot begin more than 34 days ago"),
        (["--end", "2026-01-01", "--start", "2026-01-02"], "cannot begin more than 34 days ago"),
    ],
)
def test_backfill_refuses_in_one_line(store: Store, arguments: list[str], line: str) -> None:
    """A window that cannot be read or filled is refused in one line that says why."""
    status, _, err = run([*MESHWISE, "store", "backfill", "--store-url", store.url, *arguments])
    assert status == 1
    assert line in err
    assert err.count("\n") == 1
