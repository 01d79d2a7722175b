from __future__ import annotations

import json

from meshwise.dashboard.components.figures import curve_figure, hedge_figure, latency_figure, traffic_figure
from support.findings import proposal, traffic


def test_the_curve_has_a_line_per_number_of_retries() -> None:
    """A candidate without an attempt timeout stands at its request timeout; intervals are drawn around each point."""
    curve = json.loads(proposal().evidence)["curve"]
    lines = {line.name: line for line in curve_figure(curve, 0.15).data}
    assert set(lines) == {"0 retries", "2 retries"}
    assert list(lines["0 retries"].x) == [1000.0]
    assert [round(gap, 6) for gap in lines["0 retries"].error_y.array] == [2.0]


def test_traffic_is_drawn_per_second() -> None:
    """A bucket of 300 requests in ten seconds is 30 a second; latencies are in milliseconds."""
    assert list(traffic_figure(traffic(2)).data[0].y) == [30.0, 30.0]
    assert list(latency_figure(traffic(2)).data[1].y) == [200.0, 200.0]


def test_hedges_tried() -> None:
    """Hedges are drawn as delay against p99, one line per policy they were put on, with the proposed delay marked."""
    point = {"request_timeout_s": 1.0, "success": 0.99, "amplification": 1.03}
    tried = [
        {**point, "attempt_timeout_s": attempt, "retries": retries, "hedge_delay_s": delay, "p99_good": 0.2}
        for attempt, retries in ((None, 0), (0.5, 1))
        for delay in (0.1, 0.05)
    ]
    figure = hedge_figure(tried, 0.05)
    assert {line.name: list(line.x) for line in figure.data} == {
        "1000 ms, 0 retries": [50.0, 100.0],
        "500 ms, 1 retry": [50.0, 100.0],
    }
    assert len(figure.layout.shapes) == 1
