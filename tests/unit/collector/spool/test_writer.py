import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.signals import Signal
from meshwise.collector.spool import segment, writer
from meshwise.collector.spool.backlog import Backlog, Sealed
from meshwise.collector.spool.directory import SpoolDirectory, SpoolSpace
from meshwise.collector.spool.writer import SealRule, SpoolWriter


class Bench:
    """A running writer over a fresh directory."""

    def __init__(self, path: Path, rule: SealRule) -> None:
        self.directory = SpoolDirectory(path)
        self.space = SpoolSpace(10**9, 0, 1.0)
        self.backlog = Backlog()
        self.writer = SpoolWriter(
            Signal.TRACES, self.directory, self.space, self.backlog, rule=rule, metrics=CollectorMetrics()
        )

    def on_disk(self) -> list[segment.Contents]:
        names = self.directory.names(Signal.TRACES)
        return [segment.decode(self.directory.path_of(name).read_bytes()) for name in names]


@contextlib.asynccontextmanager
async def running(path: Path, *, size: int = 10**6, age: float = 3600.0) -> AsyncIterator[Bench]:
    bench = Bench(path, SealRule(size, age, retry_after_s=1.0))
    task = asyncio.create_task(bench.writer.run())
    try:
        yield bench
    finally:
        bench.writer.close()
        await task
        bench.directory.close()


async def test_what_is_acknowledged_is_on_disk(tmp_path: Path) -> None:
    """When append returns, the record can be read from the file."""
    async with running(tmp_path) as bench:
        await bench.writer.append(b"one", 3)
        await asyncio.gather(*(bench.writer.append(b"more", 1) for _ in range(20)))
        (contents,) = bench.on_disk()
        assert [record.id for record in contents.records] == list(range(21))
        assert contents.items == 23
        assert bench.space.used == contents.sound_bytes


async def test_those_who_wait_share_one_commit(tmp_path: Path) -> None:
    """Requests that arrive together cost one fdatasync, not one each."""
    async with running(tmp_path) as bench:
        await asyncio.gather(*(bench.writer.append(b"x", 1) for _ in range(50)))
        metrics = bench.writer._metrics
        assert metrics.spool_commits.labels("traces")._value.get() <= 2


async def test_a_full_segment_is_sealed_at_once(tmp_path: Path) -> None:
    """Size seals without waiting for age, and the next record opens a new file."""
    async with running(tmp_path, size=100) as bench:
        await bench.writer.append(bytes(200), 1)
        await bench.writer.append(b"next", 1)
        first = await bench.backlog.take()
        assert first.items == 1
        assert len(bench.on_disk()) == 2


async def test_closing_seals_what_is_open(tmp_path: Path) -> None:
    """The end of the writer leaves every record in the backlog and takes no more."""
    async with running(tmp_path) as bench:
        await bench.writer.append(b"one", 1)
    assert (await bench.backlog.take()).items == 1
    with pytest.raises(RefusedError) as refused:
        await bench.writer.append(b"late", 1)
    assert refused.value.reason is Reason.DRAINING


async def test_age_waits_while_the_inserter_is_behind(tmp_path: Path) -> None:
    """While a sealed segment waits, the open one grows instead of being sealed; taking the one releases the other."""
    async with running(tmp_path, age=0.001) as bench:
        waiting = Sealed(Signal.TRACES, "before", "token", tmp_path / "before", 1, 1, 0.0)
        bench.backlog.put(waiting)
        for _ in range(5):
            await bench.writer.append(b"more", 1)
            await asyncio.sleep(0.002)
        assert bench.backlog.waiting == 1
        assert await bench.backlog.take() is waiting
        assert (await bench.backlog.take()).items == 5


async def test_a_failed_write_refuses_the_group_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk fails, those senders may retry, earlier records stay, and later ones go to a new file."""
    async with running(tmp_path) as bench:
        await bench.writer.append(b"good", 1)

        def fail(handle: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", fail)
            with pytest.raises(RefusedError) as refused:
                await bench.writer.append(b"never acknowledged", 1)
        assert refused.value.reason is Reason.SPOOL_FAILED
        assert refused.value.retry_after_s is not None
        await bench.writer.append(b"later", 1)
        assert [[r.payload for r in c.records] for c in bench.on_disk()] == [[b"good"], [b"later"]]


async def test_a_sender_that_leaves_does_not_disturb_the_group(tmp_path: Path) -> None:
    """Cancelling one append leaves the others acknowledged."""
    async with running(tmp_path) as bench:
        leaving = asyncio.create_task(bench.writer.append(b"leaving", 1))
        staying = asyncio.create_task(bench.writer.append(b"staying", 1))
        await asyncio.sleep(0)
        leaving.cancel()
        await staying
        (contents,) = bench.on_disk()
        assert b"staying" in [record.payload for record in contents.records]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(1, 20))
def test_every_byte_is_written_whatever_a_call_takes(buffers: list[bytes], most: int) -> None:
    """Short writes are continued where they stopped."""
    out = bytearray()

    def short(handle: int, views: list[memoryview]) -> int:
        taken = b"".join(views)[:most]
        out.extend(taken)
        return len(taken)

    writer.write_all(0, buffers, short)
    assert bytes(out) == b"".join(buffers)


def test_many_buffers_exceed_no_limit_of_the_kernel(tmp_path: Path) -> None:
    """A group of thousands of small requests is written in several calls."""
    handle = os.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    writer.write_all(handle, [b"ab"] * 5000)
    os.close(handle)
    assert (tmp_path / "f").stat().st_size == 10_000
