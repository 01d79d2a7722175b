"""The discovery file and what becomes of DNS records."""

from typing import Any

import pytest

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.snapshot import Endpoint, Snapshot
from meshwise.proxy.discovery.documents import DnsName, endpoints_of, parse_discovery, refresh_s
from meshwise.proxy.discovery.merging import merged
from meshwise.proxy.discovery.messages import Record


def test_services_by_address_and_by_name() -> None:
    """Endpoints as a snapshot writes them, and names with what to ask."""
    found = parse_discovery(
        {
            "clusters": {
                "legacy": {"endpoints": [{"id": "a", "host": "h", "port": 1, "weight": 2}]},
                "search": {"dns": {"name": "search.test", "port": 80, "type": "aaaa", "tls": "strict"}},
                "ledger": {"dns": {"name": "_l._tcp.test", "type": "srv"}},
            }
        }
    )
    assert found.endpoints == {"legacy": (Endpoint("a", "h", 1, weight=2),)}
    assert found.names == {
        "search": DnsName("search.test", "aaaa", 80, "strict"),
        "ledger": DnsName("_l._tcp.test", "srv"),
    }


@pytest.mark.parametrize(
    ("cluster", "path"),
    [
        ({"dns": {"name": "a"}}, "clusters.x.dns.port"),
        ({"dns": {"port": 80}}, "clusters.x.dns.name"),
        ({"dns": {"name": "a", "port": 80, "type": "mx"}}, "clusters.x.dns.type"),
        ({"dns": {"name": "a", "port": 80}, "endpoints": []}, "clusters.x.endpoints"),
        ({"endpoints": [{"id": "a", "host": "h"}]}, "clusters.x.endpoints[0].port"),
        ({"hosts": []}, "clusters.x.hosts"),
        (7, "clusters.x"),
    ],
)
def test_a_mistake_is_named_by_its_path(cluster: Any, path: str) -> None:
    """Nothing of a wrong file takes effect."""
    with pytest.raises(DocumentError) as caught:
        parse_discovery({"clusters": {"x": cluster}})
    assert caught.value.path == path


def test_addresses_become_endpoints() -> None:
    """One each, in an order that does not depend on the server's."""
    found = endpoints_of(DnsName("x", "a", 80), [Record("10.0.0.2", 9), Record("10.0.0.1", 9)], {})
    assert [(e.id, e.host, e.port) for e in found] == [("10.0.0.1:80", "10.0.0.1", 80), ("10.0.0.2:80", "10.0.0.2", 80)]


def test_services_keep_levels_and_proportions() -> None:
    """Priorities become levels from 0 up, weights a share of the heaviest; a target without address is nothing."""
    records = [
        Record("one.test", 9, 8080, 10, 600),
        Record("two.test", 9, 8081, 10, 300),
        Record("far.test", 9, 8082, 20, 0),
        Record("gone.test", 9, 8083, 5, 1),
    ]
    addresses = {name: (Record(f"10.0.0.{n}", 9),) for n, name in enumerate(["one.test", "two.test", "far.test"])}
    found = endpoints_of(DnsName("x", "srv"), records, addresses)
    assert [(e.id, e.priority, e.weight) for e in found] == [
        ("10.0.0.0:8080", 1, 100),
        ("10.0.0.1:8081", 1, 50),
        ("10.0.0.2:8082", 2, 1),
    ]


def test_when_to_ask_again() -> None:
    """After the shortest time to live, but neither at once nor never."""
    assert refresh_s([Record("a", 60), Record("b", 30)]) == 30.0
    assert (refresh_s([Record("a", 0)]), refresh_s([Record("a", 86_400)])) == (1.0, 300.0)


def test_control_wins_over_the_file() -> None:
    """A service that the snapshot has is the snapshot's, even without endpoints."""
    own, other = (Endpoint("a", "h", 1),), (Endpoint("b", "h", 2),)
    snapshot = Snapshot(3, "web", {"catalog": own, "cart": ()}, ())
    found = merged(snapshot, {"catalog": other, "cart": other, "legacy": other})
    assert found.clusters == {"catalog": own, "cart": (), "legacy": other}
    assert found.version == 3
