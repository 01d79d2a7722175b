"""Control is lost for good in the middle of a rollout: a real proxy goes back to what was approved by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from support.control import running_control
from support.http_stub import Call, HttpStub, Reply
from support.processes import Process, free_port, start

PATIENCE_S = 2.0
ENDED = "trial ended: control has not confirmed it; back to the policies in force"


def _policy(request: str) -> dict[str, Any]:
    return {"match": {"source": "frontend", "service": "catalog"}, "timeout": {"request": request}}


@contextlib.contextmanager
def _proxy(directory: Path, control_url: str, workers: int) -> Iterator[tuple[Process, httpx.Client]]:
    """Run the caller's proxy with its snapshot on disk; give it and a client of its administration pages."""
    settings = {
        "service": "frontend",
        "instance_id": "frontend-1",
        "outbound_port": free_port(),
        "admin_port": free_port(),
        "control_url": control_url,
        "snapshot_cache_dir": str(directory / "cache"),
        "workers": workers,
        "drain_delay_s": 0.0,
    }
    file = directory / "proxy.json"
    file.write_text(json.dumps(settings))
    admin = f"http://127.0.0.1:{settings['admin_port']}"
    with (
        start((sys.executable, "-P", "-m", "meshwise.proxy", str(file)), directory / "logs") as process,
        httpx.Client(base_url=admin, trust_env=False) as pages,
    ):
        process.wait_ready(f"{admin}/readyz")
        yield process, pages


async def _statuses(pages: httpx.Client, count: int = 12) -> Counter[int]:
    """Send requests at once through the proxy; return how often which status came."""
    dump = await asyncio.to_thread(lambda: pages.get("/config_dump").json())
    url = f"http://127.0.0.1:{dump['settings']['outbound_port']}/"
    async with httpx.AsyncClient(trust_env=False, timeout=10.0, headers={"host": "catalog"}) as client:
        answers = await asyncio.gather(*(client.get(url) for _ in range(count)))
    return Counter(answer.status_code for answer in answers)


async def _snapshot(pages: httpx.Client) -> Any:
    return (await asyncio.to_thread(pages.get, "/config_dump")).json()["snapshot"]


async def _governed(pages: httpx.Client, wanted: int) -> None:
    """Wait until requests end with the status ``wanted``."""
    async with asyncio.timeout(20.0):
        while not (await _statuses(pages))[wanted]:
            pass


async def _slow(_: Call) -> Reply:
    await asyncio.sleep(0.3)
    return Reply()


async def test_control_killed_in_mid_trial_never_returns(tmp_path: Path) -> None:
    """Within its patience the canary obeys the approved policy again; a restart from its disk never obeys the trial."""
    async with HttpStub(_slow) as app:
        with running_control(
            tmp_path, heartbeat_s=0.2, ttl_s=120.0, tick_s=0.1, trial_patience_s=PATIENCE_S
        ) as control:
            control.register("catalog-1", "catalog", port=app.port)
            assert control.put_policy(_policy("10s"))[0] == 200
            with _proxy(tmp_path, control.url, workers=2) as (process, pages):
                await _governed(pages, 200)
                status, rollout = control.begin_rollout(_policy("20ms"), stages=[99, 100])
                assert status == 201, rollout
                await _governed(pages, 504)
                tried = await _snapshot(pages)
                assert [policy["version"] for policy in tried["policies"]] == [1, 2]
                control.process.kill()
                ended = await asyncio.to_thread(process.wait_event, ENDED, timeout=PATIENCE_S + 10.0)
                assert (ended["policies"], ended["patience_s"]) == (["frontend.catalog"], PATIENCE_S)
                assert await _statuses(pages) == {200: 12}
                stats = (await asyncio.to_thread(pages.get, "/stats")).json()["control"]
                assert (stats["connected"], stats["on_trial"], stats["trials_ended"]) == (False, False, 1)
                metrics = (await asyncio.to_thread(pages.get, "/metrics")).text
                assert "meshwise_proxy_control_trials_ended 1" in metrics
                assert len(process.events(ENDED)) == 1
            with _proxy(tmp_path, control.url, workers=1) as (_, pages):
                kept = await _snapshot(pages)
                assert kept["version"] == tried["version"]
                assert [policy["version"] for policy in kept["policies"]] == [1]
                assert await _statuses(pages) == {200: 12}
