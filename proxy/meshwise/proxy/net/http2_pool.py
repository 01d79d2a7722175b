"""HTTP/2 connections to endpoints: one is shared by as many streams as the endpoint takes, then another is made."""

from __future__ import annotations

import asyncio
from collections import deque

from meshwise.contracts.policy import Breaker
from meshwise.proxy.channels import Waiter
from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.errors import ConnectFailed, Overflow
from meshwise.proxy.http2.limits import Limits
from meshwise.proxy.net.connecting import Connector
from meshwise.proxy.net.http2_upstream import Http2Upstream, UpstreamStream
from meshwise.proxy.net.tls import MeshTls


class _Line:
    """One endpoint's connections, how many are being made, and who waits for them."""

    __slots__ = ("connecting", "connections", "waiting")

    def __init__(self) -> None:
        self.connections: list[Http2Upstream] = []
        self.connecting = 0
        self.waiting: deque[Waiter] = deque()


class Http2Pool:
    """Every HTTP/2 connection of one listener's side.

    ``idle_s`` is how long one without streams is kept, ``sign_of_life_s`` how long one may take to answer a PING.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        *,
        idle_s: float,
        sign_of_life_s: float,
        write_high: int,
        tls: MeshTls | None = None,
    ) -> None:
        self.loop = loop
        self.limits = limits
        self.write_high = write_high
        self._connector = Connector(loop, tls)
        self._idle_s = idle_s
        self._sign_of_life_s = sign_of_life_s
        self._lines: dict[EndpointState, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def acquire(self, cluster: Cluster, waiter: Waiter, limits: Breaker) -> UpstreamStream | None:
        """Return a stream at once, or ``None``: then the waiter is called back.

        Raises:
            Overflow: no connection may be opened and too many wait already.
        """
        line = self._line(waiter.endpoint)
        for connection in line.connections:
            if connection.room > 0:
                return connection.new_stream()
        may_connect = not line.connecting and cluster.load.may_connect(limits)
        if not may_connect and not line.connecting and not line.connections:
            may_connect = self._make_room(cluster)
            if not may_connect:
                raise Overflow(f"too many connections to {cluster.name} are open")
        if cluster.load.admit_pending(limits) is not None:
            raise Overflow(f"too many requests wait for a connection to {cluster.name}")
        line.waiting.append(waiter)
        if may_connect:
            self._begin(cluster, waiter.endpoint, line, waiter.connect_timeout)
        return None

    def connect(self, cluster: Cluster, waiter: Waiter) -> None:
        """Open a new connection to the waiter's endpoint."""
        line = self._line(waiter.endpoint)
        cluster.load.pending += 1
        line.waiting.append(waiter)
        self._begin(cluster, waiter.endpoint, line, waiter.connect_timeout)

    def abandon(self, cluster: Cluster, waiter: Waiter) -> None:
        """The waiter wants nothing any more."""
        waiter.cancelled = True
        line = self._lines.get(waiter.endpoint)
        if line is not None and line.waiting and waiter in line.waiting:
            line.waiting.remove(waiter)
            cluster.load.pending -= 1

    def on_room(self, connection: Http2Upstream) -> None:
        """A connection takes one more stream, or none any more."""
        line = self._lines.get(connection.endpoint)
        if line is None:
            return
        while line.waiting and connection.room > 0:
            waiter = line.waiting.popleft()
            connection.cluster.load.pending -= 1
            waiter.on_connection(connection.new_stream())
        if connection.session.going_away and line.waiting and not line.connecting:
            self._begin(connection.cluster, connection.endpoint, line, line.waiting[0].connect_timeout)

    def forget(self, connection: Http2Upstream) -> None:
        """A connection has closed; called once for each."""
        connection.cluster.load.connections -= 1
        line = self._lines.get(connection.endpoint)
        if line is None:
            return
        if connection in line.connections:
            line.connections.remove(connection)
        if line.waiting and not line.connections and not line.connecting:
            self._begin(connection.cluster, connection.endpoint, line, line.waiting[0].connect_timeout)
        self._tidy(connection.endpoint, line)

    def sweep(self, cluster: Cluster, now: float) -> None:
        """Close what has had no stream for too long, and what seems dead; call about once a second."""
        for endpoint in cluster.endpoints:
            line = self._lines.get(endpoint)
            for connection in list(line.connections) if line is not None else ():
                connection.give_up_if_dead(now, self._sign_of_life_s)
                if not connection.session.streams and now - connection.idle_since >= self._idle_s:
                    connection.retire()

    def drain(self, endpoint: EndpointState) -> None:
        """Let an endpoint's connections end with what is under way on them."""
        line = self._lines.get(endpoint)
        for connection in list(line.connections) if line is not None else ():
            connection.retire()

    async def close(self) -> None:
        """Open nothing more and wait until nothing is being opened; then close what is idle."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for endpoint in list(self._lines):
            self.drain(endpoint)

    # --- inside ---

    def _line(self, endpoint: EndpointState) -> _Line:
        line = self._lines.get(endpoint)
        if line is None:
            line = self._lines[endpoint] = _Line()
        return line

    def _make_room(self, cluster: Cluster) -> bool:
        """Close a connection to another endpoint that does nothing; tell whether there was one."""
        lender = cluster.lender()
        if lender is not None:
            lender.idle[0].close()
            return True
        for endpoint in cluster.endpoints:
            line = self._lines.get(endpoint)
            for connection in line.connections if line is not None else ():
                if not connection.session.streams:
                    connection.retire()
                    return True
        return False

    def _tidy(self, endpoint: EndpointState, line: _Line) -> None:
        if not (line.connections or line.connecting or line.waiting):
            self._lines.pop(endpoint, None)

    def _begin(self, cluster: Cluster, endpoint: EndpointState, line: _Line, timeout_s: float) -> None:
        if self._closing:
            return
        cluster.load.connections += 1
        line.connecting += 1
        task = self.loop.create_task(self._connect(cluster, endpoint, line, timeout_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, cluster: Cluster, endpoint: EndpointState, line: _Line, timeout_s: float) -> None:
        connection = Http2Upstream(self, cluster, endpoint)
        try:
            async with asyncio.timeout(timeout_s):
                await self._connector.open(connection, cluster, endpoint)
        except (OSError, TimeoutError) as error:
            line.connecting -= 1
            connection.discard()
            cluster.load.connections -= 1
            what = "timed out" if isinstance(error, TimeoutError) else (error.strerror or str(error) or "failed")
            self._refuse(cluster, line, ConnectFailed(f"connecting to {endpoint.id} of {cluster.name}: {what}"))
            self._tidy(endpoint, line)
            return
        except BaseException:
            line.connecting -= 1
            connection.discard()
            cluster.load.connections -= 1
            raise
        line.connecting -= 1
        if connection.closed:
            return
        line.connections.append(connection)
        self.on_room(connection)
        if endpoint.gone:
            connection.retire()
        if line.waiting and not line.connecting and not connection.room:
            self._refuse(cluster, line, ConnectFailed(f"{endpoint.id} of {cluster.name} takes no streams"))

    def _refuse(self, cluster: Cluster, line: _Line, error: ConnectFailed) -> None:
        """Tell everybody who waits, unless somebody else's stream may still make room."""
        if line.connecting or any(connection.room or connection.session.streams for connection in line.connections):
            return
        waiting = list(line.waiting)
        line.waiting.clear()
        cluster.load.pending -= len(waiting)
        for waiter in waiting:
            waiter.on_connect_failed(error)
