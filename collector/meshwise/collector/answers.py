"""From a RefusedError to OTLP's answer: the one place where status codes are chosen.

HTTP answers carry a ``google.rpc.Status`` in the encoding of the request, gRPC ones in ``grpc-status-details-bin``.
A sender may try again only after 429 and 503, or UNAVAILABLE or RESOURCE_EXHAUSTED with RetryInfo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from meshwise.collector.errors import Reason, RefusedError

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Codes:
    """One reason in both transports."""

    http: int
    grpc: grpc.StatusCode


CODES: Final = {
    Reason.MALFORMED: Codes(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.TOO_LARGE: Codes(413, grpc.StatusCode.RESOURCE_EXHAUSTED),
    Reason.TOO_MANY_ITEMS: Codes(413, grpc.StatusCode.RESOURCE_EXHAUSTED),
    Reason.UNSUPPORTED_TYPE: Codes(415, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.UNSUPPORTED_CODING: Codes(415, grpc.StatusCode.UNIMPLEMENTED),
    Reason.METHOD: Codes(405, grpc.StatusCode.UNIMPLEMENTED),
    Reason.NOT_FOUND: Codes(404, grpc.StatusCode.UNIMPLEMENTED),
    Reason.UNAUTHENTICATED: Codes(401, grpc.StatusCode.UNAUTHENTICATED),
    Reason.TOO_SLOW: Codes(408, grpc.StatusCode.DEADLINE_EXCEEDED),
    Reason.MEMORY: Codes(429, grpc.StatusCode.UNAVAILABLE),
    Reason.QUOTA: Codes(429, grpc.StatusCode.RESOURCE_EXHAUSTED),
    Reason.SPOOL_FULL: Codes(503, grpc.StatusCode.UNAVAILABLE),
    Reason.SPOOL_FAILED: Codes(503, grpc.StatusCode.UNAVAILABLE),
    Reason.DRAINING: Codes(503, grpc.StatusCode.UNAVAILABLE),
    Reason.FAULT: Codes(503, grpc.StatusCode.UNAVAILABLE),
}

_GRPC_NUMBERS: Final = {code: int(code.value[0]) for code in grpc.StatusCode}


def status_of(refusal: RefusedError) -> Status:
    """Build the ``google.rpc.Status`` of a refusal, with RetryInfo when trying again may work."""
    status = Status(code=_GRPC_NUMBERS[CODES[refusal.reason].grpc], message=refusal.message[:1000])
    if refusal.retry_after_s is not None:
        seconds = math.floor(refusal.retry_after_s)
        delay = Duration(seconds=seconds, nanos=round((refusal.retry_after_s - seconds) * 1e9))
        packed = PackedMessage()
        packed.Pack(RetryInfo(retry_delay=delay))
        status.details.append(packed)
    return status


def retry_after(refusal: RefusedError) -> str | None:
    """The Retry-After header, in whole seconds; nothing when trying again is pointless."""
    return None if refusal.retry_after_s is None else str(max(1, math.ceil(refusal.retry_after_s)))


def encode(message: Message, content_type: str) -> bytes:
    """Write an answer in the encoding of the request."""
    if content_type == JSON:
        return json_format.MessageToJson(message, indent=None).encode()
    return message.SerializeToString()
