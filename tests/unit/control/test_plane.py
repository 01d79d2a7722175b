import json
from pathlib import Path
from typing import Any, cast

from meshwise.contracts.policy import Match, Policy, Timeout
from meshwise.control import trials
from meshwise.control.identity.authority import Authority
from meshwise.control.plane import ControlPlane
from meshwise.control.registry import ProxyRecord
from meshwise.control.rollouts import Plan
from meshwise.control.settings import ControlSettings
from meshwise.control.storage import Storage
from meshwise.control.trials import RolloutRequest


def test_a_rollout_whose_time_is_up_steers_nobody(storage: Storage, tmp_path: Path) -> None:
    """Nobody had to end it: the snapshot of the same revision is without its candidate from the deadline on."""
    now = 1000.0
    settings = ControlSettings(data_dir=tmp_path)
    plane = ControlPlane(settings, storage, cast("Authority", None), lambda: now)
    candidate = Policy("frontend.catalog", Match("catalog", "frontend"), Timeout(2.0))
    with storage.write() as tx:
        tx.save_proxy(ProxyRecord("f1", "frontend", "127.0.0.1", 9000, 0, "", "1", now, now))
        plan = Plan(stages=(99, 100), max_duration_s=60.0, shadow=False)
        trials.begin(tx, RolloutRequest(candidate, plan, "", None, None), "r1", now, "ann")

    def told() -> tuple[int, list[float], Any]:
        document = json.loads(plane.snapshot("f1").body)
        return document["version"], [p["match"]["percent"] for p in document["policies"]], document.get("trial")

    before = told()
    assert before[1:] == ([99.0], {"patience": "30s", "names": ["frontend.catalog"], "in_force": []})
    etag = plane.snapshot("f1").etag
    now = 1059.9
    assert told() == before
    now = 1060.0
    assert told() == (before[0], [], None)
    assert plane.snapshot("f1").etag != etag
