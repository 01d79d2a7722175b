"""From rows to figures."""

from typing import Any

from benchmarks.collector.report import figures, plot
from benchmarks.figures import Figure, Unmeasured

KEYS = {
    "spans_per_s_end_to_end", "speedup_vs_python_decode", "bytes_per_span", "ack_p99_ms", "outage_rss_mb",
    "outage_catch_up_s", "map_24h_ms", "trace_by_id_ms", "crash_lost", "crash_duplicated",
}  # fmt: skip
OURS = {
    "measurement": "throughput",
    "collector": "meshwise",
    "spans_per_s": 160_000,
    "windows": [150_000, 170_000],
    "bytes_per_span": 90.0,
}
PLAIN = {**OURS, "collector": "decode in Python", "spans_per_s": 12_000, "windows": [10_000, 20_000, 16_000]}


def measured(key: str, rows: list[dict[str, Any]]) -> Figure:
    one = figures(rows, {})[key]
    assert isinstance(one, Figure)
    return one


def test_all_keys() -> None:
    """A run that measured nothing still names every figure, each with a reason."""
    found = figures([], {"throughput": "taskset is not installed"})
    assert found.keys() == KEYS
    assert all(isinstance(one, Unmeasured) and one.reason for one in found.values())


def test_the_rate_is_over_the_whole_run() -> None:
    """The figure counts from the first request to the last row; windows of the run are its spread."""
    rate = measured("spans_per_s_end_to_end", [PLAIN, OURS])
    assert (rate.value, rate.spread, rate.met) == (160_000, (150_000, 170_000), True)


def test_the_baseline_is_taken_at_its_steady_rate() -> None:
    """A short baseline run is not held against it: its median window counts."""
    assert measured("speedup_vs_python_decode", [PLAIN, OURS]).value == 10.0


def test_less_is_better_for_the_answer_and_the_outage() -> None:
    """Ceilings are met below their target."""
    rows = [
        *({"measurement": "acknowledgement", "p99_ms": late} for late in (20.0, 10.0, 30.0)),
        {"measurement": "outage", "rss_mb": 310.0, "catch_up_s": 12.0},
    ]
    assert measured("ack_p99_ms", rows).met is True
    assert measured("outage_rss_mb", rows).met is False
    assert measured("outage_catch_up_s", rows).met is True


def test_one_lost_span_is_one_too_many() -> None:
    """Nothing may be lost or doubled."""
    rows = [{"measurement": "crashes", "lost": 1, "duplicated": 0}]
    assert measured("crash_lost", rows).met is False
    assert measured("crash_duplicated", rows).met is True


def test_queries_count_at_the_largest_table() -> None:
    """The figures of queries are those of the most spans; the plot has a line each."""
    rows = [
        {
            "measurement": "queries",
            "spans": spans,
            "trace_ms": ms,
            "trace_spread_ms": [1.0, ms],
            "trace_by_time_ms": 2 * ms,
            "map_ms": 90.0,
            "map_spread_ms": [80.0, 99.0],
        }
        for spans, ms in ((1_000_000, 20.0), (50_000_000, 60.0))
    ]
    assert (measured("trace_by_id_ms", rows).value, measured("map_24h_ms", rows).value) == (60.0, 90.0)
    drawn = plot(rows)
    assert drawn.count("<polyline") == 3
    assert "50 M" in drawn
