from datetime import UTC, datetime, timedelta

import pytest

from meshwise.analytics.service_map import service_map
from meshwise.analytics.world import Window, World
from meshwise.contracts.rows import EdgeBucket
from support.analytics import edge_rows

END = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
WINDOW = Window(END - timedelta(seconds=100), END)


def world_of(*groups: list[EdgeBucket]) -> World:
    return World.from_buckets(WINDOW, [row for group in groups for row in group])


class TestServiceMap:
    def test_both_sides_are_told_apart(self) -> None:
        """Timeouts are failures to the caller and unseen by the callee."""
        rows = edge_rows(
            END, seconds=100, source="web", destination="cart", outcomes={"ok": (9, 0.1), "timeout": (1, 1.0)}
        )
        (edge,) = service_map(world_of(rows)).edges
        assert (edge.requests, edge.failures, edge.server_requests, edge.server_failures) == (100, 10, 90, 0)
        assert edge.error_share == pytest.approx(0.1)
        assert edge.request_rate == pytest.approx(1.0)
        assert edge.client_p99 is not None
        assert edge.server_p99 is not None
        assert edge.client_p99 > edge.server_p99

    def test_amplification_is_attempts_per_logical_request(self) -> None:
        """Three retries on twelve requests, two of them cancelled, are fifteen attempts: 1.25 times."""
        rows = edge_rows(
            END,
            seconds=10,
            source="web",
            destination="cart",
            outcomes={"ok": (10, 0.1), "cancelled": (2, 0.1)},
            sides=("client",),
        )
        rows += edge_rows(
            END, seconds=10, source="web", destination="cart", outcomes={"": (0, 0.1)}, sides=("client",), retries=3
        )
        (edge,) = service_map(world_of(rows)).edges
        assert (edge.requests, edge.attempts, edge.retries, edge.failures) == (10, 15, 3, 0)
        assert edge.amplification == pytest.approx(1.25)

    def test_peers_without_a_proxy_are_virtual(self) -> None:
        """A callee that only its callers speak of is a virtual node with their numbers."""
        rows = edge_rows(END, seconds=100, source="web", destination="db", outcomes={"ok": (5, 0.1)}, sides=("client",))
        nodes = {node.name: node for node in service_map(world_of(rows)).nodes}
        assert (nodes["db"].virtual, nodes["web"].virtual) == (True, False)
        assert nodes["db"].requests == 50

    def test_callers_without_a_proxy_leave_the_callees_numbers(self) -> None:
        """Where no caller reported, rate and errors come from the callee and logical requests stay zero."""
        rows = edge_rows(
            END, seconds=100, source="", destination="web", outcomes={"error": (5, 0.1)}, sides=("server",)
        )
        found = service_map(world_of(rows))
        (edge,) = found.edges
        assert (edge.requests, edge.server_requests, edge.error_share, edge.amplification) == (0, 50, 1.0, 1.0)
        assert [node.name for node in found.nodes] == ["web"]

    def test_a_young_mesh_is_not_slow(self) -> None:
        """Rates count from the first measurement, not from a start of the window that nobody saw."""
        rows = edge_rows(END, seconds=20, source="web", destination="cart", outcomes={"ok": (50, 0.1)})
        (edge,) = service_map(world_of(rows)).edges
        assert edge.request_rate == pytest.approx(5.0)

    def test_an_empty_window_is_an_empty_map(self) -> None:
        """Nothing measured makes no nodes, no edges and no division by zero."""
        found = service_map(world_of())
        assert (found.nodes, found.edges) == ((), ())

    def test_node_adds_its_callers(self) -> None:
        """A node's numbers are those of all edges into it."""
        found = service_map(
            world_of(
                edge_rows(END, seconds=10, source="a", destination="c", outcomes={"ok": (6, 0.1)}),
                edge_rows(END, seconds=10, source="b", destination="c", outcomes={"error": (2, 0.1)}),
            )
        )
        node = next(node for node in found.nodes if node.name == "c")
        assert (node.requests, node.failures, node.error_share) == (8, 2, 0.25)
