import pytest

from meshwise.collector.admission import EXPANSION, MemoryLimit
from meshwise.collector.errors import Reason, RefusedError


def test_requests_are_charged_a_multiple_and_give_it_back() -> None:
    """A request holds eight times its size until it is answered."""
    memory = MemoryLimit(1000, 1.0)
    with memory.lease() as lease:
        lease.charge(10)
        lease.charge(20)
        lease.charge(5)
        assert memory.used == 20 * EXPANSION
    assert memory.used == 0


def test_beyond_the_limit_senders_are_told_to_wait() -> None:
    """A refusal for memory may be tried again, and what was charged before stays charged once."""
    memory = MemoryLimit(1000, 3.0)
    with memory.lease() as first, memory.lease() as second:
        first.charge(100)
        with pytest.raises(RefusedError) as refused:
            second.charge(100)
        assert (refused.value.reason, refused.value.retry_after_s) == (Reason.MEMORY, 3.0)
        assert memory.used == 800
    with memory.lease() as third:
        third.charge(100)


def test_one_request_may_take_everything() -> None:
    """The largest allowed request is admitted when nothing else is in flight."""
    memory = MemoryLimit(1000, 1.0)
    with memory.lease() as lease:
        lease.charge(10_000)
        assert memory.used == 1000
