"""What an exchange needs of the two sides it stands between, whatever protocol they speak."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

from meshwise.contracts.policy import Breaker
from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.errors import ConnectFailed
from meshwise.proxy.http2.codes import INTERNAL_ERROR
from meshwise.proxy.http2.tables import Field
from meshwise.proxy.net.timers import MemberTimer


class Timer(Protocol):
    """A deadline that may be moved."""

    def set(self, at: float) -> None:
        """Move the deadline to ``at``, monotonic seconds."""


class Downstream(Protocol):
    """The caller's side of one exchange."""

    peer: str
    identity: str
    """The service that the caller proved to be, over mutual TLS."""
    full: bool
    """The caller reads more slowly than we write."""

    @property
    def timer(self) -> Timer:
        """The exchange's deadline."""

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""

    def close_after_answer(self) -> None:
        """Take no further request on this connection, where one connection has one request at a time."""

    def hold_for_upstream(self) -> None:
        """Stop the request's body for a while."""

    def release_for_upstream(self) -> None:
        """Let the request's body flow again."""

    def on_exchange_done(self, *, request_done: bool) -> None:
        """The answer is complete."""

    def abort(self) -> None:
        """End so that an answer in progress cannot be taken for complete."""


class DownstreamOfStream(ABC):
    """The caller's side of an exchange over HTTP/2: a ``Downstream`` that takes heads and trailers as fields.

    A class, not a protocol, because calls of a compiled class's methods cost less.
    """

    __slots__ = ("full", "identity", "peer", "timer")

    def __init__(self, timer: MemberTimer, peer: str, identity: str) -> None:
        self.timer = timer
        self.peer = peer
        self.identity = identity
        self.full = False

    @abstractmethod
    def send_fields(self, fields: tuple[Field, ...], varying: Iterable[Field] = (), *, end: bool) -> None:
        """Send a head."""

    @abstractmethod
    def write(self, data: bytes, *, end: bool = False) -> None:
        """Send a piece of the answer's body."""

    @abstractmethod
    def send_trailers(self, fields: tuple[Field, ...]) -> None:
        """Send the answer's trailers, which end it."""

    @abstractmethod
    def end_with(self, fields: tuple[Field, ...]) -> None:
        """End an answer in progress with trailers that say why it is not complete."""

    @abstractmethod
    def close_after_answer(self) -> None:
        """A stream has no other request."""

    @abstractmethod
    def hold_for_upstream(self) -> None:
        """Stop the request's body for a while."""

    @abstractmethod
    def release_for_upstream(self) -> None:
        """Let the request's body flow again."""

    @abstractmethod
    def on_exchange_done(self, *, request_done: bool) -> None:
        """The answer is complete."""

    @abstractmethod
    def abort(self, code: int = INTERNAL_ERROR) -> None:
        """End so that an answer in progress cannot be taken for complete."""


class Upstream(Protocol):
    """The endpoint's side of one attempt."""

    endpoint: EndpointState

    def write(self, data: bytes) -> None:
        """Go on with the request's body."""

    def pause_reading(self) -> None:
        """Stop the answer for a while."""

    def resume_reading(self) -> None:
        """Let the answer flow again."""

    def hand_to(self, call: Any) -> None:
        """Give the answer to ``call``, the exchange of the same protocol that takes it from now on."""

    def detach(self) -> None:
        """The exchange has no more interest in the answer."""

    def close(self) -> None:
        """Give the attempt up at once."""


class Waiter(Protocol):
    """An attempt that wants a connection. Exactly one of the two calls follows, unless it is ``cancelled`` before."""

    cancelled: bool
    endpoint: EndpointState
    connect_timeout: float
    fresh: bool
    """No connection that was used before will do."""
    bound: bool
    """No other endpoint will do."""

    def on_connection(self, connection: Upstream) -> None:
        """Here it is; it may lead to another endpoint of the cluster than asked for when connections are scarce."""

    def on_connect_failed(self, error: ConnectFailed) -> None:
        """There is none."""


class Pool(Protocol):
    """Where attempts get their connections from."""

    def acquire(self, cluster: Cluster, waiter: Waiter, limits: Breaker) -> Upstream | None:
        """Return a connection at once, or ``None``: then the waiter is called back.

        Raises:
            Overflow: none may be opened and too many wait already.
        """

    def connect(self, cluster: Cluster, waiter: Waiter) -> None:
        """Open a connection to the waiter's endpoint, whatever is idle."""

    def abandon(self, cluster: Cluster, waiter: Waiter) -> None:
        """The waiter wants nothing any more."""

    def sweep(self, cluster: Cluster, now: float) -> None:
        """Close what has been idle for too long; call about once a second."""

    def drain(self, endpoint: EndpointState) -> None:
        """Let an endpoint's connections close as they fall idle."""

    async def close(self) -> None:
        """Open nothing more and wait until nothing is being opened."""


class Drainable(Protocol):
    """A downstream connection, as seen by whoever drains."""

    def close_if_idle(self) -> bool:
        """Close unless a request is in hand; tell whether it was closed."""

    def cut_off(self) -> None:
        """Close whatever is under way."""
