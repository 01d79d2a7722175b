"""From rows to figures, table and plot."""

from typing import Any

import pytest
from benchmarks.figures import Figure, Unmeasured
from benchmarks.proxy.report import figures, plot, summary, table

KEYS = {
    "rps_vs_envoy_traced", "p99_vs_envoy_traced", "rps_vs_best_python_peer", "rps_mtls_vs_envoy_mtls",
    "grpc_rps_vs_envoy", "added_p50_us", "added_p99_us", "idle_rss_mb", "rss_1000_conns_mb", "start_s",
    "inprocess_overhead_us",
}  # fmt: skip


def rows(proxy: str, rates: list[int], p99: float) -> list[dict[str, Any]]:
    return [
        {"measurement": "throughput", "proxy": proxy, "rps": rate, "p99_us": p99, "spans": rate, "requests": rate}
        for rate in rates
    ]


SPEED = [
    *rows("meshwise", [90, 100, 130], 30.0),
    *rows("envoy", [100, 100, 100], 20.0),
    *rows("aiohttp", [50, 50, 50], 99.0),
    *rows("proxy.py", [10, 10, 10], 99.0),
]


def measured(key: str, absent: dict[str, str] | None = None, found: list[dict[str, Any]] | None = None) -> Any:
    return figures(SPEED if found is None else found, absent or {})[key]


def test_all_keys() -> None:
    """A run that measured nothing still names every figure, each with a reason."""
    found = figures([], {"throughput": "wrk is not installed"})
    assert found.keys() == KEYS
    assert all(isinstance(one, Unmeasured) and one.reason for one in found.values())


def test_rate_against_envoy() -> None:
    """Rates are divided round by round; the median is the figure, the range its spread, and more is better."""
    one = measured("rps_vs_envoy_traced")
    assert (one.value, one.spread, one.met) == (1.0, (0.9, 1.3), True)


def test_tail_against_envoy() -> None:
    """A longer tail than Envoy's misses the target."""
    one = measured("p99_vs_envoy_traced")
    assert (one.value, one.met) == (1.5, False)


def test_best_python_peer() -> None:
    """We are compared with the faster of the Python peers."""
    assert measured("rps_vs_best_python_peer").value == 2.0


def test_dropped_spans() -> None:
    """A round in which we dropped spans is none of ours."""
    found = [{**row, "spans": 0} if row["proxy"] == "meshwise" else row for row in SPEED]
    assert isinstance(measured("rps_vs_envoy_traced", found=found), Unmeasured)


def test_missing_peer() -> None:
    """Without Envoy the ratio is not measured, and says what to do."""
    found = [row for row in SPEED if row["proxy"] != "envoy"]
    assert measured("rps_vs_envoy_traced", {"envoy": "install it"}, found) == Unmeasured("install it")


def test_added_latency() -> None:
    """What we add is our latency less that of a direct call."""
    found = [
        {"measurement": "latency", "proxy": proxy, "p50_us": p50, "p99_us": p50 * 2}
        for proxy, p50 in (("direct", 10.0), ("meshwise", 210.0), ("envoy", 260.0))
    ]
    assert measured("added_p50_us", found=found).value == 200.0
    assert measured("added_p99_us", found=found).value == 400.0


def test_in_process_overhead() -> None:
    """What the in-process mode adds is its call less that of bare httpx, round by round; less than nothing too."""
    found = [
        {"measurement": "in-process", "proxy": name, "us": us}
        for name, us in (("bare httpx", 300.0), ("httpx, in process", 250.0), ("bare httpx", 310.0))
    ] + [{"measurement": "in-process", "proxy": "httpx, in process", "us": 320.0}]
    one = measured("inprocess_overhead_us", found=found)
    assert (one.value, one.spread) == (-20.0, (-50.0, 10.0))
    assert measured("inprocess_overhead_us", {"in-process": "no httpx"}) == Unmeasured("no httpx")


@pytest.mark.parametrize(("key", "value", "met"), [("idle_rss_mb", 61.0, False), ("start_s", 0.9, True)])
def test_footprint(key: str, value: float, met: bool) -> None:
    """Memory and start are met when they are not above their target."""
    row = {"measurement": "footprint", "proxy": "meshwise", key: value}
    row |= {other: 1.0 for other in ("idle_rss_mb", "rss_1000_conns_mb", "start_s") if other != key}
    assert measured(key, found=[row]).met is met


def test_table() -> None:
    """The table holds the medians, a line a proxy."""
    text = table(SPEED, "throughput", {"rps": "requests/s"})
    assert text.splitlines()[2:4] == ["| meshwise | 100 |", "| envoy | 100 |"]


def test_summary() -> None:
    """A missed target is told from a kept one, and from what was not measured."""
    text = summary({"a": Figure(0.5, "ratio", (0.4, 0.6), 1.0), "b": Unmeasured("no peer")})
    assert "| `a` | 0.5 | 0.4–0.6 | ≥ 1 | **no** |" in text
    assert "not measured: no peer" in text


def test_plot() -> None:
    """Every proxy has its bar, the fastest the longest."""
    text = plot(SPEED)
    assert text.count('<rect x="150"') == 4
    assert 'width="420.0"' in text
