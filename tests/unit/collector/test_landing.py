import pytest

from meshwise.collector.errors import StoreAwayError
from meshwise.collector.landing import DATA_CODES, WAIT_CODES, ClickHouseLanding
from meshwise.collector.signals import Signal


def test_no_exception_means_both_bad_data_and_a_store_to_wait_for() -> None:
    """A code either puts records aside or waits, never both."""
    assert not DATA_CODES & WAIT_CODES


async def test_a_store_that_is_down_is_away_in_one_line() -> None:
    """Nobody listening is no fault of the data."""
    landing = ClickHouseLanding("http://127.0.0.1:1/meshwise", "", "", timeout_s=1.0)
    with pytest.raises(StoreAwayError, match="does not answer"):
        await landing.insert(Signal.TRACES, "token", b"")
    await landing.close()
