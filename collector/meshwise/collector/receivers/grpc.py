"""OTLP/gRPC: generic handlers that take and give bytes, so a request is parsed once, by the validator.

To the library they are calls that stream: then it is ours to ask for the message, once we know who calls and that there
is room. A message nobody may send is never read, and one that does not come is given up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import grpc
import grpc.aio
import structlog

from meshwise.collector.answers import CODES, status_of
from meshwise.collector.errors import Reason, RefusedError, fault
from meshwise.collector.pipeline import Pipeline
from meshwise.collector.receivers.tls import grpc_certificate
from meshwise.collector.signals import DOORS, Signal, success
from meshwise.collector.tenancy import Sender, Senders
from meshwise.collector.turns import Turns

log = structlog.get_logger(__name__)

GZIP_MARK: Final = b"\x1f\x8b"
"""No OTLP request begins so: it would be field 3 with a wire type that does not exist."""
KNOWN_CODINGS: Final = 0b101
"""Identity and gzip, in gRPC's numbering; others are answered UNIMPLEMENTED by the library."""
FRAME_SLACK: Final = 1024
"""A message a little over the limit still reaches us and gets a clear answer."""

MOST_CALLS: Final = 100
"""Calls of one connection at once; each holds no more than the window of its stream until it gets its turn."""

Context = grpc.aio.ServicerContext[bytes, bytes]
Export = Callable[[object, Context], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """How often a client may ping, and how soon one that is gone is noticed: seconds.

    SDKs and collectors ping every ten seconds or less often, most with no call under way. A server that is not told
    allows one in five minutes, and ends the connection of who pings more.
    """

    least_s: float = 5.0
    idle_s: float = 60.0
    """Silence after which the server pings."""
    answer_s: float = 20.0
    """Time a client has to answer that."""

    def options(self) -> tuple[tuple[str, int], ...]:
        """Return the server's channel arguments."""
        return (
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", round(self.least_s * 1000)),
            ("grpc.keepalive_time_ms", round(self.idle_s * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.answer_s * 1000)),
            ("grpc.http2.ping_timeout_ms", round(self.answer_s * 1000)),
            # Otherwise it pings twice, and no more until there is something to send.
            ("grpc.http2.max_pings_without_data", 0),
        )


class GrpcReceiver:
    """The three Export methods; ``turns`` bound what is under way of messages that are not yet whole."""

    def __init__(self, pipeline: Pipeline, senders: Senders, turns: Turns) -> None:
        self._pipeline = pipeline
        self._senders = senders
        self._turns = turns

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
            except Exception:
                log.exception("request failed", method=DOORS[signal].grpc_method)
                self._pipeline.refused(signal, fault(), sender)
                await _abort(context, fault())

        return export

    async def _message(self, context: Context) -> bytes:
        message = await self._turns.read(context.read)
        if not isinstance(message, bytes):
            raise RefusedError(Reason.MALFORMED, "the call ended before a whole message")
        return message

    def _authorize(self, context: Context) -> Sender:
        given = next((value for key, value in context.invocation_metadata() or () if key == "authorization"), "")
        return self._senders.identify(given, grpc_certificate(context.auth_context()))


async def _abort(context: Context, refusal: RefusedError) -> NoReturn:
    details = (("grpc-status-details-bin", status_of(refusal).SerializeToString()),)
    await context.abort(CODES[refusal.reason].grpc, refusal.message, details)


def build_server(receiver: GrpcReceiver, max_body_bytes: int, keep_alive: KeepAlive | None = None) -> grpc.aio.Server:
    """Build the server, not yet listening. Messages reach us as they were sent: gzip is undone with a bound, by us."""
    limit = max_body_bytes + FRAME_SLACK
    options = (
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", 4 * 1024 * 1024),
        # The library would unpack a bomb whole before looking at its size.
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", KNOWN_CODINGS),
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", MOST_CALLS),
        # On a fast line the window of a stream would grow to megabytes, for messages whose turn has not come as well.
        ("grpc.http2.bdp_probe", 0),
        *(keep_alive or KeepAlive()).options(),
    )
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(receiver.handlers())
    return server
