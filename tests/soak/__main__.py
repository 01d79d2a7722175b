"""Soak for as long as asked; print what is left after each round, and what leaked."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

import structlog
import uvloop

from soak.remains import Remains, leaks, soak


async def run(seconds: float, round_s: float) -> list[str]:
    """Run and print; return the leaks."""
    seen: list[Remains] = []
    print("seconds  done  descriptors  tasks  objects  rss_kb")
    async for one in soak(seconds, round_s):
        seen.append(one)
        left = f"{one.descriptors:12} {one.tasks:6} {one.objects:8} {one.rss_kb:7}"
        print(f"{one.seconds:7} {one.rounds:5} {left}", flush=True)
    return leaks(seen, memory=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long")
    parser.add_argument("--round", type=float, default=20.0, help="seconds of load between two counts")
    parser.add_argument(
        "--loop", choices=("uvloop", "asyncio"), default="uvloop", help="that of production, or Python's"
    )
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if arguments.loop == "uvloop" else None) as runner:
        found = runner.run(run(arguments.seconds, arguments.round))
    print("\n".join(found) or "nothing grew")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
