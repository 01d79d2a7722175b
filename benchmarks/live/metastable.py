"""A failure that outlives its trigger, on real processes, and the guards that end it.

A service works on ten requests at once, a tenth of a second on each, and queues what is beyond; callers come at 85 % of
that, wait 300 ms and try three times. For ten seconds it has four slots. *Guards off* the callers repeat themselves, as
applications do. *Guards on* they leave it to their proxy, with the same timeout and attempts but within a budget, and
the service's own proxy sheds what would queue. Afterwards nothing is broken any more in either case.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from meshwise.cli.ports import pick_ports
from meshwise.cli.supervisor import Part, Supervisor, meshwise_command
from meshwise.contracts.duration import format_duration

SLOTS: Final = 10
WORK_S: Final = 0.1
CUT_SLOTS: Final = 4
RATE: Final = 0.85 * SLOTS / WORK_S
ATTEMPT_S: Final = 0.3
ATTEMPTS: Final = 3
BEFORE_S: Final = 10
TRIGGER_S: Final = 10
AFTER_S: Final = 60
RECOVERED: Final = 0.95
STEADY_S: Final = 4
"""Whole seconds in a row with that share of goodput before the trigger that count as recovered."""


@dataclass(frozen=True, slots=True)
class Course:
    """Requests due and answered well in time, by the second they were due in."""

    due: list[int]
    good: list[int]
    attempts: float
    """Requests the service got per request of a caller, over the whole run."""

    def goodput(self, begin: int, end: int) -> float:
        """Return the share answered well of what was due from second ``begin`` to ``end``."""
        return sum(self.good[begin:end]) / max(1, sum(self.due[begin:end]))

    @property
    def recovered_s(self) -> int | None:
        """Seconds from the trigger's end until goodput was steadily back; ``None`` when it never was."""
        wanted = RECOVERED * self.goodput(2, BEFORE_S)
        end = BEFORE_S + TRIGGER_S
        for second in range(end, end + AFTER_S - STEADY_S + 1):
            if self.goodput(second, second + STEADY_S) >= wanted:
                return second - end
        return None

    def row(self) -> dict[str, Any]:
        """Return what happened as JSON."""
        end = BEFORE_S + TRIGGER_S
        return {
            "before": round(self.goodput(2, BEFORE_S), 4),
            "during": round(self.goodput(BEFORE_S, end), 4),
            "first_30_s_after": round(self.goodput(end, end + 30), 4),
            "last_30_s": round(self.goodput(end + AFTER_S - 30, end + AFTER_S), 4),
            "recovered_s": self.recovered_s,
            "attempts_per_request": round(self.attempts, 3),
        }


async def courses(seed: int) -> dict[str, dict[str, Any]]:
    """Run both and return their rows."""
    async with _service() as port:
        off = await _course(seed, port, lambda http: _repeating(http, f"http://127.0.0.1:{port}/"))
    async with _service() as port, _proxies(port) as outbound:
        on = await _course(seed, port, lambda http: _once(http, outbound))
    return {"guards off": off.row(), "guards on": on.row()}


async def _course(seed: int, port: int, caller: Callable[[aiohttp.ClientSession], Awaitable[bool]]) -> Course:
    seconds = BEFORE_S + TRIGGER_S + AFTER_S
    due, good = [0] * seconds, [0] * seconds
    dice, calls = random.Random(seed), set[asyncio.Task[None]]()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=10.0)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def call(second: int) -> None:
            well = await caller(http)
            good[second] += well

        async def trigger() -> None:
            await asyncio.sleep(BEFORE_S)
            await http.post(f"http://127.0.0.1:{port}/-/slots", json={"slots": CUT_SLOTS})
            await asyncio.sleep(TRIGGER_S)
            await http.post(f"http://127.0.0.1:{port}/-/slots", json={"slots": SLOTS})

        triggering = asyncio.create_task(trigger())
        began, at = time.monotonic(), dice.expovariate(RATE)
        while at < seconds:
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            due[int(at)] += 1
            task = asyncio.create_task(call(int(at)))
            calls.add(task)
            task.add_done_callback(calls.discard)
            at += dice.expovariate(RATE)
        await asyncio.gather(triggering, *calls)
        async with http.get(f"http://127.0.0.1:{port}/-/received") as answer:
            received = (await answer.json())["received"]
    return Course(due, good, received / max(1, sum(due)))


async def _repeating(http: aiohttp.ClientSession, url: str) -> bool:
    for _ in range(ATTEMPTS):
        if await _ask(http, url, None, ATTEMPT_S):
            return True
    return False


async def _once(http: aiohttp.ClientSession, proxy: str) -> bool:
    return await _ask(http, "http://queue/", proxy, ATTEMPTS * ATTEMPT_S + 1.0)


async def _ask(http: aiohttp.ClientSession, url: str, proxy: str | None, within_s: float) -> bool:
    try:
        async with http.get(url, proxy=proxy, timeout=aiohttp.ClientTimeout(total=within_s)) as answer:
            await answer.read()
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@asynccontextmanager
async def _service() -> AsyncIterator[int]:
    with tempfile.TemporaryDirectory(prefix="meshwise-live-") as directory:
        (port,) = pick_ports(1)
        supervisor = Supervisor(Path(directory))
        command = (sys.executable, "-m", "benchmarks.live.queue_app", str(port), str(SLOTS), str(WORK_S))
        try:
            await supervisor.start(Part("queue", command, f"http://127.0.0.1:{port}/livez", stop_s=2.0))
            yield port
        finally:
            await supervisor.stop()


@asynccontextmanager
async def _proxies(port: int) -> AsyncIterator[str]:
    """Run the caller's proxy and the service's; yield the URL of the first as an HTTP proxy."""
    ports = pick_ports(6)
    policy = {
        "match": {"service": "queue"},
        "timeout": {
            "request": format_duration(ATTEMPTS * ATTEMPT_S + 0.5),
            "attempt": format_duration(ATTEMPT_S),
        },
        "retry": {
            "max": ATTEMPTS - 1,
            "on": {"timeout": True, "codes": [503]},
            "budget": {"percent": 20, "min_per_second": 1},
        },
        "outlier": {"consecutive": 1000},
        "limit": {"max_concurrency": 2 * SLOTS},
    }
    endpoint = {"id": "queue-1", "host": "127.0.0.1", "port": ports[4]}
    with tempfile.TemporaryDirectory(prefix="meshwise-live-") as text:
        directory = Path(text)
        supervisor = Supervisor(directory / "logs")
        proxies = []
        for position, (service, app) in enumerate((("web", ()), ("queue", ("--app-port", str(port))))):
            outbound, inbound, admin = ports[position * 3], ports[position * 3 + 1], ports[position * 3 + 2]
            snapshot = directory / f"{service}.json"
            snapshot.write_text(
                json.dumps(
                    {
                        "version": 1,
                        "service": service,
                        "clusters": {"queue": {"endpoints": [endpoint]}},
                        "policies": [policy],
                    }
                )
            )
            config = directory / f"{service}.yaml"
            config.write_text(yaml.safe_dump({"proxy": {"snapshot_file": str(snapshot)}}))
            command = meshwise_command(
                "proxy", "--config", str(config), "--service", service, "--id", f"{service}-1", *app,
                "--outbound-port", str(outbound), "--inbound-port", str(inbound), "--admin-port", str(admin),
            )  # fmt: skip
            proxies.append(Part(service, command, f"http://127.0.0.1:{admin}/readyz", ready_s=30.0))
        try:
            await supervisor.start(*proxies)
            yield f"http://127.0.0.1:{ports[0]}"
        finally:
            await supervisor.stop()
