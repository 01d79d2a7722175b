import os
import random
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from meshwise.collector.sampling.sampler import SAMPLE_RATE, Sampler, Thinned
from meshwise.collector.sampling.threshold import SPAN, adjusted_count, threshold_of
from meshwise.collector.sampling.watch import Rules
from meshwise.collector.spool.segment import Record

NOTHING = Rules(errors=False, slow_s=0, slow_share=0, rare_per_minute=0)
ERRORS = Rules(errors=True, slow_s=0, slow_share=0, rare_per_minute=0)


def record(spans: list[Span], *, ordinal: int = 0, service: str = "cart") -> Record:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    group.scope_spans.add().spans.extend(spans)
    return Record(ordinal, len(spans), request.SerializeToString())


def span(randomness: int, *, state: str = "", failed: bool = False) -> Span:
    made = Span(
        trace_id=b"\x01" + bytes(8) + randomness.to_bytes(7, "big"),
        span_id=b"12345678",
        trace_state=state,
        start_time_unix_nano=1,
        end_time_unix_nano=2,
    )
    made.status.code = Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET
    return made


def spans_in(thinned: Thinned) -> list[Span]:
    requests = [ExportTraceServiceRequest.FromString(bytes(one.payload)) for one in thinned.records]
    return [one for r in requests for g in r.resource_spans for s in g.scope_spans for one in s.spans]


def rate(found: Span) -> int | None:
    return next((one.value.int_value for one in found.attributes if one.key == SAMPLE_RATE), None)


def test_chance_keeps_a_share_and_says_what_each_stands_for() -> None:
    """Randomness below the threshold goes; what stays carries the threshold and HyperDX's rate; the rest is counted."""
    sampler = Sampler(0.25, NOTHING, 0.0)
    low, high = span(SPAN // 2), span(3 * SPAN // 4, state="a=b")
    thinned = sampler.thin([record([low, high]), record([low], ordinal=1)])
    (kept,) = spans_in(thinned)
    assert (thinned.dropped, [one.items for one in thinned.records]) == (2, [1])
    assert (kept.trace_id, kept.trace_state, rate(kept)) == (high.trace_id, "ot=th:c,a=b", 4)


def test_thresholds_of_earlier_samplers_are_honoured() -> None:
    """A span sampled more strongly before stays as it came; one sampled less is judged by the same randomness."""
    sampler = Sampler(0.5, NOTHING, 0.0)
    stronger, weaker = span(SPAN - 1, state="ot=th:c"), span(SPAN // 2, state="ot=th:4")
    gone = span(SPAN // 2 - 1, state="ot=th:4")
    explicit = span(0, state="ot=rv:ffffffffffffff")
    kept = spans_in(sampler.thin([record([stronger, weaker, gone, explicit])]))
    assert [one.trace_state for one in kept] == ["ot=th:c", "ot=th:8", "ot=th:8;rv:ffffffffffffff"]


def test_a_record_that_stays_whole_keeps_its_bytes() -> None:
    """What nothing is taken out of is not written anew."""
    sampler = Sampler(0.5, ERRORS, 0.0)
    failed = record([span(0, failed=True), span(0)])
    assert sampler.thin([failed]) == Thinned((failed,), 0)


def test_a_trace_that_matters_is_kept_wherever_its_spans_are() -> None:
    """Spans of one trace in several requests and segments stay together; they stand for themselves alone."""
    sampler = Sampler(0.01, ERRORS, 0.0)
    early, late, other = record([span(5)]), record([span(5, failed=True)], ordinal=1), record([span(6)])
    sampler.learn(bytes(late.payload))
    first = sampler.thin([early, other])
    assert [(one.trace_id[-1], one.trace_state, rate(one)) for one in spans_in(first)] == [(5, "", None)]
    after_restart = Sampler(0.01, ERRORS, 0.0).thin([early, late])
    assert len(spans_in(after_restart)) == 2


def test_counts_come_out_right_on_average() -> None:
    """Adjusted counts of everything that stays add up to what was there, errors counted once, the rest by weight."""
    rng = random.Random(4)
    sampler = Sampler(0.1, ERRORS, 0.0)
    total = 20_000
    spans = [span(rng.randrange(SPAN), failed=rng.random() < 0.02) for _ in range(total)]
    errors = sum(one.status.code == 2 for one in spans)
    records = [record(spans[at : at + 1000], ordinal=at) for at in range(0, total, 1000)]
    thinned = sampler.thin(records)
    kept = spans_in(thinned)
    assert sum(one.status.code == 2 for one in kept) == errors
    assert sum(adjusted_count(threshold_of(one.trace_state)) for one in kept) == pytest.approx(total, rel=0.06)
    assert len(kept) + thinned.dropped == total


def test_a_segment_waits_for_the_rest_of_its_traces(tmp_path: Path) -> None:
    """From its last record on, and never longer than that, whatever the clock does; without rules not at all."""
    file = tmp_path / "segment"
    file.write_bytes(b"")
    os.utime(file, (1000, 1000))
    sampler = Sampler(0.5, ERRORS, 10.0)
    assert [sampler.wait_left(file, now) for now in (1000.0, 1004.0, 1010.0, 5000.0, 0.0)] == [10, 6, 0, 0, 10]
    assert Sampler(0.5, NOTHING, 10.0).wait_left(file, 1000.0) == 0
    assert sampler.wait_left(tmp_path / "gone", 1000.0) == 0
