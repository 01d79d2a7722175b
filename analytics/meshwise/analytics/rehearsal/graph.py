"""What is simulated: services with replicas and queues, the calls between them, and the streams that enter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from meshwise.contracts.policy import Policy


@dataclass(frozen=True, slots=True)
class Call:
    """A request to ``service`` costs ``mean`` calls of ``destination`` on average, each under ``policy``.

    ``repeatable`` is the share (0–1) of them that may be sent again once they may have arrived, and so hedged.
    ``limiter`` is the policy whose limit lets them in at the callee, where ``policy`` has none.
    """

    destination: str
    policy: Policy
    mean: float = 1.0
    repeatable: float = 1.0
    limiter: Policy | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """One service. A replica works on ``slots`` requests at once and lets ``room`` more wait in order of arrival.

    ``times`` are samples of a request's own work in seconds, equally likely, calls not included. ``errors``
    is the share (0–1) of requests it fails by itself. Calls are made after the own work, one after the other unless
    ``parallel``. A service that ``forgets`` does not work on a waiting request whose caller has gone. Of a service made
    smaller to be simulated in time ``part`` (0–1] of what a real replica does at once is left: limits shrink with it.
    """

    name: str
    times: tuple[float, ...]
    replicas: int = 1
    slots: int = 1
    room: int = 1000
    errors: float = 0.0
    calls: tuple[Call, ...] = ()
    parallel: bool = False
    forgets: bool = False
    part: float = 1.0

    @property
    def mean_s(self) -> float:
        """Mean time of a request's own work in seconds."""
        return sum(self.times) / len(self.times)

    @property
    def capacity(self) -> float:
        """Requests a second that all replicas can work on."""
        return self.replicas * self.slots / max(self.mean_s, 1e-9)


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests that enter the graph: ``rate`` a second of ``source`` to ``destination``, as a Poisson process."""

    source: str
    destination: str
    rate: float
    policy: Policy
    repeatable: float = 1.0
    limiter: Policy | None = None
    """Both as of a call."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Services by name, and what enters.

    Raises:
        ValueError: a call or a stream leads to no service, or calls go round in a circle.
    """

    services: Mapping[str, Service]
    streams: tuple[Stream, ...]

    def __post_init__(self) -> None:
        for stream in self.streams:
            self._require(stream.destination)
        for service in self.services.values():
            if not service.times or service.replicas < 1 or service.slots < 1:
                raise ValueError(f"{service.name} needs times, a replica and a slot")
            for call in service.calls:
                self._require(call.destination)
        for name in self.services:
            self._walk(name, ())

    def with_policy(self, source: str, destination: str, policy: Policy) -> Graph:
        """Return the graph with another policy on one edge, whether it enters there or lies inside."""
        services = {
            name: service
            if name != source
            else replace(
                service,
                calls=tuple(replace(c, policy=policy) if c.destination == destination else c for c in service.calls),
            )
            for name, service in self.services.items()
        }
        streams = tuple(
            replace(s, policy=policy) if (s.source, s.destination) == (source, destination) else s for s in self.streams
        )
        return Graph(services, streams)

    @property
    def visits_per_s(self) -> float:
        """Requests a second that arrive at all services together, while nothing is retried."""
        return sum(stream.rate * self._visits(stream.destination) for stream in self.streams)

    def _visits(self, name: str) -> float:
        return 1.0 + sum(call.mean * self._visits(call.destination) for call in self.services[name].calls)

    def _require(self, name: str) -> None:
        if name not in self.services:
            raise ValueError(f"{name} is called but not a service of the graph")

    def _walk(self, name: str, seen: tuple[str, ...]) -> None:
        if name in seen:
            raise ValueError(f"calls go round in a circle: {' → '.join((*seen, name))}")
        for call in self.services[name].calls:
            self._walk(call.destination, (*seen, name))
