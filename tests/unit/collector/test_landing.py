from typing import cast

import pytest
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.collector.errors import StoreAwayError, StoreRefusedError
from meshwise.collector.landing import DATA_CODES, PUSHED, STREAM_BYTES, WAIT_CODES, ClickHouseLanding, stream
from meshwise.collector.signals import Signal
from meshwise.store.client import StoreAddress
from support.otlp import traces


def test_no_exception_means_both_bad_data_and_a_store_to_wait_for() -> None:
    """A code either puts records aside or waits, never both."""
    assert not DATA_CODES & WAIT_CODES


async def test_a_store_that_is_down_is_away_in_one_line() -> None:
    """Nobody listening is no fault of the data."""
    landing = ClickHouseLanding(StoreAddress("http://127.0.0.1:1/meshwise"), timeout_s=1.0)
    with pytest.raises(StoreAwayError, match="does not answer"):
        await landing.insert(Signal.TRACES, "token", ())
    await landing.close()


class FailingClient:
    """Answers every insert with one exception of the store, and counts them."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self.inserts = 0

    async def raw_insert(self, *_: object, **__: object) -> None:
        self.inserts += 1
        error = DatabaseError(self.problem)
        error.code = 395
        raise error


@pytest.mark.parametrize(("views", "inserts", "in_part"), [(1, 2, False), (2, 1, True)])
async def test_spans_go_another_way_only_while_nothing_is_written(views: int, inserts: int, in_part: bool) -> None:
    """An unusual value in the first view is written otherwise; one that a later view tells of is not stored twice."""
    client = FailingClient(f"unusual value {PUSHED} a {PUSHED if views > 1 else ''}")
    landing = ClickHouseLanding(StoreAddress("http://127.0.0.1:1/meshwise"), timeout_s=1.0)
    landing._client = cast("AsyncClient", client)
    with pytest.raises(StoreRefusedError) as refused:
        await landing.insert(Signal.TRACES, "token", [traces([1]).SerializeToString()])
    assert (client.inserts, refused.value.in_part) == (inserts, in_part)


@given(st.lists(st.integers(0, 3 * STREAM_BYTES), max_size=6))
@settings(deadline=None, max_examples=20)
async def test_a_body_is_streamed_whole_in_bounded_pieces(sizes: list[int]) -> None:
    """Small requests travel together, a large one in parts; every byte comes once and in order."""
    body = [bytes([number]) * size for number, size in enumerate(sizes)]
    pieces = [piece async for piece in stream(body)]
    assert b"".join(pieces) == b"".join(body)
    assert all(0 < len(piece) <= STREAM_BYTES for piece in pieces)
    assert len(pieces) <= 2 * sum(sizes) // STREAM_BYTES + 1
