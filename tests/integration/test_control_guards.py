"""What must never leave the mesh in between: operators at odds, control dead in mid-rollout, the judge gone blind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from support.analytics import analytics_command
from support.control import Control, FakeProxy, eventually, running_control
from support.processes import free_port, start
from support.store import running_store

BASELINE, CANDIDATE = "1s", "2s"


def _policy(request: str) -> dict[str, Any]:
    return {"match": {"source": "frontend", "service": "catalog"}, "timeout": {"request": request}}


def _fleet(control: Control) -> list[FakeProxy]:
    proxies = [control.register(f"frontend-{n}", "frontend", port=9000 + n) for n in range(4)]
    assert control.put_policy(_policy(BASELINE))[0] == 200
    for proxy in proxies:
        proxy.apply()
    return proxies


def _told(proxies: list[FakeProxy]) -> set[str]:
    """Return what the proxies are told now; each one's snapshot holds exactly one policy."""
    found = set()
    for proxy in proxies:
        (policy,) = proxy.snapshot()["policies"]
        found.add(policy["timeout"]["request"])
    return found


def _begin(control: Control, proxies: list[FakeProxy], **fields: Any) -> Any:
    status, rollout = control.begin_rollout(_policy(CANDIDATE), stages=[25, 100], **fields)
    assert status == 201, rollout
    for proxy in proxies:
        proxy.apply()
    return rollout


def test_two_operators_at_once(tmp_path: Path) -> None:
    """Eight hands approve and roll back one rollout at the same moment: one word counts, and every proxy is told it."""
    with running_control(tmp_path, ttl_s=120.0) as control:
        proxies = _fleet(control)
        for _ in range(3):
            rollout = _begin(control, proxies)
            url = f"{control.url}/v1/rollouts/{rollout['id']}"

            def speak(word: str, url: str = url) -> int:
                headers = {"x-meshwise-actor": word}
                return httpx.post(f"{url}/{word}", json={"reason": word}, headers=headers, trust_env=False).status_code

            with ThreadPoolExecutor(8) as hands:
                statuses = list(hands.map(speak, ["approve", "rollback"] * 4))
            assert sorted(statuses) == [200] + [409] * 7
            state = control.get(f"/v1/rollouts/{rollout['id']}")["state"]
            assert state in ("promoted", "rolled_back")
            assert _told(proxies) == {CANDIDATE if state == "promoted" else BASELINE}
            assert control.put_policy(_policy(BASELINE))[0] == 200


def test_two_operators_with_the_same_base(tmp_path: Path) -> None:
    """Two changes made looking at the same version: the first is taken, the second is told to read again."""
    with running_control(tmp_path, ttl_s=120.0) as control:
        proxies = _fleet(control)

        def put(request: str) -> int:
            body = {"policy": _policy(request), "reason": request, "base_version": 1}
            url = f"{control.url}/v1/policies/frontend.catalog"
            return httpx.put(url, json=body, headers={"x-meshwise-actor": request}, trust_env=False).status_code

        with ThreadPoolExecutor(2) as hands:
            statuses = dict(zip(("3s", "4s"), hands.map(put, ("3s", "4s")), strict=True))
        assert sorted(statuses.values()) == [200, 409]
        assert _told(proxies) == {next(request for request, status in statuses.items() if status == 200)}


def test_control_dies_in_mid_rollout(tmp_path: Path) -> None:
    """Killed with a canary out and started again, control knows the rollout, and ends it at its deadline."""
    with running_control(tmp_path, ttl_s=120.0) as control:
        rollout = _begin(control, _fleet(control), max_duration_s=4.0)
        control.process.kill()
    with running_control(tmp_path, ttl_s=120.0) as control:
        proxies = [control.register(f"frontend-{n}", "frontend", port=9000 + n) for n in range(4)]
        ended = eventually(
            lambda: (now := control.get(f"/v1/rollouts/{rollout['id']}"))["state"] == "rolled_back" and now, timeout=20
        )
        assert ended["verdicts"][-1]["by"] == "control"
        assert "expired" in ended["verdicts"][-1]["reason"]
        assert _told(proxies) == {BASELINE}


def test_the_judge_goes_blind(tmp_path: Path) -> None:
    """Without a store analytics says nothing about a canary, and silence ends in the policy that was in force."""
    with running_control(tmp_path, ttl_s=120.0) as control, running_store() as store:
        proxies = _fleet(control)
        settings = {
            "port": free_port(),
            "store_url": store.url,
            "control_url": control.url,
            "data_dir": str(tmp_path / "analytics"),
            "cycle_s": 0.5,
        }
        with start(analytics_command(**settings), tmp_path / "out") as analytics:
            analytics.wait_event("listening")
            store.process.kill()
            rollout = _begin(control, proxies, max_duration_s=5.0)
            ended = eventually(
                lambda: (now := control.get(f"/v1/rollouts/{rollout['id']}"))["state"] == "rolled_back" and now,
                timeout=30,
            )
            assert analytics.popen.poll() is None
        assert [one["by"] for one in ended["verdicts"] if one["decision"] != "hold"] == ["control"]
        assert _told(proxies) == {BASELINE}
