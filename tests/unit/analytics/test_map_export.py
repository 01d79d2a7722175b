import json
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import networkx as nx

from meshwise.analytics.map_compare import compare
from meshwise.analytics.map_export import FORMATS, to_dot, to_graphml, to_json, to_mermaid
from meshwise.analytics.service_map import ServiceMap, service_map
from meshwise.analytics.world import Window, World
from support.rollups import row

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
AT = int(START.timestamp())
EVIL = '"]; <script>alert(1)</script> -->\n'


def found(*edges: tuple[str, str, int, int, int]) -> ServiceMap:
    """Return a map of edges: caller, callee, requests, failures, latency bucket."""
    rows = []
    for source, destination, requests, failures, bucket in edges:
        for outcome, count in (("ok", requests - failures), ("error", failures)):
            if count:
                rows.append(
                    row(AT, source, destination, "", "GET", "client", outcome, count, count, 0, 0, {bucket: count})
                )
    return service_map(World.from_buckets(Window(START, START + timedelta(seconds=10)), rows))


class TestExport:
    def test_all_formats_name_every_edge(self) -> None:
        """Every language has both ends of the edge and its rate."""
        drawn = found(("web", "cart", 100, 2, 3))
        for form, write in FORMATS.items():
            text = write(drawn)
            assert "web" in text, form
            assert "cart" in text, form
            assert "10" in text, form
        assert json.loads(to_json(drawn))["edges"][0]["failures"] == 2

    def test_hostile_names_stay_text(self) -> None:
        """A name with quotes, markup and line breaks is a name in every language."""
        drawn = found((EVIL, "cart", 100, 0, 3))
        root = ET.fromstring(to_graphml(drawn))  # our own text
        nodes = root.findall(".//{*}node")
        assert {node.get("id") for node in nodes} == {EVIL.replace("\n", " "), "cart"}
        assert json.loads(to_json(drawn))["edges"][0]["source"] == EVIL
        for text in (to_dot(drawn), to_mermaid(drawn)):
            assert "<script>" not in to_mermaid(drawn)
            assert all(line.count('"') % 2 == line.count('\\"') % 2 for line in text.splitlines())
        assert len(to_dot(drawn).splitlines()) == 7

    def test_a_name_of_ten_kilobytes(self) -> None:
        """A huge name is cut where it is drawn, and whole in JSON."""
        drawn = found(("x" * 10_000, "cart", 100, 0, 3))
        assert len(to_dot(drawn)) < 2000
        assert len(to_mermaid(drawn)) < 2000
        assert json.loads(to_json(drawn))["edges"][0]["source"] == "x" * 10_000

    def test_networkx_reads_it(self) -> None:
        """GraphML has what networkx needs."""
        graph = nx.parse_graphml(to_graphml(found(("web", "cart", 100, 0, 3))))
        assert graph["web"]["cart"]["rate"] == 10.0


class TestCompare:
    def test_what_changed(self) -> None:
        """What appeared, vanished, slowed and failed is told; what only wavered is not."""
        before = found(("web", "cart", 1000, 1, 3), ("web", "old", 50, 0, 3), ("web", "same", 1000, 10, 3))
        after = found(("web", "cart", 1000, 60, 20), ("web", "new", 50, 0, 3), ("web", "same", 1100, 13, 4))
        change = compare(before, after)
        assert (change.appeared, change.vanished) == (("new",), ("old",))
        assert [(one.destination, one.kind) for one in change.edges] == [
            ("cart", "slower"),
            ("cart", "worse"),
            ("new", "appeared"),
            ("old", "vanished"),
        ]
        assert change.edges[1].sentence == "6.00% failed instead of 0.10%"

    def test_few_requests(self) -> None:
        """A handful of requests is not compared."""
        assert compare(found(("web", "cart", 9, 0, 3)), found(("web", "cart", 9, 9, 40))).edges == ()

    def test_the_same(self) -> None:
        """Nothing changed between a map and itself."""
        drawn = found(("web", "cart", 1000, 1, 3))
        assert compare(drawn, drawn).edges == ()
