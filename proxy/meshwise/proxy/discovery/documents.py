"""The discovery file: services that no control knows of, by address or by a DNS name. Pure.

clusters:
  legacy: {endpoints: [{id: a, host: 10.0.0.7, port: 8080, weight: 2}]}
  search: {dns: {name: search.internal, port: 8080}}
  ledger: {dns: {name: _ledger._tcp.internal, type: srv}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.identity import TlsMode
from meshwise.contracts.reading import Reader
from meshwise.contracts.snapshot import MAX_PRIORITY, MAX_WEIGHT, Endpoint, take_endpoints, take_tls
from meshwise.proxy.discovery.messages import NUMBERS, Record, RecordType

MIN_REFRESH_S: Final = 1.0
MAX_REFRESH_S: Final = 300.0
"""A record's time to live is kept within these bounds: zero would be a flood of questions, a day would be blindness."""


@dataclass(frozen=True, slots=True)
class DnsName:
    """A service that is found by asking DNS. ``port`` is of no account for SRV records, which have their own."""

    name: str
    type: RecordType = "a"
    port: int = 0
    tls: TlsMode = "off"


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the file says: endpoints by service, and names to ask for by service."""

    endpoints: Mapping[str, tuple[Endpoint, ...]]
    names: Mapping[str, DnsName]


def parse_discovery(document: object) -> Discovered:
    """Return what ``document`` says.

    Raises:
        DocumentError: the first mistake, with its path; nothing of the file takes effect.
    """
    reader = Reader(document)
    clusters = reader.take_section("clusters")
    reader.finish()
    endpoints: dict[str, tuple[Endpoint, ...]] = {}
    names: dict[str, DnsName] = {}
    for service in sorted(clusters.names):
        cluster = Reader(clusters.take(service), clusters.at(service[:80]))
        if cluster.has("dns"):
            names[service] = _dns(cluster.take_section("dns"))
            cluster.finish()
        else:
            endpoints[service] = take_endpoints(cluster)
    return Discovered(endpoints, names)


def endpoints_of(
    dns: DnsName, records: Sequence[Record], addresses: Mapping[str, Sequence[Record]]
) -> tuple[Endpoint, ...]:
    """Return the endpoints that ``records`` name; ``addresses`` are those of the targets of SRV records.

    SRV priorities become levels in their order, and weights keep their proportion.
    """
    if dns.type != "srv":
        return tuple(
            Endpoint(f"{record.value}:{dns.port}", record.value, dns.port, tls=dns.tls)
            for record in sorted(records, key=lambda one: one.value)
        )
    levels = {level: place for place, level in enumerate(sorted({record.priority for record in records}))}
    heaviest = max((record.weight for record in records), default=1)
    found = [
        Endpoint(
            f"{address.value}:{record.port}",
            address.value,
            record.port,
            tls=dns.tls,
            weight=max(1, min(MAX_WEIGHT, round(record.weight * MAX_WEIGHT / heaviest)) if heaviest else 1),
            priority=min(MAX_PRIORITY, levels[record.priority]),
        )
        for record in records
        if record.port
        for address in addresses.get(record.value, ())
    ]
    return tuple(sorted({endpoint.id: endpoint for endpoint in found}.values(), key=lambda endpoint: endpoint.id))


def refresh_s(records: Sequence[Record]) -> float:
    """Return after how many seconds to ask again: the shortest time to live, within bounds."""
    shortest = min((record.ttl_s for record in records), default=0)
    return min(MAX_REFRESH_S, max(MIN_REFRESH_S, float(shortest)))


def _dns(reader: Reader) -> DnsName:
    said = reader.take_text("type", "a")
    kind = next((kind for kind in NUMBERS if kind == said), None)
    if kind is None:
        raise DocumentError(reader.at("type"), f"{said[:40]!r} is not one of {', '.join(NUMBERS)}")
    port = reader.take_count("port", 0, 1, 65535)
    if not port and kind != "srv":
        raise DocumentError(reader.at("port"), "is required; only SRV records bring their own")
    name = DnsName(reader.take_text("name", longest=253), kind, port, take_tls(reader))
    reader.finish()
    return name
