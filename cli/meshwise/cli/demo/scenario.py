"""The script of the demo. Each step waits for something that was observed, with a deadline, never for a fixed time.

baseline → a slow tail at recommendation → anomaly, alert, proposal → shadow → canary → promotion → a bad policy →
ended in shadow
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from meshwise.cli.demo.documents import BAD, TUNED, bad_policy, base_policies
from meshwise.cli.demo.evidence import (
    Applied,
    Evidence,
    fetch_counters,
    fetch_map,
    fetch_record,
    fetch_stored,
)
from meshwise.cli.demo.narrator import Narrator
from meshwise.cli.demo.receiver import Receiver
from meshwise.cli.demo.report import summarize_requests
from meshwise.cli.demo.topology import Topology
from meshwise.cli.demo.wire import RefusedError, ask
from meshwise.contracts.errors import MeshwiseError

T = TypeVar("T")

BASELINE_S: Final = 70.0
"""Healthy traffic before the fault: seven of the 10-second buckets that a baseline is learnt from."""
MEASURE_S: Final = 35.0
"""Traffic under the new policy, to compare with the old."""
FAULT: Final = {"kind": "slow_tail", "share": 0.1, "delay_s": 2.5}
POLL_S: Final = 0.5


class Scenario:
    """Plays the script once against a running topology and gathers the evidence."""

    def __init__(self, topology: Topology, narrator: Narrator, receiver: Receiver) -> None:
        self._topology = topology
        self._narrator = narrator
        self._receiver = receiver
        self._control = topology.url("control")
        self._analytics = topology.url("analytics")
        self._phases: dict[str, float] = {}
        self._missed: list[str] = []
        self._applied: dict[tuple[str, str, int], Applied] = {}
        self._began = time.time()

    async def prepare(self) -> None:
        """Put the shop's policies in force and wait until every proxy knows every service and follows."""
        for policy in base_policies():
            name = policy["name"]
            document = {"policy": policy, "reason": "what the shop starts with"}
            await ask(f"{self._control}/v1/policies/{name}", method="PUT", document=document)
        wanted = len(self._topology.proxies)
        ready = await self._until(f"{wanted} proxies that follow control", self._proxies_in_step, 30.0)
        if ready is not None:
            self._narrator.say(f"{wanted} proxies are registered and follow revision {ready}.")

    async def play(self) -> None:
        """Play the script; steps that were not reached in time are remembered, and the rest is played all the same."""
        watching = asyncio.create_task(self._watch_proxies())
        try:
            await self._baseline()
            if await self._break_recommendation():
                await self._measure_new_policy()
            await self._try_bad_policy()
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def settle(self) -> Evidence:
        """Stop the load, wait until everything counted has arrived in the store, and gather the evidence."""
        say = self._narrator.say
        load = await ask(f"{self._topology.load}/-/stop", method="POST")
        say(f"The load has stopped after {load['sent']} requests; waiting for the last counts to arrive.")
        ended = time.time()
        counters = await fetch_counters(self._topology)
        calls = sum(calls["requests"] for one in counters.values() for calls in one["called"].values())
        wanted = load["sent"] + calls

        async def arrived() -> dict[str, Any] | None:
            found = await fetch_map(self._topology, self._began, ended)
            return found if sum(edge["requests"] for edge in found["edges"]) >= wanted else None

        await self._until(f"{wanted} requests on the map", arrived, 30.0)
        received = sum(sum(one["received"].values()) for one in counters.values())

        async def settled() -> bool | None:
            rows, _ = await fetch_stored(self._topology)
            return True if sum(row["requests"] for row in rows if row["side"] == "server") >= received else None

        await self._until(f"{received} arrivals in the store", settled, 20.0)
        counts, findings = await fetch_stored(self._topology)
        rollouts = await ask(f"{self._control}/v1/rollouts")
        return Evidence(
            began=self._began,
            ended=ended,
            phases=dict(self._phases),
            map=await fetch_map(self._topology, self._began, ended),
            counts=counts,
            counters=await fetch_counters(self._topology),
            load=load,
            record=await fetch_record(self._topology),
            findings=findings,
            rollouts=rollouts["rollouts"],
            applied=tuple(self._applied.values()),
            deliveries=self._receiver.deliveries,
            missed=tuple(self._missed),
        )

    async def enter(self, phase: str) -> None:
        """Begin a phase of the load generator's record."""
        await ask(f"{self._topology.load}/-/phase", method="POST", document={"name": phase})
        self._phases[phase] = time.time()

    async def _baseline(self) -> None:
        await self.enter("baseline")
        await ask(f"{self._topology.load}/-/start", method="POST")
        self._narrator.say(f"Customers arrive. For {BASELINE_S:.0f} s everything is healthy.")
        await asyncio.sleep(BASELINE_S)
        await self._tell_client("baseline")

    async def _break_recommendation(self) -> bool:
        say = self._narrator.say
        (victim,) = self._topology.of("recommendation")
        await ask(f"{victim.app}/-/fault", method="POST", document=FAULT)
        await self.enter("fault")
        say("Fault: one answer in ten of recommendation now takes 2.5 s; its callers give up after 1 s.")
        reached = await asyncio.gather(
            self._until("an anomaly on frontend→recommendation", self._anomaly, 75.0),
            self._until("an alert at the webhook receiver", self._delivery, 90.0),
            self._until(f"a rollout of {TUNED}", lambda: self._rollout(TUNED, ("shadow", "canary", "promoted")), 90.0),
        )
        if reached[2] is None:
            return False
        await self.enter("shadow")
        canary = await self._until(f"a canary of {TUNED}", lambda: self._rollout(TUNED, ("canary", "promoted")), 90.0)
        if canary is None:
            return False
        await self.enter("canary")
        await self._tell_client("fault")
        return (
            await self._until(f"the promotion of {TUNED}", lambda: self._rollout(TUNED, ("promoted",)), 120.0)
            is not None
        )

    async def _measure_new_policy(self) -> None:
        await self._until("every front end with the new policy", self._everyone_follows, 20.0)
        await self.enter("tuned")
        self._narrator.say(
            f"Every front end follows the new policy; measuring it for {MEASURE_S:.0f} s, fault still on."
        )
        await asyncio.sleep(MEASURE_S)
        await self._tell_client("tuned")

    async def _try_bad_policy(self) -> None:
        say = self._narrator.say
        (victim,) = self._topology.of("recommendation")
        await ask(f"{victim.app}/-/fault", method="POST", document={"kind": "none"})
        await self.enter("bad_policy")
        say("The fault is over. Now somebody submits a bad policy: frontend waits 3 ms for catalog.")
        document = {"policy": bad_policy(), "reason": "deliberately bad: see whether it is taken back"}

        async def submitted() -> Any:
            try:
                return await ask(f"{self._control}/v1/rollouts", method="POST", document=document)
            except RefusedError as error:
                if error.status == 409:
                    return None  # another rollout for catalog is under way; one at a time
                raise

        rollout = await self._until("room for the bad policy", submitted, 60.0)
        if rollout is None:
            return
        say("It begins in shadow: proxies judge it on live traffic and obey the policy in force.")
        ended = await self._until(
            "the end of the bad policy", lambda: self._one_rollout(rollout["id"], ("rolled_back", "promoted")), 90.0
        )
        if ended is not None:
            verdict = ended["verdicts"][-1]
            say(f"{BAD} is {ended['state'].replace('_', ' ')} by {verdict['by']}: {verdict['reason']}")

    async def _anomaly(self) -> dict[str, Any] | None:
        answer = await ask(f"{self._analytics}/v1/anomalies")
        for found in answer["anomalies"]:
            if found["flagged"] and (found["source"], found["destination"]) == ("frontend", "recommendation"):
                self._narrator.say(f"Anomaly on frontend→recommendation, score {found['score']:.2f}: {found['reason']}")
                return dict(found)
        return None

    async def _delivery(self) -> bool | None:
        for delivery in self._receiver.deliveries:
            if delivery.document.get("status") == "firing":
                labels = delivery.document.get("commonLabels", {})
                self._narrator.say(
                    f"Alert delivered to the webhook: {labels.get('service', '?')} burns its error budget."
                )
                return True
        return None

    async def _rollout(self, policy: str, states: tuple[str, ...]) -> dict[str, Any] | None:
        answer = await ask(f"{self._control}/v1/rollouts")
        for rollout in answer["rollouts"]:
            if rollout["policy_name"] == policy and rollout["state"] in states:
                if rollout["state"] == "shadow":
                    self._narrator.say(f"Proposal: {rollout['reason']}")
                    self._narrator.say("It begins in shadow: proxies judge it on live traffic, and nobody is exposed.")
                elif rollout["state"] == "canary":
                    said = next((v["reason"] for v in reversed(rollout["verdicts"]) if v["shadow"]), "no shadow stage")
                    self._narrator.say(f"Shadow: {said}")
                    share = f"{rollout['canary_percent']:g} % of the requests of "
                    self._narrator.say(f"It is tried on {share}{', '.join(rollout['canary_proxies'])} first.")
                else:
                    self._narrator.say(f"Promoted: {rollout['verdicts'][-1]['reason']}")
                return dict(rollout)
        return None

    async def _one_rollout(self, rollout_id: str, states: tuple[str, ...]) -> dict[str, Any] | None:
        rollout: dict[str, Any] = await ask(f"{self._control}/v1/rollouts/{rollout_id}")
        return rollout if rollout["state"] in states else None

    async def _proxies_in_step(self) -> int | None:
        proxies = (await ask(f"{self._control}/v1/proxies"))["proxies"]
        versions = {one["snapshot_version"] for one in proxies if one["alive"] and one["status"] == "applied"}
        in_step = len(proxies) == len(self._topology.proxies) and len(versions) == 1
        return int(versions.pop()) if in_step else None

    async def _everyone_follows(self) -> bool | None:
        policies = (await ask(f"{self._control}/v1/policies"))["policies"]
        version = next((one["policy"]["version"] for one in policies if one["policy"]["name"] == TUNED), None)
        wanted = {(one.id, TUNED, version) for one in self._topology.of("frontend")}
        return True if wanted <= set(self._applied) else None

    async def _watch_proxies(self) -> None:
        """Note when control first heard of each proxy that it applied each version of each policy."""
        while True:
            with contextlib.suppress(MeshwiseError):
                proxies = (await ask(f"{self._control}/v1/proxies"))["proxies"]
                now = time.time()
                for proxy in proxies:
                    for policy, version in proxy["policies"].items():
                        key = (proxy["id"], policy, version)
                        self._applied.setdefault(key, Applied(now, proxy["id"], policy, version))
            await asyncio.sleep(POLL_S)

    async def _tell_client(self, phase: str) -> None:
        record = [entry for entry in await fetch_record(self._topology) if entry["phase"] == phase]
        summary = summarize_requests(record)
        if summary["requests"]:
            self._narrator.say(
                f"The customers' own record: {summary['success']:.1%} of {summary['requests']} requests succeeded, "
                f"half within {summary['p50_s'] * 1000:.0f} ms, 99 % within {summary['p99_s'] * 1000:.0f} ms."
            )

    async def _until(self, what: str, probe: Callable[[], Awaitable[T | None]], deadline_s: float) -> T | None:
        """Poll ``probe`` until it finds something; ``None``, and a remembered miss, once ``deadline_s`` has passed."""
        deadline = time.monotonic() + deadline_s
        problem = ""
        while time.monotonic() < deadline:
            try:
                found = await probe()
            except MeshwiseError as error:
                found, problem = None, f" ({error})"
            if found is not None:
                return found
            await asyncio.sleep(POLL_S)
        self._missed.append(f"{what} within {deadline_s:.0f} s{problem}")
        self._narrator.say(f"Missed: {what} did not come within {deadline_s:.0f} s{problem}.")
        return None
