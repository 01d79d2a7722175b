"""The store's side of an insert: raw OTLP into a landing table, and what its errors mean."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from meshwise.collector.errors import StoreAwayError, StoreRefusedError
from meshwise.collector.signals import Signal
from meshwise.contracts.errors import UnavailableError

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

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


class Landing(Protocol):
    """Where segments go."""

    async def insert(self, signal: Signal, token: str, body: bytes) -> None:
        """Insert one OTLP request in protobuf, once per ``token``.

        Raises StoreAwayError (try again) or StoreRefusedError (the store's own exception, code attached).
        """

    async def close(self) -> None:
        """Give connections back."""


class ClickHouseLanding:
    """The landing tables of a ClickHouse over HTTP; connects when first needed and again after a failure."""

    def __init__(self, url: str, user: str, password: str, timeout_s: float, *, cluster: bool = False) -> None:
        self._url = url
        self._cluster = cluster
        self._user = user
        self._password = password
        self._timeout_s = timeout_s
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def insert(self, signal: Signal, token: str, body: bytes) -> None:
        """Insert ``body`` with FORMAT ProtobufSingle: the store parses it, views spread it over the tables."""
        import aiohttp
        from clickhouse_connect.driver.exceptions import ClickHouseError

        from meshwise.store import otlp

        settings = {**otlp.insert_settings(signal.value, token, cluster=self._cluster), "wait_end_of_query": 1}
        client = await self._connect()
        try:
            await client.raw_insert(
                otlp.LANDING_TABLES[signal.value], insert_block=body, settings=settings, fmt=otlp.FORMAT
            )
        except ClickHouseError as error:
            code = getattr(error, "code", None)
            problem = " ".join(str(error).split())[:1000]
            if code is None or code in WAIT_CODES:
                await self._forget(client)
                raise StoreAwayError(problem) from None
            raise StoreRefusedError(code, problem) from None
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            await self._forget(client)
            raise StoreAwayError(f"{type(error).__name__}: {error}") from None

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            await self._forget(self._client)

    async def _connect(self) -> AsyncClient:
        from meshwise.store.client import connect_async

        async with self._connecting:
            if self._client is None:
                try:
                    self._client = await connect_async(
                        self._url,
                        user=self._user,
                        password=self._password,
                        connect_timeout=min(10.0, self._timeout_s),
                        send_receive_timeout=self._timeout_s,
                        compress=False,
                    )
                except UnavailableError as error:
                    raise StoreAwayError(str(error)) from None
            return self._client

    async def _forget(self, client: AsyncClient) -> None:
        if self._client is client:
            self._client = None
            await client.close()
