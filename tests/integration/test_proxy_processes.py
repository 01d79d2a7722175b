"""A proxy as one process or several: workers behind one door, and a restart that nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.data_path import OK, Arrival, Upstream, client, snapshot, until
from support.processes import Process, alive, descendants, free_port, start

POLICY = {"match": {"service": "catalog"}, "timeout": {"request": "5s"}}


def settings_file(directory: Path, app: Upstream, *policies: dict[str, Any], **settings: Any) -> Path:
    """Settings of a proxy on free ports with a snapshot of one service."""
    shown = directory / "snapshot.json"
    shown.write_text(json.dumps(snapshot({"catalog": [app.port]}, *(policies or (POLICY,))).to_document()))
    values = {
        "service": "frontend",
        "outbound_port": free_port(),
        "admin_port": free_port(),
        "snapshot_file": str(shown),
        "drain_delay_s": 0.3,
        "drain_timeout_s": 5.0,
        **settings,
    }
    file = directory / f"settings-{values['workers']}.json"
    file.write_text(json.dumps(values))
    return file


def run_proxy(file: Path) -> Any:
    """Start a proxy from its settings."""
    return start((sys.executable, "-P", "-m", "meshwise.proxy", str(file)), file.parent / "logs")


def admin_url(file: Path) -> str:
    """Where its administration pages are."""
    return f"http://127.0.0.1:{json.loads(file.read_text())['admin_port']}"


async def page(file: Path, path: str, method: str = "GET") -> Any:
    """Fetch one page; JSON is parsed."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.request(method, f"{admin_url(file)}{path}")
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.headers["content-type"] == "application/json" else answer.text


async def ready(process: Process, file: Path) -> None:
    """Wait until it serves."""
    await asyncio.to_thread(process.wait_ready, f"{admin_url(file)}/readyz")


class Load:
    """Callers that keep calling over kept connections; every answer but 200 is a failure."""

    def __init__(self, file: Path) -> None:
        self.url = f"http://127.0.0.1:{json.loads(file.read_text())['outbound_port']}/"
        self.answered = 0
        self.failures: list[str] = []

    @contextlib.asynccontextmanager
    async def running(self, callers: int = 4) -> AsyncIterator[None]:
        """Keep calling for the length of the block."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._call(stop)) for _ in range(callers)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def _call(self, stop: asyncio.Event) -> None:
        async with httpx.AsyncClient(trust_env=False, headers={"host": "catalog"}) as client:
            while not stop.is_set():
                try:
                    answer = await client.post(self.url, content=b"x")  # not to be repeated by anybody
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                self.answered += 1
                if answer.status_code != 200:
                    self.failures.append(answer.text)
                await asyncio.sleep(0.005)

    async def more(self, count: int) -> None:
        """Wait for that many more answers."""
        wanted = self.answered + count
        await until(lambda: self.answered >= wanted or self.failures)


def samples(metrics: str, name: str) -> float:
    """The sum of a metric's samples."""
    return sum(
        float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith((f"{name}{{", f"{name} "))
    )


async def replaced(file: Path, *, lost: int) -> None:
    """Wait until others have taken the places of ``lost`` workers."""
    while (await page(file, "/stats"))["workers"] != {"wanted": 2, "running": 2, "lost": lost}:
        pass


async def test_workers_are_one_proxy(tmp_path: Path) -> None:
    """Two workers share the port; counts, state and tap are those of both; one that ends is replaced."""
    async with Upstream() as app:
        file = settings_file(tmp_path, app, workers=2)
        with run_proxy(file) as process:
            await ready(process, file)
            async with httpx.AsyncClient(
                trust_env=False, limits=httpx.Limits(max_keepalive_connections=0), headers={"host": "catalog"}
            ) as client:
                url = Load(file).url
                tap = asyncio.create_task(page(file, "/tap?limit=200&seconds=20&method=GET"))
                await until(lambda: not tap.done())
                await asyncio.sleep(0.2)  # the tap has reached the workers
                answers = [await client.get(url) for _ in range(200)]
                assert {answer.status_code for answer in answers} == {200}
            metrics = await page(file, "/metrics")
            assert samples(metrics, "meshwise_requests_total") == 200
            assert samples(metrics, "meshwise_attempts_total") == 200
            assert samples(metrics, "meshwise_proxy_workers_running") == 2
            lines = [json.loads(line) for line in (await tap).splitlines()]
            assert len(lines) == 201
            assert lines[-1] == {"seen": 200, "sent": 200, "dropped": 0}
            assert app.connections == 2  # each worker's pool has one
            clusters = await page(file, "/clusters")
            (endpoint,) = clusters["catalog"]["endpoints"]
            assert (endpoint["port"], endpoint["idle_connections"], endpoint["ejected"]) == (app.port, 2, False)
            assert (await page(file, "/log_level?level=debug", "POST")).strip() == "debug"

            victim, other = descendants(process.pid)
            os.kill(victim, signal.SIGKILL)
            await until(lambda: not alive(victim))
            await replaced(file, lost=1)
            assert other in descendants(process.pid)
            # What a worker that ends in order has counted stays in the sums, and no request is dropped meanwhile.
            before = samples(await page(file, "/metrics"), "meshwise_requests_total")
            load = Load(file)
            async with load.running():
                await load.more(50)
                os.kill(other, signal.SIGTERM)
                await load.more(50)
                await replaced(file, lost=2)
            assert load.failures == []
            after = samples(await page(file, "/metrics"), "meshwise_requests_total")
            assert after - before == load.answered
            left = descendants(process.pid)
            assert process.terminate() == 0
            assert not any(alive(pid) for pid in left)


async def test_limits_hold_for_all_workers(tmp_path: Path) -> None:
    """A rate and a concurrency limit are the proxy's, however callers are spread; a killed worker leaves room."""
    release = asyncio.Event()

    async def wait(arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        if arrival.line.startswith("GET /wait"):
            await release.wait()
        writer.write(OK)

    policies: list[dict[str, Any]] = [
        {"name": "rate", "match": {"service": "frontend"}, "limit": {"requests_per_second": 0.1, "burst": 20}},
        {"name": "gate", "match": {"service": "frontend", "route": "/wait"}, "limit": {"max_concurrency": 10}},
    ]
    async with Upstream(wait) as app:
        file = settings_file(tmp_path, app, *policies, workers=2, app_port=app.port, inbound_port=free_port())
        port = json.loads(file.read_text())["inbound_port"]

        async def ask(path: str) -> int:
            async with client(port) as one:
                return (await one.request("GET", "frontend", path, "priority: u=0")).status

        with run_proxy(file) as process:
            await ready(process, file)
            answers = await asyncio.gather(*(ask("/") for _ in range(60)))
            assert (answers.count(200), answers.count(429)) == (20, 40)
            # A connection is a worker's for good, so both of them have some of these.
            waiting = [asyncio.create_task(ask("/wait")) for _ in range(30)]
            await until(lambda: sum(task.done() for task in waiting) == 20)
            assert {task.result() for task in waiting if task.done()} == {503}
            limits = (await page(file, "/stats"))["inbound"]["limits"]
            assert limits == {"gate": {"in_flight": 10, "limit": 10.0, "shed": 20}}
            victim = descendants(process.pid)[0]
            os.kill(victim, signal.SIGKILL)
            await replaced(file, lost=1)
            left = sum(not task.done() for task in waiting)
            again = [asyncio.create_task(ask("/wait")) for _ in range(30)]
            await until(lambda: sum(task.done() for task in again) == 30 - (10 - left))
            release.set()
            done = await asyncio.gather(*waiting, *again, return_exceptions=True)
            assert done.count(200) == 10
            assert await ask("/wait") == 200
            assert process.terminate() == 0


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 3)])
async def test_a_restart_drops_nothing(tmp_path: Path, before: int, after: int) -> None:
    """Under load a successor takes the ports over and the predecessor ends by itself: every request is answered."""
    async with Upstream() as app:
        link = tmp_path / "run" / "handover.sock"
        old_file = settings_file(tmp_path, app, workers=before, handover_socket=str(link))
        new_file = tmp_path / "successor.json"
        # The successor has no snapshot of its own: it gets the predecessor's.
        values = {**json.loads(old_file.read_text()), "workers": after, "snapshot_file": None}
        new_file.write_text(json.dumps(values))
        with contextlib.ExitStack() as processes:
            old = processes.enter_context(run_proxy(old_file))
            await ready(old, old_file)
            load = Load(old_file)
            async with load.running():
                await load.more(50)
                new = processes.enter_context(run_proxy(new_file))
                assert await asyncio.to_thread(old.wait, timeout=20) == 0
                await load.more(50)
            assert load.failures == []
            assert old.wait_event("draining")["replaced"] is True
            assert 0 < samples(await page(new_file, "/metrics"), "meshwise_requests_total") < load.answered
            assert (await page(new_file, "/stats")).get("workers", {"running": 1})["running"] == after
            assert link.exists()
            assert new.terminate() == 0
        assert not link.exists()


async def test_a_successor_that_fails_changes_nothing(tmp_path: Path) -> None:
    """One that ends before it serves leaves the one that runs as it is."""
    async with Upstream() as app:
        link = tmp_path / "handover.sock"
        file = settings_file(tmp_path, app, workers=1, handover_socket=str(link))
        with run_proxy(file) as process:
            await ready(process, file)
            broken = tmp_path / "broken.json"
            wrong = snapshot({"catalog": [app.port]}, service="another").to_document()
            (tmp_path / "wrong.json").write_text(json.dumps(wrong))
            broken.write_text(
                json.dumps({**json.loads(file.read_text()), "snapshot_file": str(tmp_path / "wrong.json")})
            )
            with run_proxy(broken) as failed:
                assert await asyncio.to_thread(failed.wait) == 1
                assert "another" in failed.stderr
            await asyncio.to_thread(process.wait_event, "the successor gave up; serving on")
            load = Load(file)
            async with load.running(2):
                await load.more(20)
            assert load.failures == []


async def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """Although workers share a port, a stranger's process does not: it ends at once and names the setting."""
    async with Upstream() as app:
        file = settings_file(tmp_path, app, workers=2)
        with run_proxy(file) as process:
            await ready(process, file)
            with run_proxy(file) as second:
                assert await asyncio.to_thread(second.wait) == 1
                assert "is in use: stop what uses it, or set proxy.outbound_port" in second.stderr
                assert "Traceback" not in second.stderr
