"""Connections to endpoints, kept while idle, bounded by the cluster's breaker."""

from __future__ import annotations

import asyncio
from time import monotonic

from meshwise.contracts.policy import Breaker
from meshwise.proxy.channels import Waiter
from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.errors import ConnectFailed, Overflow
from meshwise.proxy.http1.limits import Limits
from meshwise.proxy.net.connecting import Connector
from meshwise.proxy.net.tls import MeshTls
from meshwise.proxy.net.upstream import UpstreamConnection


class UpstreamPool:
    """Every upstream connection of one listener's side. ``idle_s`` is how long an unused one is kept."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        *,
        idle_s: float,
        write_high: int = 65_536,
        tls: MeshTls | None = None,
    ) -> None:
        self.limits = limits
        self.write_high = write_high
        self.loop = loop
        self._connector = Connector(loop, tls)
        self._idle_s = idle_s
        self._connecting: set[asyncio.Task[None]] = set()
        self._closing = False

    def acquire(self, cluster: Cluster, waiter: Waiter, limits: Breaker) -> UpstreamConnection | None:
        """Return an idle connection at once, or ``None``: then the waiter is called back.

        Raises:
            Overflow: no connection may be opened and too many wait already.
        """
        idle = waiter.endpoint.idle
        while idle and not waiter.fresh:
            connection = idle.pop()
            if monotonic() - connection.idle_since < self._idle_s:
                return connection
            connection.close()
        if not cluster.load.may_connect(limits):
            # A connection somewhere else that does nothing makes room; everybody's turn to give comes.
            lender = cluster.lender()
            if lender is None:
                if cluster.load.admit_pending(limits) is not None:
                    raise Overflow(f"too many requests wait for a connection to {cluster.name}")
                cluster.waiting.append(waiter)
                return None
            lender.idle.pop(0).close()
        self.connect(cluster, waiter)
        return None

    def connect(self, cluster: Cluster, waiter: Waiter) -> None:
        """Open a connection to the waiter's endpoint, whatever is idle."""
        cluster.load.connections += 1
        task = self.loop.create_task(self._connect(cluster, waiter.endpoint, waiter))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def abandon(self, cluster: Cluster, waiter: Waiter) -> None:
        """The waiter wants nothing any more; a connection under way will join the idle ones."""
        waiter.cancelled = True
        if waiter in cluster.waiting:
            cluster.waiting.remove(waiter)
            cluster.load.pending -= 1

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose answer is complete."""
        cluster = connection.cluster
        if connection.endpoint.gone or self._closing:
            connection.close()
            return
        if cluster.waiting:
            waiter = cluster.waiting[0]
            if waiter.fresh or (waiter.bound and waiter.endpoint is not connection.endpoint):
                connection.close()  # which makes room for a new one
                return
            cluster.waiting.popleft()
            cluster.load.pending -= 1
            waiter.on_connection(connection)
            return
        connection.idle_since = monotonic()
        connection.endpoint.idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has closed; called once for each."""
        cluster = connection.cluster
        cluster.load.connections -= 1
        if connection in connection.endpoint.idle:
            connection.endpoint.idle.remove(connection)
        self._serve_next(cluster)

    def sweep(self, cluster: Cluster, now: float) -> None:
        """Close what has been idle for too long; call about once a second."""
        for endpoint in cluster.endpoints:
            while endpoint.idle and now - endpoint.idle[0].idle_since >= self._idle_s:
                endpoint.idle[0].close()

    def drain(self, endpoint: EndpointState) -> None:
        """Close an endpoint's idle connections; its busy ones close when they fall idle (``gone``)."""
        for connection in list(endpoint.idle):
            connection.close()

    async def close(self) -> None:
        """Open nothing more and wait until nothing is being opened. Busy connections end with their exchanges."""
        self._closing = True
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    def _serve_next(self, cluster: Cluster) -> None:
        if cluster.waiting and not self._closing:
            waiter = cluster.waiting.popleft()
            cluster.load.pending -= 1
            self.connect(cluster, waiter)

    async def _connect(self, cluster: Cluster, endpoint: EndpointState, waiter: Waiter) -> None:
        connection = UpstreamConnection(self, cluster, endpoint)
        try:
            async with asyncio.timeout(waiter.connect_timeout):
                await self._connector.open(connection, cluster, endpoint)
        except (OSError, TimeoutError) as error:
            connection.discard()
            cluster.load.connections -= 1
            self._serve_next(cluster)
            if not waiter.cancelled:
                what = "timed out" if isinstance(error, TimeoutError) else (error.strerror or str(error) or "failed")
                waiter.on_connect_failed(ConnectFailed(f"connecting to {endpoint.id} of {cluster.name}: {what}"))
            return
        except BaseException:
            connection.discard()
            cluster.load.connections -= 1
            raise
        if waiter.cancelled:
            self.release(connection)
        else:
            waiter.on_connection(connection)
