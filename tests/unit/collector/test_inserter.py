import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshwise.collector import quarantine
from meshwise.collector.errors import StoreAwayError, StoreRefusedError
from meshwise.collector.inserter import Inserter, Retry, StoreState
from meshwise.collector.landing import Body
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.signals import Signal
from meshwise.collector.spool import segment
from meshwise.collector.spool.backlog import Backlog, Sealed
from meshwise.collector.spool.directory import SpoolDirectory, SpoolSpace


class RecordingLanding:
    """Remembers what it took by token, as the store does, and fails as told."""

    def __init__(self, fault: Callable[[bytes], Exception | None]) -> None:
        self._fault = fault
        self.taken: dict[str, bytes] = {}
        self.calls = 0
        self._counted = asyncio.Condition()

    async def insert(self, signal: Signal, token: str, body: Body) -> None:
        assert signal is Signal.TRACES
        joined = b"".join(body)
        async with self._counted:
            self.calls += 1
            self._counted.notify_all()
        problem = self._fault(joined)
        if problem is not None:
            raise problem
        if joined:
            self.taken.setdefault(token, joined)

    def mend(self) -> None:
        """Fail no more."""
        self._fault = lambda _: None

    async def called(self, times: int) -> None:
        """Wait for so many inserts."""
        async with self._counted:
            await self._counted.wait_for(lambda: self.calls >= times)

    async def close(self) -> None:
        """Nothing to close."""

    @property
    def letters(self) -> list[str]:
        return sorted(b"".join(self.taken.values()).decode())


class Bench:
    def __init__(self, path: Path, landing: RecordingLanding) -> None:
        self.directory = SpoolDirectory(path)
        self.landing = landing
        self.metrics = CollectorMetrics()
        self.space = SpoolSpace(10**9, 0, 1.0)
        self.store = StoreState()
        self.inserter = Inserter(
            Signal.TRACES,
            Backlog(),
            landing,
            directory=self.directory,
            space=self.space,
            store=self.store,
            retry=Retry(0.0001, 0.0002),
            metrics=self.metrics,
        )

    def sealed(self, payloads: str) -> Sealed:
        data = segment.encode_header()
        for ordinal, letter in enumerate(payloads):
            data += segment.encode_head(ordinal, 1, letter.encode()) + letter.encode()
        path = self.directory.path_of("traces-1-a")
        path.write_bytes(data)
        self.space.add(len(data))
        return Sealed(Signal.TRACES, "traces-1-a", "id/traces-1-a", path, len(payloads), len(data), 0.0)

    def quarantined(self) -> list[str]:
        return sorted(path.read_text() for path in self.directory.quarantine.glob("*.otlp"))


def refuse(*bad: str, code: int = 33) -> Callable[[bytes], Exception | None]:
    return lambda body: StoreRefusedError(code, "bad") if any(letter in body.decode() for letter in bad) else None


async def test_a_segment_is_one_insert_and_then_gone(tmp_path: Path) -> None:
    """All records go in one insert under the segment's token; the file and its disk space are given back."""
    bench = Bench(tmp_path, RecordingLanding(lambda _: None))
    sealed = bench.sealed("abc")
    await bench.inserter.deliver(sealed)
    assert bench.landing.taken == {"id/traces-1-a": b"abc"}
    assert not sealed.path.exists()
    assert bench.space.used == 0
    assert bench.metrics.inserted.labels("traces")._value.get() == 3
    bench.directory.close()


async def test_a_store_that_is_away_is_tried_until_it_is_back(tmp_path: Path) -> None:
    """However often the insert fails, the segment stays, and goes in once."""
    left = 50

    def away(body: bytes) -> Exception | None:
        nonlocal left
        left -= 1
        return StoreAwayError("down") if left > 0 else None

    bench = Bench(tmp_path, RecordingLanding(away))
    await bench.inserter.deliver(bench.sealed("ab"))
    assert bench.landing.letters == ["a", "b"]
    assert bench.quarantined() == []
    assert bench.store.up is True
    bench.directory.close()


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.sampled_from("abcdefgh")))
async def test_poison_is_found_by_halving(tmp_path: Path, bad: set[str]) -> None:
    """Exactly the refused records are put aside; every other one is stored once, whichever they are."""
    bench = Bench(tmp_path, RecordingLanding(refuse(*bad)))
    before = set(bench.quarantined())
    await bench.inserter.deliver(bench.sealed("abcdefgh"))
    assert bench.landing.letters == sorted(set("abcdefgh") - bad)
    assert bad <= set(bench.quarantined()) <= bad | before
    bench.directory.close()


async def test_a_replay_of_a_half_done_search_stores_nothing_twice(tmp_path: Path) -> None:
    """After a crash in the middle of halving, the second run uses the same tokens for the same records."""
    landing = RecordingLanding(refuse("c"))
    for _ in range(2):
        bench = Bench(tmp_path, landing)
        await bench.inserter.deliver(bench.sealed("abcdefg"))
        bench.directory.close()
    assert landing.letters == list("abdefg")
    assert bench.quarantined() == ["c"]


async def test_what_is_stored_in_part_is_never_halved(tmp_path: Path) -> None:
    """A failure behind the tables may leave rows there: all is put aside as one request, to be sent under its token."""
    landing = RecordingLanding(lambda body: StoreRefusedError(395, "a view", in_part=True) if body else None)
    bench = Bench(tmp_path, landing)
    await bench.inserter.deliver(bench.sealed("abc"))
    assert bench.quarantined() == ["abc"]
    (entry,) = quarantine.entries(bench.directory.quarantine)
    assert (entry.items, entry.token) == (3, "id/traces-1-a")
    landing.mend()
    assert await quarantine.retry(entry, landing) is None
    assert landing.taken == {"id/traces-1-a": b"abc"}
    assert bench.quarantined() == []
    bench.directory.close()


async def test_an_exception_of_unknown_meaning_is_data_only_when_the_store_works(tmp_path: Path) -> None:
    """A code in no list counts as a data error after some tries, provided that the store takes an empty request."""
    bench = Bench(tmp_path, RecordingLanding(refuse("b", code=77_777)))
    await bench.inserter.deliver(bench.sealed("ab"))
    assert bench.landing.letters == ["a"]
    assert bench.quarantined() == ["b"]
    bench.directory.close()


async def test_a_broken_store_quarantines_nothing(tmp_path: Path) -> None:
    """A store that refuses everything is broken; the data is not, and waits."""
    bench = Bench(tmp_path, RecordingLanding(lambda _: StoreRefusedError(77_777, "all is wrong")))
    delivering = asyncio.create_task(bench.inserter.deliver(bench.sealed("ab")))
    await bench.landing.called(50)
    assert not delivering.done()
    assert bench.quarantined() == []
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert (bench.store.up, "all is wrong" in bench.store.problem) == (False, True)
    bench.directory.close()


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_grow_to_a_bound(failures: int, jitter: float) -> None:
    """A wait is at least half a second, at most thirty, and doubles from one in between."""
    wait = Retry(1.0, 30.0).wait(failures, jitter)
    whole = min(30.0, 2.0 ** min(failures - 1, 10))
    assert whole / 2 <= wait <= whole


async def test_one_success_wakes_the_others() -> None:
    """A signal that waits to try again does so as soon as another one got through."""
    store = StoreState()
    store.fails("down")
    waiting = asyncio.create_task(store.wait(60.0))
    await asyncio.sleep(0)
    store.works()
    await asyncio.wait_for(waiting, 5.0)
