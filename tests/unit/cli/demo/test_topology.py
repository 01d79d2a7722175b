from __future__ import annotations

from meshwise.cli.demo.topology import EDGES, INGRESS, REPLICAS, PlatformPorts, Topology, plan_topology


def planned(*, taken: int = 0) -> Topology:
    return plan_topology(lambda port: port != taken, lambda count: list(range(20_000, 20_000 + count)))


def test_every_process_has_a_port_of_its_own() -> None:
    """No two listeners share a port."""
    topology = planned()
    ports = [*topology.platform.all, topology.load_port, topology.receiver_port]
    for one in topology.proxies:
        ports += [one.outbound_port, one.inbound_port, one.admin_port, *([one.app_port] if one.app_port else [])]
    assert len(set(ports)) == len(ports)


def test_the_platform_keeps_its_default_ports_when_they_are_free() -> None:
    """Defaults when all are free, other ports for all of it when one is taken."""
    assert planned().platform == PlatformPorts()
    assert not set(planned(taken=8050).platform.all) & set(PlatformPorts().all)


def test_the_shop_is_what_the_demo_promises() -> None:
    """At least eight services, one of them in several replicas, each instance with its proxy, and an ingress."""
    topology = planned()
    assert len(REPLICAS) >= 8
    assert len(topology.of("frontend")) == 4
    assert {one.service for one in topology.proxies} == {*REPLICAS, INGRESS}
    assert {name for edge in EDGES for name in edge} == {*REPLICAS, INGRESS}
    assert len({one.id for one in topology.proxies}) == len(topology.proxies)
