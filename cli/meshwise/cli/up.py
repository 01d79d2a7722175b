"""``meshwise up``: the whole platform as child processes, one data directory, one log stream."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from meshwise.cli.configuration import Configuration
from meshwise.cli.platform import Platform, plan_platform
from meshwise.cli.ports import check_ports_free
from meshwise.cli.supervisor import Supervisor

NAME_WIDTH = 10


async def run_up(configuration: Configuration, data_dir: Path) -> None:
    """Start every part, print where they answer, and run until SIGTERM or Ctrl-C.

    Raises:
        ConfigError: a setting is wrong or a port in use; nothing was started.
        MeshwiseError: a part did not come up; everything was stopped again.
    """
    config_file = configuration.path.absolute() if configuration.path is not None else None
    platform = plan_platform(configuration, data_dir, config_file=config_file)
    check_ports_free(platform.ports)
    supervisor = Supervisor(data_dir / "logs", echo=_print_line, restart=True)
    stop = stop_on_signals()
    try:
        await _start(supervisor, platform, stop)
        if not stop.is_set():
            _print_addresses(platform, data_dir)
            await stop.wait()
    finally:
        sys.stderr.write("meshwise: stopping\n")
        await supervisor.stop()
        sys.stderr.write("meshwise: stopped\n")


def stop_on_signals() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets, in the running loop.

    After it both have their usual effect again: a second one ends this process at once, and the kernel tells its
    children.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


async def _start(supervisor: Supervisor, platform: Platform, stop: asyncio.Event) -> None:
    stopped = asyncio.create_task(stop.wait())
    try:
        for part in platform.parts:
            starting = asyncio.create_task(supervisor.start(part))
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                return
            await starting
    finally:
        stopped.cancel()


def _print_addresses(platform: Platform, data_dir: Path) -> None:
    lines = [f"  {room:<{NAME_WIDTH}} {address}" for room, address in platform.addresses.items()]
    sys.stdout.write("\n".join(["meshwise is up", *lines, f"  data       {data_dir}", "Ctrl-C stops it", ""]))
    sys.stdout.flush()


def _print_line(part: str, line: str) -> None:
    sys.stderr.write(f"{part:<{NAME_WIDTH}} | {line}\n")
