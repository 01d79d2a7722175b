"""The store's side of an insert: raw OTLP into a landing table, and what its errors mean.

The client's library is imported with this module and not by the first insert: that takes a seventh of a second, in
which no sender would get an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp
from clickhouse_connect import common
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from meshwise.collector.errors import StoreAwayError, StoreRefusedError
from meshwise.collector.plain import plain
from meshwise.collector.signals import Signal
from meshwise.contracts.errors import ConfigError, UnavailableError
from meshwise.store import otlp

if TYPE_CHECKING:
    from meshwise.store.client import StoreAddress

DATA_CODES: Final = frozenset(
    {
        6, 26, 27, 32, 33, 34, 38, 41, 53, 69, 70, 72, 117, 128, 131, 190, 321, 349, 395, 407, 432, 433, 436, 444, 469,
        676,
    }
)  # fmt: skip
"""Exceptions that mean these bytes and no others: cannot parse, read, convert; throwIf, constraints, casts."""

WAIT_CODES: Final = frozenset(
    {
        # timeouts, memory, too many queries or parts, quota, disk, read-only, cancelled, network, Keeper
        159, 160, 164, 173, 201, 202, 203, 209, 210, 236, 241, 242, 243, 252, 285, 319, 394, 425, 473, 999,
        # not ready: no database, table or column yet; wrong credentials or grants
        10, 16, 60, 81, 192, 193, 194, 497, 516, 517,
    }
)  # fmt: skip
"""Exceptions that pass with time or an operator's help; nothing is wrong with the data."""

PUSHED: Final = "while pushing to view"
"""How the store names each view on the way to a failure. The first one is ours, and fails before anything is written; a
failure further on leaves rows in the tables before it."""

ERROR_BYTES: Final = 64 * 1024
"""Most characters of a message that are looked at; the store spells out whole expressions in them."""

STREAM_BYTES: Final = 1024 * 1024
"""Bytes handed to the connection at a time, so that an insert is in memory once."""

Body = Sequence[bytes | memoryview]
"""Serialized OTLP requests of one signal; one after the other they are one request."""


class Landing(Protocol):
    """Where segments go."""

    async def insert(self, signal: Signal, token: str, body: Body) -> None:
        """Insert OTLP requests in protobuf, once per ``token``.

        Raises StoreAwayError (try again) or StoreRefusedError (the store's own exception, code attached).
        """

    async def close(self) -> None:
        """Give connections back."""


class ClickHouseLanding:
    """The landing tables of a ClickHouse over HTTP; connects when first needed and again after a failure."""

    def __init__(self, address: StoreAddress, timeout_s: float, *, cluster: bool = False) -> None:
        self._address = address
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def insert(self, signal: Signal, token: str, body: Body) -> None:
        """Insert ``body`` with FORMAT ProtobufSingle: the store parses it, views spread it over the tables.

        What nests in values is written as text before. In spans the quick way says whether there is anything; each step
        follows from the bytes alone, so an insert that is repeated takes the same way again.
        """
        if body:
            if signal is Signal.TRACES and await self._quick(token, body):
                return
            # Worked out where it does not hold up receivers.
            written = await asyncio.to_thread(lambda: [plain(signal, payload) for payload in body])
            if signal is Signal.TRACES and written != list(body) and await self._quick(token, written):
                return
            body = written
        await self._insert(signal, token, body, quick=False)

    async def _quick(self, token: str, body: Body) -> bool:
        """Insert spans the quick way; False when the store wrote nothing, for there are values it does not know."""
        try:
            await self._insert(Signal.TRACES, token, body, quick=True)
        except StoreRefusedError as error:
            # What fails further on may spell out the expression, and has left rows in the tables.
            if error.in_part or otlp.UNUSUAL not in str(error):
                raise
            return False
        return True

    async def _insert(self, signal: Signal, token: str, body: Body, *, quick: bool) -> None:
        settings = otlp.insert_settings(signal.value, token, quick=quick, cluster=self._cluster)
        client = await self._connect()
        pieces = list(body)
        try:
            await client.raw_insert(
                otlp.QUICK_LANDING if quick else otlp.LANDING_TABLES[signal.value],
                insert_block=stream(pieces) if pieces else b"",
                settings={**settings, "wait_end_of_query": 1},
                fmt=otlp.FORMAT,
            )
        except ClickHouseError as error:
            code = getattr(error, "code", None)
            problem = " ".join(str(error).split())[:1000]
            if code is None or code in WAIT_CODES:
                await self._forget(client)
                raise StoreAwayError(problem) from None
            raise StoreRefusedError(code, problem, in_part=str(error).count(PUSHED) > 1) from None
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            await self._forget(client)
            raise StoreAwayError(f"{type(error).__name__}: {error}") from None
        finally:
            # A request that failed lives on in cycles of the HTTP client, and must not keep a segment in memory.
            pieces.clear()

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            await self._forget(self._client)

    async def _connect(self) -> AsyncClient:
        # Messages are cut to 240 characters otherwise; which views failed stands at their end.
        common.set_setting("max_error_size", ERROR_BYTES)
        async with self._connecting:
            if self._client is None:
                try:
                    self._client = await self._address.connect_async(
                        connect_timeout=min(10.0, self._timeout_s),
                        send_receive_timeout=self._timeout_s,
                        compress=False,
                    )
                except (UnavailableError, ConfigError) as error:  # a certificate may be missing while it is renewed
                    raise StoreAwayError(str(error)) from None
            return self._client

    async def _forget(self, client: AsyncClient) -> None:
        if self._client is client:
            self._client = None
            await client.close()


async def stream(body: Body) -> AsyncIterator[bytes]:
    """Yield ``body`` in pieces of about ``STREAM_BYTES``."""
    gathered: list[bytes | memoryview] = []
    size = 0
    for payload in body:
        view = memoryview(payload)
        for at in range(0, len(view), STREAM_BYTES):
            part = view[at : at + STREAM_BYTES]
            if gathered and size + len(part) > STREAM_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
            gathered.append(part)
            size += len(part)
    if gathered:
        yield b"".join(gathered)
