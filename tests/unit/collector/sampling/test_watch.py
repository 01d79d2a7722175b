import random

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from meshwise.collector.sampling.watch import LEARNT_AFTER, Rules, Watch
from support.otlp import traces

NOTHING = Rules(errors=False, slow_s=0, slow_share=0, rare_per_minute=0)
MS = 1_000_000


def request(number: int, *, name: str = "a", ms: float = 1.0, failed: bool = False) -> bytes:
    """One span of trace ``number``."""
    made = traces([number])
    span = made.resource_spans[0].scope_spans[0].spans[0]
    span.name = name
    span.end_time_unix_nano = span.start_time_unix_nano + int(ms * MS)
    span.status.code = Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET
    return made.SerializeToString()


def trace(number: int) -> bytes:
    return ExportTraceServiceRequest.FromString(request(number)).resource_spans[0].scope_spans[0].spans[0].trace_id


def test_errors_and_slow_spans_make_their_trace_matter() -> None:
    """One failed or slow span is enough, whatever comes before and after it."""
    watch = Watch(Rules(slow_s=0.5, slow_share=0, rare_per_minute=0))
    watch.learn(request(1, failed=True), 0.0)
    watch.learn(request(1), 0.0)
    watch.learn(request(2), 0.0)
    watch.learn(request(3, ms=500), 0.0)
    assert [trace(number) in watch for number in (1, 2, 3)] == [True, False, True]
    nothing = Watch(NOTHING)
    nothing.learn(request(1, failed=True, ms=10_000), 0.0)
    assert trace(1) not in nothing


def test_slow_is_what_is_slow_for_its_route() -> None:
    """About the slowest share of each route is kept; a route that is always slow is not slow."""
    watch = Watch(Rules(errors=False, slow_s=0, slow_share=0.05, rare_per_minute=0))
    rng = random.Random(1)
    kept = {"fast": 0, "slow": 0}
    spans = 6000
    for number in range(2 * spans):
        name = "fast" if number % 2 else "slow"
        watch.learn(request(number, name=name, ms=rng.lognormvariate(0, 1) * (1 if name == "fast" else 100)), 0.0)
        kept[name] += trace(number) in watch
    for name, count in kept.items():
        assert count / spans == pytest.approx(0.05, abs=0.02), name


def test_slowness_is_not_believed_before_it_was_learnt() -> None:
    """The first spans of a route are never slow."""
    watch = Watch(Rules(errors=False, slow_s=0, slow_share=0.01, rare_per_minute=0))
    for number in range(LEARNT_AFTER):
        watch.learn(request(number, ms=number + 1), 0.0)
        assert trace(number) not in watch


def test_rare_routes_are_kept_a_few_times_a_minute() -> None:
    """The first of each route in each minute, not the many."""
    watch = Watch(Rules(errors=False, slow_s=0, slow_share=0, rare_per_minute=2))
    for number in range(6):
        watch.learn(request(number, name="busy"), 59.0)
    watch.learn(request(7, name="rare"), 59.0)
    watch.learn(request(8, name="busy"), 60.0)
    assert [trace(number) in watch for number in (0, 1, 2, 5, 7, 8)] == [True, True, False, False, True, True]


def test_memory_is_bounded() -> None:
    """The oldest traces are forgotten and counted; routes beyond the limit are one route."""
    watch = Watch(Rules(slow_share=0, rare_per_minute=1, most_traces=3, most_routes=2))
    for number in range(6):
        watch.learn(request(number, name=f"route {number}", failed=number < 4), 0.0)
    assert watch.forgotten == 1
    assert [number for number in range(6) if trace(number) in watch] == [1, 2, 3]
