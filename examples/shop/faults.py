"""Faults on command. One fault at a time is in force; it ends by itself when it was given a length."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from aiohttp import web

Kind = Literal["none", "slow_tail", "errors", "resets", "cpu_hog", "lost"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_HOG_PERIOD_S = 0.05
_LAST_WORDS_S = 0.1
"""Time in which a replica that is to be lost still answers the command."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    ``slow_tail`` makes a ``share`` (0–1) of answers wait ``delay_s`` seconds, ``errors`` answers 503 to that share,
    ``resets`` breaks the connection instead of answering, ``cpu_hog`` keeps the process busy for that share of time,
    ``lost`` kills the process, as a machine that fails would. A fault ends after ``seconds``; ``None`` means it stays
    until the next one is set.
    """

    kind: Kind = "none"
    share: float = 0.1
    delay_s: float = 2.5
    seconds: float | None = None


def parse_fault(document: object) -> Fault:
    """Return the fault that the body of ``POST /-/fault`` asks for.

    Raises:
        ValueError: naming the field that is wrong.
    """
    if not isinstance(document, Mapping):
        raise ValueError('the body must be a JSON object such as {"kind": "slow_tail", "share": 0.1}')  # noqa: TRY004
    unknown = set(document) - {"kind", "share", "delay_s", "seconds"}
    if unknown:
        raise ValueError(f"unknown field {min(map(str, unknown))!r}")
    kind = next((known for known in KINDS if known == document.get("kind")), None)
    if kind is None:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    default = Fault()
    return Fault(
        kind,
        share=_number(document, "share", default.share, 1.0),
        delay_s=_number(document, "delay_s", default.delay_s, 600.0),
        seconds=None if document.get("seconds") is None else _number(document, "seconds", 0.0, 86_400.0),
    )


def _number(document: Mapping[str, object], key: str, default: float, highest: float) -> float:
    value = document.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= highest:
        raise ValueError(f"{key} must be a number from 0 to {highest:g}")
    return float(value)


class Faults:
    """The fault in force at one service, and the dice that decide whom it hits."""

    def __init__(self, seed: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._random = random.Random(seed)
        self._clock = clock
        self._fault = Fault()
        self._ends_at: float | None = None
        self._hog: asyncio.Task[None] | None = None

    @property
    def current(self) -> Fault:
        """The fault in force now; one whose time is over reads as none."""
        if self._ends_at is not None and self._clock() >= self._ends_at:
            self._fault, self._ends_at = Fault(), None
        return self._fault

    def inject(self, fault: Fault) -> None:
        """Put ``fault`` in force in place of the one before."""
        self._fault = fault
        self._ends_at = None if fault.seconds is None else self._clock() + fault.seconds
        if fault.kind == "cpu_hog" and (self._hog is None or self._hog.done()):
            self._hog = asyncio.get_running_loop().create_task(self._burn())
        if fault.kind == "lost":
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, os.kill, os.getpid(), signal.SIGKILL)

    def hit(self) -> Fault:
        """Roll the dice for one request: the fault it suffers, or the one of kind ``none``."""
        fault = self.current
        if fault.kind in {"none", "cpu_hog", "lost"} or self._random.random() >= fault.share:
            return Fault()
        return fault

    async def _burn(self) -> None:
        """Block the process for a share of every period, as a neighbour that eats its CPU would."""
        while self.current.kind == "cpu_hog":
            busy = _HOG_PERIOD_S * self.current.share
            until = time.perf_counter() + busy
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(_HOG_PERIOD_S - busy)


async def suffer(
    fault: Fault, request: web.Request, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer ``request`` under ``fault``."""
    if fault.kind == "errors":
        return web.json_response({"error": "injected fault"}, status=503)
    if fault.kind == "resets":
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("injected fault")
    if fault.kind == "slow_tail":
        await asyncio.sleep(fault.delay_s)
    return await answer(request)
