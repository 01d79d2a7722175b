"""Every process of the demo and where it listens: pure data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

INGRESS: Final = "ingress"
"""Service name of the proxy that the load generator enters by; it has no application."""

REPLICAS: Final[Mapping[str, int]] = {
    "inventory": 1,
    "catalog": 2,
    "recommendation": 1,
    "cart": 1,
    "payment": 1,
    "shipping": 1,
    "checkout": 1,
    "frontend": 4,
}
"""Instances of each service of the shop."""

EDGES: Final = (
    (INGRESS, "frontend"),
    ("frontend", "catalog"),
    ("frontend", "recommendation"),
    ("frontend", "cart"),
    ("frontend", "checkout"),
    ("catalog", "inventory"),
    ("recommendation", "catalog"),
    ("checkout", "cart"),
    ("checkout", "inventory"),
    ("checkout", "payment"),
    ("checkout", "shipping"),
)
"""Who calls whom in the shop: what a correct map shows, and nothing else."""


@dataclass(frozen=True, slots=True)
class PlatformPorts:
    """Where the parts of the platform listen; the defaults are those of ``meshwise up``."""

    store: int = 8123
    collector_http: int = 4318
    collector_grpc: int = 4317
    control: int = 15010
    analytics: int = 8060
    dashboard: int = 8050

    @property
    def all(self) -> tuple[int, ...]:
        """Every port, in the order of the fields."""
        return (self.store, self.collector_http, self.collector_grpc, self.control, self.analytics, self.dashboard)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a service and the proxy beside it; ``app_port`` is ``None`` at the ingress."""

    service: str
    number: int
    app_port: int | None
    outbound_port: int
    inbound_port: int
    admin_port: int

    @property
    def id(self) -> str:
        """Unique name, such as ``frontend-2``; the proxy's id as well."""
        return f"{self.service}-{self.number}"

    @property
    def mesh(self) -> str:
        """URL of the HTTP proxy through which the application calls others."""
        return f"http://127.0.0.1:{self.outbound_port}"

    @property
    def app(self) -> str:
        """URL of the application itself, for what steers and inspects it."""
        assert self.app_port is not None
        return f"http://127.0.0.1:{self.app_port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """The whole demo on one machine."""

    platform: PlatformPorts
    ingress: Instance
    instances: tuple[Instance, ...]
    load_port: int
    receiver_port: int

    @property
    def proxies(self) -> tuple[Instance, ...]:
        """Everything that has a proxy, the ingress last."""
        return (*self.instances, self.ingress)

    @property
    def load(self) -> str:
        """URL of the load generator."""
        return f"http://127.0.0.1:{self.load_port}"

    def of(self, service: str) -> tuple[Instance, ...]:
        """Return the instances of one service."""
        return tuple(instance for instance in self.instances if instance.service == service)

    def url(self, room: str) -> str:
        """Return the base URL of one part of the platform."""
        port = self.platform.collector_http if room == "collector" else getattr(self.platform, room)
        return f"http://127.0.0.1:{port}"


def plan_topology(is_free: Callable[[int], bool], pick: Callable[[int], list[int]]) -> Topology:
    """Lay out the demo: the platform on its default ports when all are free, everything else where there is room.

    ``is_free`` tells whether a port is, ``pick`` returns so many different free ones.
    """
    platform = PlatformPorts()
    defaults = all(is_free(port) for port in platform.all)
    count = sum(REPLICAS.values())
    ports = iter(pick(count * 4 + 3 + 2 + (0 if defaults else len(platform.all))))
    if not defaults:
        platform = PlatformPorts(*(next(ports) for _ in platform.all))
    instances = tuple(
        Instance(service, number, next(ports), next(ports), next(ports), next(ports))
        for service, replicas in REPLICAS.items()
        for number in range(1, replicas + 1)
    )
    ingress = Instance(INGRESS, 1, None, next(ports), next(ports), next(ports))
    return Topology(platform, ingress, instances, load_port=next(ports), receiver_port=next(ports))
