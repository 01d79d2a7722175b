import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from meshwise.proxy.net.http_client import Answer
from meshwise.proxy.telemetry.backlog import Backlog, Payload
from meshwise.proxy.telemetry.delivery import MAX_WAIT_S, Verdict, judge, partial_success, retry_after

NOW_S = 1_790_000_000.0


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_pressure_is_sent_again(status: int) -> None:
    """The four retryable answers keep the payload, and say when."""
    verdict = judge(Answer(status, {"retry-after": "7"}, b""), 5, NOW_S)
    assert (verdict.again, verdict.wait_s, verdict.rejected) == (True, 7.0, 0)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 500, 501])
def test_any_other_refusal_is_final(status: int) -> None:
    """What cannot get better is counted as lost at once."""
    verdict = judge(Answer(status, {}, b""), 5, NOW_S)
    assert (verdict.again, verdict.rejected) == (False, 5)


def test_partial_success_is_read() -> None:
    """Rejected items are counted, a warning without rejection is passed on, full success is silent."""
    part = ExportTracePartialSuccess(rejected_spans=3, error_message="bad ids")
    body = ExportTraceServiceResponse(partial_success=part).SerializeToString()
    assert judge(Answer(200, {}, body), 10, NOW_S) == Verdict(rejected=3, problem="bad ids")
    assert judge(Answer(200, {}, body), 2, NOW_S).rejected == 2
    part = ExportTracePartialSuccess(error_message="slow down")
    assert partial_success(ExportTraceServiceResponse(partial_success=part).SerializeToString()) == (0, "slow down")
    assert judge(Answer(200, {}, b""), 10, NOW_S) == Verdict()


@given(st.binary(max_size=80))
def test_an_unreadable_answer_is_a_success(body: bytes) -> None:
    """Whatever follows a 200, nothing raises."""
    rejected, _ = partial_success(body)
    assert rejected >= 0


def test_retry_after_is_seconds_or_a_date() -> None:
    """Both forms are understood, within bounds; anything else is ignored."""
    assert retry_after("3", NOW_S) == 3.0
    assert retry_after("Mon, 21 Sep 2026 14:13:30 GMT", NOW_S) == 10.0
    assert retry_after("Mon, 21 Sep 2020 14:13:30 GMT", NOW_S) == 0.0
    assert retry_after("999999999999", NOW_S) == MAX_WAIT_S
    for text in ("", "soon", "-3", "²", "1.5"):
        assert retry_after(text, NOW_S) is None


@given(st.lists(st.integers(0, 120) | st.none() | st.just("restore")), st.integers(1, 200))
def test_the_backlog_keeps_its_bound_and_accounts_for_everything(steps: list[int | str | None], most: int) -> None:
    """Pushed = held + delivered + given up, whatever the order, and the weight never exceeds the bound."""
    backlog = Backlog(most)
    pushed = delivered = lost = 0
    for step in steps:
        if isinstance(step, int):
            lost += len(backlog.push(Payload("traces", bytes(step), 1)))
            pushed += 1
        elif backlog and step == "restore":
            payload = backlog.pop()
            lost += len(backlog.push(Payload("traces", b"xyz", 1)))
            pushed += 1
            lost += len(backlog.restore(payload))
        elif backlog:
            backlog.pop()
            delivered += 1
        assert backlog.held_bytes <= most
        assert pushed == len(backlog) + delivered + lost


def test_the_backlog_gives_up_the_oldest_and_keeps_order() -> None:
    """First in, first out; a payload put back is next again."""
    backlog = Backlog(10)
    first, second, third = (Payload("metrics", bytes(4), number) for number in (1, 2, 3))
    assert backlog.push(first) == backlog.push(second) == []
    assert backlog.push(third) == [first]
    taken = backlog.pop()
    assert taken is second
    assert backlog.restore(taken) == []
    assert [backlog.pop(), backlog.pop()] == [second, third]
