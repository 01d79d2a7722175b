"""What gRPC adds to HTTP/2."""

import pytest

from meshwise.proxy.errors import (
    BadRequest,
    ConnectFailed,
    NoRoute,
    Overflow,
    ProxyError,
    RequestTimeout,
    UpstreamReset,
)
from meshwise.proxy.http2 import grpc


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (b"1H", 3_600_000),
        (b"2M", 120_000),
        (b"3S", 3000),
        (b"250m", 250),
        (b"1500u", 2),
        (b"1n", 1),
        (b"0m", 0),
        (b"99999999H", 99_999_999),
    ],
)
def test_timeouts_of_every_unit(value: bytes, milliseconds: int) -> None:
    """Every unit is read as milliseconds, rounded up, and no more than eight digits hold."""
    assert grpc.timeout_ms(value) == milliseconds


@pytest.mark.parametrize("value", [b"", b"5", b"m", b"-1S", b"1.5S", b"999999999S", b"1 S", b"1s", b"1SS"])
def test_malformed_timeouts(value: bytes) -> None:
    """Anything but up to eight digits and a unit is no timeout."""
    assert grpc.timeout_ms(value) is None


@pytest.mark.parametrize(
    ("content_type", "is_grpc"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;charset=utf-8", True),
        (b"application/grpc-web", False),
        (b"application/json", False),
        (b"", False),
    ],
)
def test_content_type_tells_grpc(content_type: bytes, *, is_grpc: bool) -> None:
    """A call is known by its content type; grpc-web is another protocol."""
    assert grpc.is_grpc(content_type) is is_grpc


@pytest.mark.parametrize(
    ("values", "status"),
    [([], None), ([b"0"], 0), ([b"14"], 14), ([b"x"], 2), ([b"17"], 2), ([b""], 2), ([b"0", b"0"], 2)],
)
def test_status_of_trailers(values: list[bytes], status: int | None) -> None:
    """One known number is the status; two of them, or anything else, is UNKNOWN."""
    assert grpc.status_of([(b"grpc-status", value) for value in values]) == status


@pytest.mark.parametrize(
    ("values", "seconds"), [([], None), ([b"0"], 0.0), ([b"1500"], 1.5), ([b"-1"], -1.0), ([b"soon"], -1.0)]
)
def test_pushback(values: list[bytes], seconds: float | None) -> None:
    """A number is a wait; anything else forbids the retry."""
    assert grpc.pushback_s([(b"grpc-retry-pushback-ms", value) for value in values]) == seconds


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(0, "ok"), (1, "ok"), (2, "error"), (3, "ok"), (5, "ok"), (8, "ok"), (13, "error"), (14, "error"), (16, "ok")],
)
def test_outcome_follows_who_is_to_blame(status: int, outcome: str) -> None:
    """Statuses the server is to blame for are errors; those the caller brings about are not."""
    assert grpc.outcome_of(status, b"", trusted=True) == outcome


def test_reason_of_another_proxy_counts_only_from_a_proxy() -> None:
    """The reason tells a timeout from an error, but an application cannot claim one."""
    assert grpc.outcome_of(grpc.UNAVAILABLE, b"connect", trusted=True) == "connect"
    assert grpc.outcome_of(grpc.UNAVAILABLE, b"connect", trusted=False) == "error"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestTimeout("x"), "deadline-exceeded"),
        (ConnectFailed("x"), "unavailable"),
        (Overflow("x"), "unavailable"),
        (UpstreamReset("x"), "unavailable"),
        (NoRoute("x"), "unimplemented"),
        (BadRequest("x"), "internal"),
    ],
)
def test_answers_of_the_proxy_have_a_status(error: ProxyError, status: str) -> None:
    """What the proxy answers itself has the status gRPC's mapping gives."""
    assert grpc.CODES[grpc.local_status(error)] == status


def test_message_is_escaped() -> None:
    """A message is printable ASCII, whatever it says."""
    trailers = dict(grpc.local_trailers(NoRoute("50% of 'ä'\nno")))
    assert trailers[b"grpc-message"] == b"50%25 of '%C3%A4'%0Ano"
    assert trailers[b"x-meshwise-error"] == b"no_route"
