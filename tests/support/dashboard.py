"""A real dashboard, answered from memory, on a free port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from meshwise.dashboard.app import create_app
from meshwise.dashboard.control import Control
from meshwise.dashboard.queries import Queries
from meshwise.dashboard.settings import DashboardSettings
from meshwise.store.serving import Access, Door


@contextmanager
def running_dashboard(queries: Queries, control: Control, refresh_s: float = 1.0) -> Iterator[str]:
    """Yield the address of a dashboard that runs in a thread of this process."""
    door = Door("dashboard", "127.0.0.1", 0)
    app = Access(create_app(DashboardSettings(refresh_s=refresh_s), queries, control), door)
    with door.listen() as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
