"""Answers that a proxy makes itself, for HTTP/2."""

from __future__ import annotations

from meshwise.proxy.answers import own_fields, own_text
from meshwise.proxy.errors import ProxyError
from meshwise.proxy.http2 import grpc
from meshwise.proxy.http2.tables import Field


def local_answer(error: ProxyError, *, to_grpc: bool, to_head: bool = False) -> tuple[tuple[Field, ...], bytes]:
    """Return head and body: one line of text, or for a gRPC call trailers alone, which say the same."""
    if to_grpc:
        return ((b":status", b"200"), (b"content-type", grpc.CONTENT_TYPE), *grpc.local_trailers(error)), b""
    body = own_text(error)
    fields = ((b":status", b"%d" % error.status), (b"content-length", b"%d" % len(body)), *own_fields(error))
    return fields, b"" if to_head else body
