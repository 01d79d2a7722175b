"""OTLP/gRPC: generic handlers that take and give bytes, so a request is parsed once, by the validator.

To the library they are calls that stream: then it is ours to ask for the message, once we know who calls and that there
is room. A message nobody may send is never read, and one that does not come is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import grpc
import grpc.aio
import structlog

from meshwise.collector.answers import CODES, status_of
from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.pipeline import Pipeline
from meshwise.collector.receivers.tls import grpc_certificate
from meshwise.collector.signals import DOORS, Signal, success
from meshwise.collector.tenancy import Sender, Senders

log = structlog.get_logger(__name__)

GZIP_MARK: Final = b"\x1f\x8b"
"""No OTLP request begins so: it would be field 3 with a wire type that does not exist."""
KNOWN_CODINGS: Final = 0b101
"""Identity and gzip, in gRPC's numbering; others are answered UNIMPLEMENTED by the library."""
FRAME_SLACK: Final = 1024
"""A message a little over the limit still reaches us and gets a clear answer."""

Context = grpc.aio.ServicerContext[bytes, bytes]
Export = Callable[[object, Context], Awaitable[bytes]]


class GrpcReceiver:
    """The three Export methods."""

    def __init__(self, pipeline: Pipeline, senders: Senders, body_timeout_s: float) -> None:
        self._pipeline = pipeline
        self._senders = senders
        self._timeout_s = body_timeout_s

    def handlers(self) -> tuple[grpc.GenericRpcHandler[bytes, bytes], ...]:
        """Handlers for a server; other methods of these services answer UNIMPLEMENTED."""
        found = []
        for door in DOORS.values():
            service, method = door.grpc_method.strip("/").split("/")
            handler = grpc.stream_unary_rpc_method_handler(self._export_of(door.signal))
            found.append(grpc.method_handlers_generic_handler(service, {method: handler}))
        return tuple(found)

    def _export_of(self, signal: Signal) -> Export:
        async def export(_messages: object, context: Context) -> bytes:
            sender = None
            try:
                sender = self._authorize(context)
                with self._pipeline.admit(sender) as lease:
                    body = await self._message(context)
                    coding = "gzip" if body.startswith(GZIP_MARK) else ""
                    verdict = await self._pipeline.accept(
                        signal, body, lease, transport="grpc", coding=coding, sender=sender
                    )
                return success(signal, verdict.rejected, verdict.message).SerializeToString()
            except RefusedError as refusal:
                self._pipeline.refused(signal, refusal, sender)
                await _abort(context, refusal)

        return export

    async def _message(self, context: Context) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                message = await context.read()
        except TimeoutError:
            raise RefusedError(Reason.TOO_SLOW, f"the message did not arrive within {self._timeout_s:g} s") from None
        if not isinstance(message, bytes):
            raise RefusedError(Reason.MALFORMED, "the call ended before a whole message")
        return message

    def _authorize(self, context: Context) -> Sender:
        given = next((value for key, value in context.invocation_metadata() or () if key == "authorization"), "")
        return self._senders.identify(given, grpc_certificate(context.auth_context()))


async def _abort(context: Context, refusal: RefusedError) -> NoReturn:
    details = (("grpc-status-details-bin", status_of(refusal).SerializeToString()),)
    await context.abort(CODES[refusal.reason].grpc, refusal.message, details)


def build_server(receiver: GrpcReceiver, max_body_bytes: int) -> grpc.aio.Server:
    """Build the server, not yet listening. Messages reach us as they were sent: gzip is undone with a bound, by us."""
    limit = max_body_bytes + FRAME_SLACK
    options = (
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", 4 * 1024 * 1024),
        # The library would unpack a bomb whole before looking at its size.
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", KNOWN_CODINGS),
        ("grpc.so_reuseport", 0),
        # Of requests that never end, one connection holds no more than this.
        ("grpc.max_concurrent_streams", 100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    )
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(receiver.handlers())
    return server
