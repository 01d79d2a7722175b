import json
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Unmeasured
from benchmarks.policy.live import KEYS, live_figures


def report(**changes: object) -> dict[str, Any]:
    rollout = {"state": "promoted", "finished_at": "2026-03-02T10:01:00+00:00"}
    bad = {
        "state": "rolled_back",
        "created_at": "2026-03-02T10:05:00+00:00",
        "canary_proxies": ["frontend-1"],
        "finished_at": "2026-03-02T10:05:30+00:00",
        "verdicts": [{"evidence": {"canary": {"requests": 50}, "control": {"requests": 150}}}],
    }
    return {"phases": {"fault": 1772445600.0}, "rollout": rollout, "bad_rollout": bad, **changes}


class TestLiveFigures:
    def test_from_a_report(self, tmp_path: Path) -> None:
        """The report's times and counts give the three figures, each with its target."""
        file = tmp_path / "demo.json"
        file.write_text(json.dumps(report()))
        found = live_figures(file)
        values = {key: one.value for key, one in found.items() if isinstance(one, Figure)}
        assert values == {"live_promote_s": 60.0, "live_rollback_windows": 0.5, "live_exposed_percent": 25.0}
        assert [one.met for one in found.values() if isinstance(one, Figure)] == [True, True, False]

    def test_ended_in_shadow(self, tmp_path: Path) -> None:
        """A bad policy that never had a canary exposed nobody."""
        file = tmp_path / "demo.json"
        document = report()
        bad = {**document["bad_rollout"], "canary_proxies": [], "verdicts": []}
        file.write_text(json.dumps({**document, "bad_rollout": bad}))
        exposed = live_figures(file)["live_exposed_percent"]
        assert isinstance(exposed, Figure)
        assert (exposed.value, exposed.met) == (0.0, True)

    def test_never_invented(self, tmp_path: Path) -> None:
        """Without a report, or where the loop did not close, each figure is unmeasured and says why."""
        file = tmp_path / "demo.json"
        file.write_text(json.dumps(report(rollout=None, bad_rollout={"state": "canary"})))
        for found in (live_figures(None), live_figures(file)):
            assert list(found) == list(KEYS)
            assert all(isinstance(one, Unmeasured) and one.reason for one in found.values())
