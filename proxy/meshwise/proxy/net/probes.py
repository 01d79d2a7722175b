"""One health check of one endpoint: by HTTP, by gRPC's health service, or by a mere connection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from time import monotonic
from typing import Final, cast

from meshwise.contracts.policy import HealthCheck
from meshwise.contracts.telemetry import HEADER_ATTEMPT
from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.errors import ProxyError
from meshwise.proxy.http2.codes import PROTOCOL_ERROR, ConnectionFault
from meshwise.proxy.http2.limits import Limits
from meshwise.proxy.http2.session import Session
from meshwise.proxy.http2.streams import Stream, StreamOwner
from meshwise.proxy.http2.tables import Field
from meshwise.proxy.net.connecting import Connector

AGENT: Final = b"meshwise-health-check"
MOST_BYTES: Final = 16_384
"""Read of an answer at most; its first line is all that counts."""
_ATTEMPT: Final = HEADER_ATTEMPT.encode()
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_CHECK: Final = b"/grpc.health.v1.Health/Check"
_REQUEST: Final = b"\x00\x00\x00\x00\x00"
"""A ``HealthCheckRequest`` for the server as a whole, which is empty, with its length before it."""
_SERVING: Final = b"\x00\x00\x00\x00\x02\x08\x01"
"""A ``HealthCheckResponse`` with the status SERVING. source: grpc.health.v1."""


async def probe(connector: Connector, cluster: Cluster, endpoint: EndpointState, params: HealthCheck) -> str:
    """Check ``endpoint`` once, within the policy's timeout; return what is wrong, empty when nothing is."""
    taker: _Probe
    if params.type == "grpc":
        taker = GrpcProbe(cluster.name)
    elif params.type == "http":
        taker = HttpProbe(cluster.name, params.path)
    else:
        taker = _Probe()
    try:
        async with asyncio.timeout(params.timeout):
            await connector.open(taker, cluster, endpoint)
            return await taker.result
    except TimeoutError:
        return f"no answer within {params.timeout:g} s"
    except OSError as error:
        return error.strerror or str(error) or "no connection"
    finally:
        taker.close()


class _Probe(asyncio.Protocol):
    """A mere connection: to have it is to be well."""

    def __init__(self) -> None:
        self.result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = cast("asyncio.Transport", transport)
        self.begin(self.transport)

    def begin(self, transport: asyncio.Transport) -> None:  # noqa: ARG002
        """Ask; here there is nothing to ask."""
        self.settle("")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The endpoint has gone."""
        self.settle("the connection was closed before an answer")

    def settle(self, problem: str) -> None:
        """Give the result, once."""
        if not self.result.done():
            self.result.set_result(problem)

    def close(self) -> None:
        """Be gone at once."""
        if self.transport is not None:
            self.transport.abort()


class HttpProbe(_Probe):
    """A GET of ``path``; any 2xx is well."""

    def __init__(self, host: str, path: str) -> None:
        super().__init__()
        self._request = b"GET %b HTTP/1.1\r\nhost: %b\r\nuser-agent: %b\r\n%b: 0\r\nconnection: close\r\n\r\n" % (
            path.encode(),
            host.encode(),
            AGENT,
            _ATTEMPT,
        )
        self._answer = b""

    def begin(self, transport: asyncio.Transport) -> None:
        """Ask."""
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer."""
        self._answer += data
        line, end, _ = self._answer.partition(b"\n")
        if not end and len(self._answer) < MOST_BYTES:
            return
        found = _STATUS.match(line)
        if found is None:
            self.settle("the answer is not HTTP")
        else:
            self.settle("" if found[1][:1] == b"2" else f"the answer was {found[1].decode()}")


class GrpcProbe(_Probe):
    """A call of ``grpc.health.v1.Health/Check``; SERVING is well. Both owner of the session and of its one stream."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host.encode()
        self._session = Session(self, Limits(), client=True, trusted=True)
        self._answer = b""

    def begin(self, transport: asyncio.Transport) -> None:
        """Ask."""
        session = self._session
        session.start()
        stream = session.open(self, monotonic())
        fields: tuple[Field, ...] = (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", _CHECK),
            (b":authority", self._host),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"user-agent", AGENT),
            (_ATTEMPT, b"0"),
        )
        session.send_fields(stream, fields, (), end=False)
        session.send_data(stream, _REQUEST, end=True)
        transport.write(session.take())

    def data_received(self, data: bytes) -> None:
        """Frames."""
        try:
            self._session.receive(data, monotonic())
        except ConnectionFault as fault:
            self.settle(f"the answer is not HTTP/2: {fault}")
            return
        if self.transport is not None and (out := self._session.take()):
            self.transport.write(out)

    # --- SessionOwner ---

    def on_stream(self, stream: Stream) -> StreamOwner:  # noqa: ARG002
        """Never in the client's role."""
        raise ConnectionFault(PROTOCOL_ERROR, "a server begins no streams")

    def on_goaway(self, code: int) -> None:
        """The endpoint takes no streams."""

    def on_room(self) -> None:
        """The stream has ended."""

    # --- StreamOwner ---

    def on_fields(self, fields: Sequence[Field], *, too_large: bool, end: bool) -> None:  # noqa: ARG002
        """A head, or trailers."""
        if not end:
            return
        status = dict(fields).get(b"grpc-status", b"")
        if status != b"0":
            self.settle(f"the call ended with status {status.decode('latin-1') or 'none'}")
        else:
            self.settle("" if self._answer == _SERVING else "the service says that it is not serving")

    def on_data(self, data: bytes, *, end: bool) -> None:
        """A piece of the answer."""
        self._answer = (self._answer + data)[:MOST_BYTES]
        if end:
            self.settle("the call ended without a status")

    def on_reset(self, code: int, why: str) -> None:  # noqa: ARG002
        """The endpoint has given the stream up."""
        self.settle(f"the stream was reset with code {code}")

    def on_full(self) -> None:
        """The request is tiny."""

    def on_ready(self) -> None:
        """As above."""

    def on_lost(self, error: ProxyError, *, stale: bool) -> None:  # noqa: ARG002
        """The connection is gone."""
        self.settle(str(error))
