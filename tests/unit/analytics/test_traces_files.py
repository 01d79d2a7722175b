import json
import os
from pathlib import Path
from typing import Any

import pytest

import meshwise.analytics as mw
from meshwise.analytics.traces.files import read_spans
from meshwise.analytics.traces.otlp import request_of
from meshwise.contracts.errors import DocumentError

SHARED = Path(os.environ.get("MESHWISE_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
SOCIAL = SHARED / "deathstarbench" / "social-network-traces.jaeger.json"

PARENT = {
    "traceID": "ab",
    "spanID": "1",
    "operationName": "GET /",
    "references": [],
    "startTime": 1000,
    "duration": 900,
}
JAEGER: dict[str, Any] = {
    "data": [
        {
            "traceID": "ab",
            "processes": {"p1": {"serviceName": "web"}, "p2": {"serviceName": "cart"}},
            "spans": [
                {**PARENT, "processID": "p1"},
                {
                    "traceID": "ab",
                    "spanID": "2",
                    "operationName": "get",
                    "processID": "p2",
                    "startTime": 1100,
                    "duration": 500,
                    "tags": [{"key": "error", "type": "bool", "value": True}],
                    "references": [{"refType": "CHILD_OF", "traceID": "ab", "spanID": "1", "span": PARENT}],
                },
            ],
        }
    ]
}


def written(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


class TestReadSpans:
    def test_jaeger(self, tmp_path: Path) -> None:
        """Services come from processes, microseconds become nanoseconds, and who answers whom tells the kinds."""
        parent, child = read_spans(written(tmp_path / "t.json", JAEGER))
        assert (parent.service, parent.kind, parent.start, parent.end) == ("web", "client", 1_000_000, 1_900_000)
        assert (child.service, child.kind, child.parent_id, child.error) == ("cart", "server", "1", True)

    def test_an_ancestor_inside_a_reference(self, tmp_path: Path) -> None:
        """A parent that is in the file only within a reference is a span like any other."""
        (trace,) = JAEGER["data"]
        nested = {"data": [{**trace, "spans": [trace["spans"][1]]}]}
        found = mw.read_traces(written(tmp_path / "t.json", nested))
        assert len(found.traces[0].spans) == 2
        assert found.problems == {}

    def test_there_and_back(self, tmp_path: Path) -> None:
        """Spans written as OTLP read back the same, but for ids that are filled up."""
        spans = read_spans(written(tmp_path / "t.json", JAEGER))
        again = read_spans(written(tmp_path / "u.json", request_of(spans)))
        key = lambda one: one.name  # noqa: E731
        for one, other in zip(sorted(spans, key=key), sorted(again, key=key), strict=True):
            assert (one.service, one.kind, one.start, one.end, one.error) == (
                other.service, other.kind, other.start, other.end, other.error,
            )  # fmt: skip
            assert int(one.span_id, 16) == int(other.span_id, 16)

    def test_a_request_per_line(self, tmp_path: Path) -> None:
        """The collector's file exporter writes one request per line."""
        line = json.dumps(request_of(read_spans(written(tmp_path / "t.json", JAEGER))))
        assert len(read_spans(written(tmp_path / "lines.json", f"{line}\n{line}\n"))) == 4

    @pytest.mark.parametrize(
        "text", ["", "{", "[1]", '{"x": 1}', '{"data": [{"spans": [{}]}]}', '{"resourceSpans": 3}']
    )
    def test_anything_else(self, tmp_path: Path, text: str) -> None:
        """What is neither is one line that names the file."""
        with pytest.raises(DocumentError, match=r"t\.json: it is neither"):
            read_spans(written(tmp_path / "t.json", text))

    def test_no_file(self, tmp_path: Path) -> None:
        """A file that is not there is one line."""
        with pytest.raises(DocumentError, match="cannot be read"):
            read_spans(tmp_path / "absent.json")

    @pytest.mark.skipif(not SOCIAL.is_file(), reason="the DeathStarBench traces are not at hand")
    def test_recorded_traces(self) -> None:
        """Recorded traces of a social network make the graph its authors drew, and every path adds up."""
        found = mw.read_traces(SOCIAL)
        assert (len(found), found.problems) == (20, {})
        edges = {(one.source, one.destination): one.sampled for one in found.calls()}
        assert edges["nginx-web-server", "compose-post-service"] == 20
        assert edges["text-service", "user-mention-service"] == 20
        assert len(edges) == 11
        assert sum(one.share for one in found.critical_paths()) == pytest.approx(1.0)
