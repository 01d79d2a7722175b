"""Stamped requests are what an SDK would have sent: valid, different every time, in order."""

from itertools import pairwise

import pytest
from benchmarks.collector.python_decode import COLUMNS, rows_of
from benchmarks.collector.spans import SPANS, SPANS_PER_TRACE, templates

from meshwise.collector.signals import Signal
from meshwise.collector.validate import Limits, validate

NOW = 1_795_000_000_000_000_000


def test_every_span_of_a_stamped_request_is_accepted() -> None:
    """The collector finds nothing wrong with a stamped request."""
    verdict = validate(Signal.TRACES, templates(1)[0].stamp(NOW), Limits())
    assert (verdict.accepted, verdict.rejected) == (SPANS, 0)


def test_ids_are_new_every_time_and_spans_hang_together() -> None:
    """No two spans share an id; a trace has eight spans, each the child of the one before it."""
    template = templates(1)[0]
    rows = [dict(zip(COLUMNS, row, strict=True)) for _ in range(2) for row in rows_of(template.stamp(NOW))]
    assert len({row["SpanId"] for row in rows}) == 2 * SPANS
    assert len({row["TraceId"] for row in rows}) == 2 * SPANS // SPANS_PER_TRACE
    assert all(row["ParentSpanId"] == before["SpanId"] for before, row in pairwise(rows[:SPANS]))


@pytest.mark.parametrize("number", [0, 7])
def test_a_span_is_as_rich_as_promised(number: int) -> None:
    """Twenty attributes, one event, twelve resource attributes, and a start within the second before now."""
    row = dict(zip(COLUMNS, rows_of(templates(1)[0].stamp(NOW))[number], strict=True))
    assert len(row["SpanAttributes"]) == 20
    assert len(row["Events.Name"]) == 1
    assert len(row["ResourceAttributes"]) == 12
    assert NOW - 10**9 <= row["Timestamp"] < NOW
    assert row["Duration"] > 0
