"""A server-sent event stream of snapshot versions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from meshwise.control.events import Mailbox


class EventStream(Response):
    """Sends what comes into a mailbox until the reader goes, stalls, or the mailbox is closed."""

    def __init__(self, mailbox: Mailbox, *, keepalive_s: float, stall_s: float, on_end: Callable[[], None]) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._mailbox = mailbox
        self._keepalive_s = keepalive_s
        self._stall_s = stall_s
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        del scope  # the stream is the same for every way of asking
        gone = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for revision in self._mailbox.revisions(self._keepalive_s):
                chunk = b": alive\n\n" if revision is None else _event(revision)
                async with asyncio.timeout(self._stall_s):  # a reader that never reads fills the socket in the end
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError):
            return  # the server closes a connection whose answer was not finished
        finally:
            self._on_end()
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._mailbox.close()


def _event(revision: int) -> bytes:
    return b'event: snapshot\ndata: {"version": %d}\n\n' % revision
