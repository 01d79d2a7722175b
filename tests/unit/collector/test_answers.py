import json

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from meshwise.collector.answers import CODES, JSON, PROTOBUF, encode, retry_after, status_of
from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.signals import Signal, success

RETRYABLE_HTTP = {429, 502, 503, 504}


def test_every_reason_has_codes() -> None:
    """No refusal can end in an answer nobody chose."""
    assert set(CODES) == set(Reason)


@pytest.mark.parametrize("reason", list(Reason))
def test_both_transports_agree_on_trying_again(reason: Reason) -> None:
    """What HTTP senders may retry, gRPC senders may retry, and nothing else."""
    codes = CODES[reason]
    retryable = codes.grpc in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    # RESOURCE_EXHAUSTED is final by itself; a quota's refusal always says how long to wait, which makes it retryable.
    retryable = retryable or reason is Reason.QUOTA
    assert retryable == (codes.http in RETRYABLE_HTTP or reason is Reason.TOO_SLOW)


def test_waiting_travels_in_both_forms() -> None:
    """Retry-After is whole seconds, RetryInfo exact."""
    refusal = RefusedError(Reason.SPOOL_FULL, "full", retry_after_s=2.5)
    info = RetryInfo()
    assert status_of(refusal).details[0].Unpack(info)
    assert (info.retry_delay.seconds, info.retry_delay.nanos) == (2, 500_000_000)
    assert retry_after(refusal) == "3"


def test_final_refusals_carry_no_wait() -> None:
    """RESOURCE_EXHAUSTED with RetryInfo would be tried again, so a request too large has none."""
    refusal = RefusedError(Reason.TOO_LARGE, "too large")
    assert not status_of(refusal).details
    assert retry_after(refusal) is None


def test_errors_speak_the_language_of_the_request() -> None:
    """The same Status as protobuf and as JSON."""
    status = status_of(RefusedError(Reason.MALFORMED, "bad"))
    assert Status.FromString(encode(status, PROTOBUF)) == status
    assert json.loads(encode(status, JSON)) == {"code": 3, "message": "bad"}


@pytest.mark.parametrize("signal", list(Signal))
def test_partial_success_is_unset_when_all_is_well(signal: Signal) -> None:
    """Full success is an empty message; otherwise the count and the reason are there."""
    assert success(signal, 0, "").SerializeToString() == b""
    answer = json.loads(encode(success(signal, 3, "because"), JSON))["partialSuccess"]
    assert answer["errorMessage"] == "because"
    assert [value for key, value in answer.items() if key.startswith("rejected")] == ["3"]


def test_messages_stay_short() -> None:
    """An answer never grows with what the sender sent."""
    assert len(status_of(RefusedError(Reason.MALFORMED, "x" * 10**6)).message) == 1000
    assert len(success(Signal.LOGS, 1, "x" * 10**6).SerializeToString()) < 1100
