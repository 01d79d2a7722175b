"""Running the demo from the first process to the last: start, play, report, stop; nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from meshwise.cli.demo import parts
from meshwise.cli.demo.checks import run_checks
from meshwise.cli.demo.narrator import Narrator
from meshwise.cli.demo.receiver import Receiver
from meshwise.cli.demo.report import build_report
from meshwise.cli.demo.scenario import Scenario
from meshwise.cli.demo.topology import Topology, plan_topology
from meshwise.cli.ports import is_free, pick_ports
from meshwise.cli.supervisor import Supervisor
from meshwise.cli.up import stop_on_signals
from meshwise.contracts.errors import ConfigError, MeshwiseError


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line says. ``rate`` is client requests a second; ``report`` a file to write the report to."""

    once: bool
    report: Path | None
    keep_data: Path | None
    rate: float
    seed: int


async def run_demo(options: DemoOptions) -> bool:
    """Run the demo; true when every check passed (or it was left running and stopped by hand after passing).

    Raises:
        ConfigError: it cannot be started here; nothing was.
        MeshwiseError: a part did not come up or was lost; everything was stopped again.
    """
    checkout = parts.find_checkout()
    if options.report is not None and not options.report.absolute().parent.is_dir():
        raise ConfigError(f"{options.report}: its directory does not exist; make it first")
    topology = plan_topology(is_free, pick_ports)
    data_dir = _data_dir(options)
    stop = stop_on_signals()
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    narrator = Narrator()
    applications = {instance.id for instance in topology.instances}

    def on_loss(name: str, status: int) -> None:
        if name in applications:
            # To lose a replica is one of the shop's faults, and the mesh is there to live with it.
            narrator.say(f"{name} is lost (status {status}); its proxy goes on without it.")
        elif not lost.done():
            lost.set_result(f"{name} ended with status {status}")

    supervisor = Supervisor(data_dir / "logs", on_loss=on_loss)
    receiver = Receiver(topology.receiver_port)
    demo = _Demo(options, topology, data_dir, checkout, supervisor, narrator, receiver)
    passed = False
    try:
        passed = await _unless(stop, lost, demo.play())
        if passed is None:
            narrator.say("Stopped before the end.")
        elif not options.once:
            narrator.say(
                f"The dashboard is at {topology.url('dashboard')} . Customers go on arriving; Ctrl-C stops it."
            )
            await _unless(stop, lost, demo.go_on())
    finally:
        narrator.say("Stopping every process.")
        await supervisor.stop()
        receiver.stop()
        if options.keep_data is None and passed is not False:
            shutil.rmtree(data_dir, ignore_errors=True)
        else:
            narrator.say(f"Data and logs are kept in {data_dir} .")
    return bool(passed)


@dataclass(frozen=True, slots=True)
class _Demo:
    options: DemoOptions
    topology: Topology
    data_dir: Path
    checkout: Path
    supervisor: Supervisor
    narrator: Narrator
    receiver: Receiver

    async def play(self) -> bool:
        """Start everything, play the scenario, write the report; true when every check passed."""
        await self._start()
        scenario = Scenario(self.topology, self.narrator, self.receiver)
        await scenario.prepare()
        await scenario.play()
        report = build_report(await scenario.settle())
        checks = run_checks(report)
        report["rate"], report["seed"] = self.options.rate, self.options.seed
        report["checks"] = [asdict(check) for check in checks]
        report["ok"] = all(check.passed for check in checks)
        self._show(report)
        if self.options.report is not None:
            _write_json(report, self.options.report)
            self.narrator.say(f"The report is in {self.options.report} .")
        return bool(report["ok"])

    async def go_on(self) -> None:
        """Let customers arrive again, for as long as nobody stops it."""
        from meshwise.cli.demo.wire import ask

        await ask(f"{self.topology.load}/-/phase", method="POST", document={"name": "afterwards"})
        await ask(f"{self.topology.load}/-/start", method="POST")
        await asyncio.Event().wait()

    async def _start(self) -> None:
        say, topology = self.narrator.say, self.topology
        config = self.data_dir / "meshwise.yaml"
        self.receiver.start()
        document = parts.configuration(topology, self.data_dir, self.receiver.url, self.receiver.secret)
        parts.write_configuration(document, config)
        say(f"Starting the platform, {len(topology.instances)} shop processes and {len(topology.proxies)} proxies.")
        for group in parts.platform_parts(topology, config):
            await self.supervisor.start(*group)
        say(f"The platform is up; the dashboard is at {topology.url('dashboard')} .")
        await self.supervisor.start(*parts.shop_parts(topology, self.checkout, self.options.seed))
        await self.supervisor.start(*parts.proxy_parts(topology, config))
        record = self.data_dir / "load.jsonl"
        load = parts.load_part(topology, self.checkout, record, rate=self.options.rate, seed=self.options.seed)
        await self.supervisor.start(load)
        say("The shop is open behind its proxies.")

    def _show(self, report: dict[str, Any]) -> None:
        self.narrator.say("What the report says:")
        self.narrator.show(
            [
                f"{'ok  ' if check['passed'] else 'FAIL'} {check['name']}: {check['detail']}"
                for check in report["checks"]
            ]
        )


async def _unless(stop: asyncio.Event, lost: asyncio.Future[str], work: Coroutine[Any, Any, Any]) -> Any:
    """Return what ``work`` returns; ``None`` when a signal came first.

    Raises:
        MeshwiseError: a process was lost first.
    """
    working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopped, lost}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        if lost.done():
            raise MeshwiseError(f"the demo cannot go on: {lost.result()}")
        return None
    finally:
        for task in (working, stopped):
            task.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)


def _data_dir(options: DemoOptions) -> Path:
    if options.keep_data is None:
        return Path(tempfile.mkdtemp(prefix="meshwise-demo-"))
    # A run of its own each time: counts are compared exactly, so nothing of an earlier run may be among them.
    directory = options.keep_data.absolute() / time.strftime("run-%Y%m%d-%H%M%S")
    directory.mkdir(parents=True)
    return directory


def _write_json(document: dict[str, Any], path: Path) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        sys.stderr.write(f"meshwise: {path} cannot be written: {(error.strerror or str(error)).lower()}\n")
