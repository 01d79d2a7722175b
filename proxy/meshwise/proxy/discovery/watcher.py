"""Keeps endpoints up to date: looks at the discovery file for changes, and asks DNS when records run out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

from meshwise.contracts.errors import ConfigError, DocumentError
from meshwise.contracts.snapshot import Endpoint
from meshwise.proxy.discovery.documents import (
    MIN_REFRESH_S,
    Discovered,
    DnsName,
    endpoints_of,
    parse_discovery,
    refresh_s,
)
from meshwise.proxy.discovery.messages import Record
from meshwise.proxy.net.dns import ResolveError, Resolver

LOOK_S: Final = 1.0
"""How often the file is looked at."""
AGAIN_S: Final = 5.0
"""When to ask again after DNS did not answer; what was known stays in use."""
MOST_BYTES: Final = 4_194_304
"""Largest discovery file."""

log = structlog.get_logger(__name__)


class Discovery:
    """Follows the file at ``path``; ``take`` is given every service's endpoints whenever any of them changes."""

    def __init__(
        self,
        path: Path,
        resolver: Resolver,
        take: Callable[[Mapping[str, tuple[Endpoint, ...]]], None],
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self._path = path
        self._resolver = resolver
        self._take = take
        self._look_s = look_s
        self._said = Discovered({}, {})
        self._resolved: dict[str, tuple[Endpoint, ...]] = {}
        self._asking: dict[str, tuple[DnsName, asyncio.Task[None]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._seen: tuple[int, int] = (0, 0)

    def start(self) -> None:
        """Read the file once, and follow it from now on.

        Raises:
            ConfigError: it cannot be read, or is wrong.
        """
        self._seen = _version(self._path)
        self._say(read(self._path))
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def stop(self) -> None:
        """Follow it no more."""
        tasks = [task for _, task in self._asking.values()] + ([self._looking] if self._looking else [])
        self._asking.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            version = _version(self._path)
            if version == self._seen:
                continue
            self._seen = version
            try:
                said = await asyncio.to_thread(read, self._path)
            except ConfigError as error:
                log.warning("discovery file refused; what was known stays", error=str(error))
                continue
            self._say(said)

    def _say(self, said: Discovered) -> None:
        self._said = said
        loop = asyncio.get_running_loop()
        for service, (name, task) in list(self._asking.items()):
            if said.names.get(service) != name:
                task.cancel()
                del self._asking[service]
                self._resolved.pop(service, None)
        for service, name in said.names.items():
            if service not in self._asking:
                self._asking[service] = (name, loop.create_task(self._ask(service, name)))
        self._give()

    def _give(self) -> None:
        waiting: dict[str, tuple[Endpoint, ...]] = dict.fromkeys(self._said.names, ())
        self._take({**self._said.endpoints, **waiting, **self._resolved})

    async def _ask(self, service: str, dns: DnsName) -> None:
        while True:
            try:
                endpoints, wait = await self._resolve(dns)
            except ResolveError as error:
                log.warning("DNS did not answer; what was known stays", service=service, error=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            if self._resolved.get(service) != endpoints:
                self._resolved[service] = endpoints
                log.info("endpoints found by DNS", service=service, endpoints=len(endpoints))
                self._give()
            await asyncio.sleep(wait)

    async def _resolve(self, dns: DnsName) -> tuple[tuple[Endpoint, ...], float]:
        answer = await self._resolver.ask(dns.name, dns.type)
        records = list(answer.records)
        addresses: dict[str, tuple[Record, ...]] = {}
        if dns.type == "srv":
            for target in {record.value for record in records}:
                found = (await self._resolver.ask(target, "a")).records
                addresses[target] = found or (await self._resolver.ask(target, "aaaa")).records
                records += addresses[target]
        wait = refresh_s(records) if records else max(MIN_REFRESH_S, AGAIN_S)
        return endpoints_of(dns, answer.records, addresses), wait


def read(path: Path) -> Discovered:
    """Return what the file at ``path`` says.

    Raises:
        ConfigError: it cannot be read, or is wrong; one line that names the place and the remedy.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"proxy.discovery_file {path} cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise ConfigError(f"proxy.discovery_file {path} is larger than {MOST_BYTES} bytes")
    try:
        document: Any = yaml.safe_load(data)
        return parse_discovery(document)
    except (yaml.YAMLError, DocumentError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"proxy.discovery_file {path} is wrong: {problem}") from None


def _version(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
