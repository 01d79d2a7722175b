from pathlib import Path
from typing import Any

import pytest

import meshwise.analytics
from meshwise.analytics.rehearsal.compare import rehearse
from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.rehearsal.graph import Service
from meshwise.analytics.views import RehearsalTable
from meshwise.cli.app import execute
from meshwise.contracts.policy import parse_policy
from support.rehearsed import edge_policy, single

POLICY = "match: {source: in, service: a}\ntimeout: {request: 1s}\n"


class OneEdgeMesh:
    """A mesh with one edge."""

    def __init__(self, edges: int = 1) -> None:
        self.edges = edges

    def rehearse(self, policy: dict[str, Any], seconds: float) -> RehearsalTable:
        assert seconds == 900
        graph = single(Service("a", (0.01,), replicas=2, slots=4), 20.0, edge_policy("in", "a"))
        tried = rehearse(graph, ("in", "a"), edge_policy("in", "a"), parse_policy(policy), RehearsalConfig())
        return RehearsalTable([tried] * self.edges)

    def close(self) -> None:
        pass


class TestRehearse:
    @pytest.mark.parametrize("edges", [0, 1])
    def test_tells_what_would_happen(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], edges: int
    ) -> None:
        """Each trigger is one line per policy; a policy without traffic ends in one line that says so."""
        file = tmp_path / "policy.yaml"
        file.write_text(POLICY)
        monkeypatch.setattr(meshwise.analytics, "connect", lambda *_, **__: OneEdgeMesh(edges))
        status = execute(["policy", "rehearse", str(file)])
        told = capsys.readouterr()
        if edges:
            assert status == 0, told.err
            assert told.out.count("in → a") == 8
            assert "lost replicas" in told.out
        else:
            assert status != 0
            assert "had traffic" in told.err
