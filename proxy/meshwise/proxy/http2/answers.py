"""Answers that a proxy makes itself, for HTTP/2."""

from __future__ import annotations

from meshwise.contracts.telemetry import HEADER_ERROR
from meshwise.proxy.errors import ProxyError
from meshwise.proxy.http2 import grpc
from meshwise.proxy.http2.tables import Field


def local_answer(error: ProxyError, *, to_grpc: bool, to_head: bool = False) -> tuple[tuple[Field, ...], bytes]:
    """Return head and body: one line of text, or for a gRPC call trailers alone, which say the same."""
    if to_grpc:
        return ((b":status", b"200"), (b"content-type", grpc.CONTENT_TYPE), *grpc.local_trailers(error)), b""
    body = f"{error}\n".encode("utf-8", "replace")
    fields: tuple[Field, ...] = (
        (b":status", b"%d" % error.status),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (HEADER_ERROR.encode(), error.reason.encode()),
        *(((b"www-authenticate", error.challenge.encode()),) if error.challenge else ()),
    )
    if error.retry_after_s:
        fields = (*fields, (b"retry-after", b"%d" % error.retry_after_s))
    if error.location:
        fields = (*fields, (b"location", error.location.encode("latin-1")))
    return fields, b"" if to_head else body
