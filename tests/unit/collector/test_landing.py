import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.collector.errors import StoreAwayError
from meshwise.collector.landing import DATA_CODES, STREAM_BYTES, WAIT_CODES, ClickHouseLanding, stream
from meshwise.collector.signals import Signal
from meshwise.store.client import StoreAddress


def test_no_exception_means_both_bad_data_and_a_store_to_wait_for() -> None:
    """A code either puts records aside or waits, never both."""
    assert not DATA_CODES & WAIT_CODES


async def test_a_store_that_is_down_is_away_in_one_line() -> None:
    """Nobody listening is no fault of the data."""
    landing = ClickHouseLanding(StoreAddress("http://127.0.0.1:1/meshwise"), timeout_s=1.0)
    with pytest.raises(StoreAwayError, match="does not answer"):
        await landing.insert(Signal.TRACES, "token", ())
    await landing.close()


@given(st.lists(st.integers(0, 3 * STREAM_BYTES), max_size=6))
@settings(deadline=None, max_examples=20)
async def test_a_body_is_streamed_whole_in_bounded_pieces(sizes: list[int]) -> None:
    """Small requests travel together, a large one in parts; every byte comes once and in order."""
    body = [bytes([number]) * size for number, size in enumerate(sizes)]
    pieces = [piece async for piece in stream(body)]
    assert b"".join(pieces) == b"".join(body)
    assert all(0 < len(piece) <= STREAM_BYTES for piece in pieces)
    assert len(pieces) <= 2 * sum(sizes) // STREAM_BYTES + 1
