"""The shop and the platform as processes, for one scenario: started fresh, asked over HTTP, stopped with everything."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshwise.cli.demo import parts
from meshwise.cli.demo.documents import base_policies
from meshwise.cli.demo.report import summarize_requests
from meshwise.cli.demo.topology import Topology, plan_topology
from meshwise.cli.demo.wire import RefusedError, ask, ask_lines
from meshwise.cli.ports import is_free, pick_ports
from meshwise.cli.supervisor import Supervisor
from meshwise.contracts.errors import MeshwiseError

POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Shop:
    """A running shop."""

    topology: Topology
    supervisor: Supervisor
    directory: Path

    async def apply(self, policies: Iterable[Mapping[str, Any]]) -> None:
        """Put policies in force."""
        for policy in policies:
            document = {"policy": dict(policy), "reason": "what the scenario starts with"}
            await ask(f"{self.topology.url('control')}/v1/policies/{policy['name']}", method="PUT", document=document)

    async def phase(self, name: str, seconds: float = 0.0) -> float:
        """Let requests count under ``name`` from now on, for ``seconds``; return when that began, Unix seconds."""
        await ask(f"{self.topology.load}/-/phase", method="POST", document={"name": name})
        began = time.time()
        await asyncio.sleep(seconds)
        return began

    async def fault(self, instance: str, **fault: Any) -> None:
        """Put a fault in force at one instance."""
        (one,) = [known for known in self.topology.instances if known.id == instance]
        await ask(f"{one.app}/-/fault", method="POST", document=fault)

    async def rollouts(self, policy: str) -> list[dict[str, Any]]:
        """Return control's rollouts of a policy, oldest first."""
        found = (await ask(f"{self.topology.url('control')}/v1/rollouts"))["rollouts"]
        return sorted((one for one in found if one["policy_name"] == policy), key=lambda one: one["created_at"])

    async def submit(self, policy: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Begin a rollout, as soon as there is room for one."""
        document = {"policy": dict(policy), "reason": reason}

        async def begun() -> dict[str, Any] | None:
            try:
                answer: dict[str, Any] = await ask(
                    f"{self.topology.url('control')}/v1/rollouts", method="POST", document=document
                )
            except RefusedError as error:
                if error.status == 409:
                    return None
                raise
            return answer

        rollout = await until(begun, 90.0)
        if rollout is None:
            raise MeshwiseError("there was no room for the rollout within 90 s")
        return rollout

    async def ended(self, rollout_id: str, within_s: float) -> dict[str, Any]:
        """Wait for the end of a rollout and return it, as it is then or after ``within_s`` seconds."""
        url = f"{self.topology.url('control')}/v1/rollouts/{rollout_id}"

        async def over() -> dict[str, Any] | None:
            found: dict[str, Any] = await ask(url)
            return found if found["finished_at"] else None

        return await until(over, within_s) or await ask(url)

    async def record(self) -> dict[str, dict[str, Any]]:
        """Stop the load and return, by phase, how its requests fared by the generator's own record."""
        await ask(f"{self.topology.load}/-/stop", method="POST")
        by_phase: dict[str, list[dict[str, Any]]] = {}
        for entry in await ask_lines(f"{self.topology.load}/-/record"):
            by_phase.setdefault(entry["phase"], []).append(entry)
        return {name: summarize_requests(entries) for name, entries in by_phase.items()}


async def until(probe: Callable[[], Awaitable[dict[str, Any] | None]], within_s: float) -> dict[str, Any] | None:
    """Poll until something is found; ``None`` when nothing was within the time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(MeshwiseError):
            if (found := await probe()) is not None:
                return found
        await asyncio.sleep(POLL_S)
    return None


@contextlib.asynccontextmanager
async def running_shop(*, rate: float, seed: int, automatic: bool = True, quick: bool = True) -> AsyncIterator[Shop]:
    """Run the shop with its load on; ``quick`` with the demo's settings, else with those of an installation.

    ``automatic`` lets analytics submit proposals by itself, which is off by default.
    """
    checkout = parts.find_checkout()
    topology = plan_topology(is_free, pick_ports)
    with tempfile.TemporaryDirectory(prefix="meshwise-live-") as directory:
        data_dir = Path(directory)
        config = data_dir / "meshwise.yaml"
        document = parts.configuration(topology, data_dir, "http://127.0.0.1:9/", "whsec_" + "A" * 32)
        analytics = document["analytics"]
        del analytics["webhooks"]
        analytics["rollout_automatic"] = automatic
        if not quick:
            for key in ("cycle_s", "alert_for_s", "proposal_every_s", "rollout"):
                analytics.pop(key, None)
            document["proxy"].pop("export_interval_s")
        parts.write_configuration(document, config)
        supervisor = Supervisor(data_dir / "logs")
        try:
            for group in parts.platform_parts(topology, config):
                await supervisor.start(*group)
            await supervisor.start(*parts.shop_parts(topology, checkout, seed))
            await supervisor.start(*parts.proxy_parts(topology, config))
            load = parts.load_part(topology, checkout, data_dir / "load.jsonl", rate=rate, seed=seed)
            await supervisor.start(load)
            shop = Shop(topology, supervisor, data_dir)
            await shop.apply(base_policies())
            await until(lambda: _in_step(topology), 30.0)
            await ask(f"{topology.load}/-/start", method="POST")
            yield shop
        finally:
            await supervisor.stop()


async def _in_step(topology: Topology) -> dict[str, Any] | None:
    proxies = (await ask(f"{topology.url('control')}/v1/proxies"))["proxies"]
    versions = {one["snapshot_version"] for one in proxies if one["alive"] and one["status"] == "applied"}
    return {"ok": True} if len(proxies) == len(topology.proxies) and len(versions) == 1 else None
