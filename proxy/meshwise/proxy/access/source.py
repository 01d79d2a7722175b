"""Where an issuer's keys come from, and when they are fetched again."""

from __future__ import annotations

import asyncio
import http.client
import urllib.request
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final

import orjson
import structlog

from meshwise.contracts.access import Issuer
from meshwise.contracts.errors import DocumentError
from meshwise.proxy.access.keys import Key, parse_keys

FETCH_S: Final = 5.0
MAX_JWKS_BYTES: Final = 1024 * 1024
"""Largest answer with an issuer's keys."""
RETRY_S: Final = 5.0
"""After a failed fetch."""
LEAST_BETWEEN_S: Final = 5.0
"""Between fetches that tokens with unknown keys ask for, so that nobody drives us against an issuer."""

log = structlog.get_logger(__name__)


class KeySource:
    """Keeps the keys of one issuer; the last ones stay while it cannot be reached."""

    def __init__(self, issuer: Issuer, *, clock: Callable[[], float] = monotonic) -> None:
        self.issuer = issuer
        self.keys: tuple[Key, ...] = ()
        self.fetches = 0
        self.failures = 0
        self._clock = clock
        self._fetched_at = float("-inf")
        self._wanted = asyncio.Event()
        self._waiting: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fetch the keys, for a few seconds at most, and look after them from then on."""
        await self._fetch()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop looking after them."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._tell()

    def ask_anew(self, then: Callable[[], None]) -> bool:
        """Fetch again for a key that is not known, and call ``then``; false when that was done a moment ago."""
        if self._task is None or (not self._waiting and self._clock() - self._fetched_at < LEAST_BETWEEN_S):
            return False
        self._waiting.append(then)
        self._wanted.set()
        return True

    async def _run(self) -> None:
        while True:
            pause = self.issuer.refresh if self.keys else RETRY_S
            try:
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await self._fetch()

    async def _fetch(self) -> None:
        self.fetches += 1
        try:
            keys = parse_keys(await asyncio.to_thread(_load, self.issuer))
        except (OSError, ValueError, http.client.HTTPException, DocumentError) as error:
            self.failures += 1
            log.warning("keys of an issuer not fetched", issuer=self.issuer.issuer, problem=str(error)[:300])
        else:
            if [key.kid for key in keys] != [key.kid for key in self.keys]:
                log.info("keys of an issuer in force", issuer=self.issuer.issuer, keys=[key.kid for key in keys])
            self.keys = keys
        self._fetched_at = self._clock()
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An issuer's keys are where its operator said, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _load(issuer: Issuer) -> Any:
    if issuer.jwks_file:
        with Path(issuer.jwks_file).open("rb") as file:
            data = file.read(MAX_JWKS_BYTES + 1)
    else:
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(issuer.jwks_url, timeout=FETCH_S) as answer:
            data = answer.read(MAX_JWKS_BYTES + 1)
    if len(data) > MAX_JWKS_BYTES:
        raise ValueError("it is too large")
    return orjson.loads(data)
