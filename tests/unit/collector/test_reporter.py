from collections.abc import Sequence
from pathlib import Path

from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.pipeline import Pipeline
from meshwise.collector.reporter import Reporter
from meshwise.collector.settings import CollectorSettings
from meshwise.collector.spool.directory import SpoolSpace
from meshwise.contracts.errors import UnavailableError
from meshwise.contracts.rows import CollectorStats


class Bench:
    def __init__(self, quarantine: Path) -> None:
        self.metrics = CollectorMetrics()
        self.space = SpoolSpace(1000, 0, 1.0)
        self.rows: list[CollectorStats] = []
        self.away = False
        pipeline = Pipeline(CollectorSettings(data_dir=Path("unused")), {}, self.space, self.metrics)
        self.reporter = Reporter(
            pipeline,
            self.metrics,
            self.space,
            self.write,
            collector="c1",
            quarantine_dir=quarantine,
            interval_s=1.0,
        )

    async def write(self, rows: Sequence[CollectorStats]) -> None:
        if self.away:
            raise UnavailableError("down")
        self.rows = list(rows)

    def accepted(self) -> int:
        return next(row.accepted for row in self.rows if row.signal == "traces")


async def test_no_count_is_lost_while_the_store_is_away(tmp_path: Path) -> None:
    """Rows that the store did not take are in the next one that it takes, and in no later one."""
    bench = Bench(tmp_path)
    counter = bench.metrics.accepted.labels("traces")
    counter.inc(3)
    assert await bench.reporter.report(1.0, 1.0)
    assert bench.accepted() == 3
    bench.away = True
    counter.inc(4)
    assert not await bench.reporter.report(2.0, 2.0)
    bench.away = False
    counter.inc(5)
    assert await bench.reporter.report(3.0, 3.0)
    assert bench.accepted() == 9
    assert {row.interval_s for row in bench.rows} == {2.0}
    assert await bench.reporter.report(4.0, 4.0)
    assert bench.accepted() == 0


async def test_the_quarantine_counts_against_the_disk_limit(tmp_path: Path) -> None:
    """What people have to look at takes room from the spool until they do; then it is free again."""
    bench = Bench(tmp_path)
    kept = tmp_path / "traces-1-a-00000000.otlp"
    kept.write_bytes(bytes(900))
    await bench.reporter.look()
    assert bench.space.full
    assert bench.metrics.quarantine_records._value.get() == 1
    kept.unlink()
    await bench.reporter.look()
    assert not bench.space.full
