"""A service with so many slots and a queue without end, whose work goes on after its caller gave up.

    python -m benchmarks.live.queue_app PORT SLOTS WORK_S

``POST /-/slots {"slots": N}`` changes its capacity, ``GET /-/received`` tells how many requests it got.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque

from aiohttp import web


class Slots:
    """First come, first served; ``resize`` takes effect as slots fall free.

    A slot is free again when its work was due to end, not when a busy machine came round to it: capacity is exact.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.busy = 0
        self.received = 0
        self._waiting: deque[tuple[float, asyncio.Future[float]]] = deque()

    def resize(self, size: int) -> None:
        """Have ``size`` slots from now on."""
        self.size = size
        self._admit(asyncio.get_running_loop().time())

    async def work(self, seconds: float) -> None:
        """Wait for a slot and hold it for ``seconds``."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[float] = loop.create_future()
        self._waiting.append((loop.time(), turn))
        self._admit(loop.time())
        until = await turn + seconds
        await asyncio.sleep(max(0.0, until - loop.time()))
        self.busy -= 1
        self._admit(until)

    def _admit(self, free_since: float) -> None:
        while self._waiting and self.busy < self.size:
            self.busy += 1
            came, turn = self._waiting.popleft()
            turn.set_result(max(came, free_since))


def main() -> None:
    """Serve until stopped."""
    port, size, work_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    slots = Slots(size)
    working: set[asyncio.Task[None]] = set()

    async def answer(_request: web.Request) -> web.Response:
        slots.received += 1
        task = asyncio.ensure_future(slots.work(work_s))
        working.add(task)
        task.add_done_callback(working.discard)
        await asyncio.shield(task)
        return web.Response(text="done")

    async def resize(request: web.Request) -> web.Response:
        slots.resize(int((await request.json())["slots"]))
        return web.Response()

    async def received(_request: web.Request) -> web.Response:
        return web.json_response({"received": slots.received})

    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", lambda _: _ok()),
            web.post("/-/slots", resize),
            web.get("/-/received", received),
            web.get("/", answer),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=port, print=None, handle_signals=True)


async def _ok() -> web.Response:
    return web.Response()


if __name__ == "__main__":
    main()
