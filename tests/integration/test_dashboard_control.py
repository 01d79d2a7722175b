from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshwise.dashboard.control import HttpControl, RefusedError
from support.control import Control, running_control

POLICY = {"match": {"source": "frontend", "service": "catalog"}, "timeout": {"request": "1s"}}


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """A control with two frontends, so that a rollout has a canary and somebody to compare it with."""
    with running_control(tmp_path, ttl_s=60.0) as started:
        for number in (1, 2):
            started.register(f"frontend-{number}", "frontend")
        yield started


@pytest.fixture
def pages(control: Control) -> Iterator[HttpControl]:
    api = HttpControl(control.url, "", 10.0)
    yield api
    api.close()


def test_the_buttons_of_the_policies_page_do_what_they_say(control: Control, pages: HttpControl) -> None:
    """A rollout is begun and rolled back, another begun and promoted, and the policy undone, all by the dashboard."""
    status, answer = control.put_policy(POLICY)
    assert status == 200, answer
    changed = POLICY | {"timeout": {"request": "2s"}}

    pages.submit(changed, "slower is enough", {"curve": []}, "p1")
    (first,) = pages.rollouts()
    assert (first.active, first.policy["timeout"]["request"]) == (True, "2s")
    assert (first.shadows, len(first.canaries)) == (True, 0)
    with pytest.raises(RefusedError):
        pages.submit(changed, "twice", {}, "p2")
    pages.roll_back(first.id)
    assert pages.rollouts()[0].state == "rolled_back"

    pages.submit(changed, "again", {}, "p3")
    second = next(rollout for rollout in pages.rollouts() if rollout.active)
    pages.approve(second.id)
    assert len(next(rollout for rollout in pages.rollouts() if rollout.active).canaries) == 1
    pages.approve(second.id)
    assert next(rollout for rollout in pages.rollouts() if rollout.id == second.id).state == "promoted"
    assert pages.policies()[0].document["timeout"]["request"] == "2s"

    pages.undo("frontend.catalog")
    assert pages.policies()[0].document["timeout"]["request"] == "1s"
    actors = {entry["actor"] for entry in control.get("/v1/audit?limit=50")["entries"]}
    assert "dashboard" in actors


def test_proxies_are_shown_as_control_knows_them(pages: HttpControl) -> None:
    """Both are there, alive, by service and id."""
    assert [(proxy.id, proxy.alive) for proxy in pages.proxies()] == [("frontend-1", True), ("frontend-2", True)]
    assert all(proxy.address and proxy.version and proxy.last_seen and proxy.tls == "off" for proxy in pages.proxies())
