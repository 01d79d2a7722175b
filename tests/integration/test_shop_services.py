from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from support.processes import Process, fetch, free_port, start

NAMES = ("frontend", "catalog", "cart", "checkout", "payment", "inventory", "recommendation", "shipping")


class Shop:
    """The eight services and the load generator as processes, behind a forward proxy of this test."""

    def __init__(self, mesh: str, ports: dict[str, int], session: aiohttp.ClientSession) -> None:
        self.mesh = mesh
        self.ports = ports
        self.session = session

    async def ask(self, service: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.ports[service]}{path}"
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type == "application/json" else text


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The processes, shared by the tests of this file, and the port on which each test is their mesh."""
    directory = tmp_path_factory.mktemp("shop")
    chosen = {name: free_port() for name in (*NAMES, "load", "mesh")}
    mesh = f"http://127.0.0.1:{chosen['mesh']}"
    with ExitStack() as stack:
        running: list[tuple[Process, int]] = []
        for name in (*NAMES, "load"):
            command = [sys.executable, "-m", "examples.shop", name, "--port", str(chosen[name]), "--mesh", mesh]
            if name == "load":
                command += ["--rate", "60", "--seed", "3", "--record", str(directory / "record.jsonl")]
            running.append((stack.enter_context(start(command, directory / name)), chosen[name]))
        for process, port in running:
            process.wait_ready(f"http://127.0.0.1:{port}/livez")
        yield chosen
        summary = fetch(f"http://127.0.0.1:{chosen['load']}/-/counters")[1]
    assert len((directory / "record.jsonl").read_text().splitlines()) == summary["finished"]


@pytest.fixture
async def shop(ports: dict[str, int]) -> AsyncIterator[Shop]:
    async with aiohttp.ClientSession() as session:

        async def forward(request: web.Request) -> web.Response:
            url = f"http://127.0.0.1:{ports[request.host]}{request.path_qs}"
            headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
            async with session.request(request.method, url, data=await request.read(), headers=headers) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", forward)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", ports["mesh"]).start()
        try:
            yield Shop(f"http://127.0.0.1:{ports['mesh']}", ports, session)
        finally:
            for name in NAMES:
                await Shop("", ports, session).ask(name, "POST", "/-/fault", {"kind": "none"})
            await runner.cleanup()


async def test_load_generator_and_services_count_the_same(shop: Shop) -> None:
    """What the generator sent is what the front end received, and every call made is a request received."""
    await shop.ask("load", "POST", "/-/phase", {"name": "steady"})
    await shop.ask("load", "POST", "/-/start")
    await asyncio.sleep(2.0)
    _, summary = await shop.ask("load", "POST", "/-/stop")
    counted = {name: (await shop.ask(name, "GET", "/-/counters"))[1] for name in NAMES}
    received = {name: sum(counted[name]["received"].values()) for name in NAMES}
    called = dict.fromkeys(NAMES, 0)
    for document in counted.values():
        for destination, calls in document["called"].items():
            called[destination] += calls["requests"]
            assert calls["failed"] == 0
    assert summary["sent"] == summary["ok"] == received["frontend"] > 50
    assert {**called, "frontend": summary["sent"]} == received
    assert counted["payment"]["executions"]["duplicates"] == 0
    _, lines = await shop.ask("load", "GET", "/-/record")
    records = [json.loads(line) for line in lines.splitlines()]
    assert len(records) == summary["sent"]
    assert {record["phase"] for record in records} == {"steady"}


async def test_arrivals_do_not_wait_for_answers(shop: Shop) -> None:
    """With every answer delayed, requests go on starting at their planned times, and their latency says so."""
    await shop.ask("frontend", "POST", "/-/fault", {"kind": "slow_tail", "share": 1.0, "delay_s": 1.5})
    await shop.ask("load", "POST", "/-/phase", {"name": "delayed"})
    _, before = await shop.ask("load", "POST", "/-/start")
    await asyncio.sleep(1.0)
    _, during = await shop.ask("load", "GET", "/-/counters")
    assert during["finished"] == before["finished"]
    # The first may have started before the answer to the start was written.
    assert during["in_flight"] - before["in_flight"] == during["sent"] - before["sent"] > 20
    await shop.ask("load", "POST", "/-/stop")
    _, lines = await shop.ask("load", "GET", "/-/record")
    delayed = [record for record in map(json.loads, lines.splitlines()) if record["phase"] == "delayed"]
    assert len(delayed) > 20
    assert all(record["latency_s"] >= 1.5 for record in delayed)


async def test_every_fault_does_what_its_name_says(shop: Shop) -> None:
    """Errors are 503, resets end without an answer, a hog leaves the service answering, and none ends them all."""
    await shop.ask("inventory", "POST", "/-/fault", {"kind": "errors", "share": 1.0})
    assert (await shop.ask("inventory", "GET", "/stock/p1"))[0] == 503
    assert (await shop.ask("frontend", "GET", "/products/p1"))[0] == 502
    await shop.ask("inventory", "POST", "/-/fault", {"kind": "resets", "share": 1.0})
    with pytest.raises(aiohttp.ClientError):
        await shop.ask("inventory", "GET", "/stock/p1")
    await shop.ask("inventory", "POST", "/-/fault", {"kind": "cpu_hog", "share": 0.8, "seconds": 0.3})
    assert (await shop.ask("inventory", "GET", "/stock/p1"))[0] == 200
    await shop.ask("inventory", "POST", "/-/fault", {"kind": "none"})
    assert (await shop.ask("inventory", "GET", "/stock/p1"))[0] == 200
    status, answer = await shop.ask("inventory", "POST", "/-/fault", {"kind": "fire"})
    assert (status, "kind" in answer["error"]) == (400, True)


async def test_wrong_requests_are_answered_4xx(shop: Shop) -> None:
    """A customer's mistakes are never a 5xx."""
    assert (await shop.ask("frontend", "POST", "/checkout", {"user": "u", "product": "p1"}))[0] == 400
    assert (await shop.ask("cart", "POST", "/carts", []))[0] == 400
    assert (await shop.ask("cart", "POST", "/carts", {"user": 3, "product": "p1"}))[0] == 400
    assert (await shop.ask("catalog", "GET", "/items/nothing"))[0] == 404
    assert (await shop.ask("frontend", "GET", "/nowhere"))[0] == 404
    key = {"idempotency-key": "k1"}
    assert (await shop.ask("frontend", "POST", "/checkout", {"user": "u", "product": "p1"}, **key))[0] == 201
    await shop.ask("payment", "POST", "/payments", {}, **key)
    _, counted = await shop.ask("payment", "GET", "/-/counters")
    assert counted["executions"]["repeated"] == {"k1": 2}


async def test_a_lost_replica_dies_without_a_word(tmp_path: Path) -> None:
    """The command is answered, then the process is killed and its port refuses."""
    port = free_port()
    process = Process([sys.executable, "-m", "examples.shop", "catalog", "--port", str(port)], tmp_path)
    try:
        process.wait_ready(f"http://127.0.0.1:{port}/livez")
        async with aiohttp.ClientSession() as session:
            async with session.post(f"http://127.0.0.1:{port}/-/fault", json={"kind": "lost"}) as answer:
                assert answer.status == 200
            assert await asyncio.to_thread(process.wait, timeout=10.0) == -signal.SIGKILL
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(f"http://127.0.0.1:{port}/livez")
    finally:
        process.terminate()
