"""Proxies that join a real control with a token, renew by themselves, and come back without one."""

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshwise.proxy.identity.agent import IdentityAgent, token_of
from meshwise.proxy.proxy import Proxy
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.testing import ListRecorder
from support.control import Control, running_control
from support.data_path import Mesh, Upstream, client, until
from support.identity import pointing


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A control whose certificates live two seconds."""
    with running_control(tmp_path_factory.mktemp("identity"), certificate_life_s=2.0) as one:
        yield one


def new_token(control: Control, service: str) -> str:
    """Ask control for a join token."""
    return str(control.post("/v1/join-tokens", {"service": service})["token"])


@contextlib.asynccontextmanager
async def member(
    control: Control, directory: Path, service: str, token: str, **settings: Any
) -> AsyncIterator[tuple[Mesh, IdentityAgent]]:
    """A proxy with its agent."""
    chosen: dict[str, Any] = {"drain_delay_s": 0.0, "drain_timeout_s": 1.0, "outbound_port": 0, "inbound_port": 0}
    chosen |= {"service": service, "identity": "strict", "identity_dir": directory, "control_url": control.url}
    proxy = Proxy(ProxySettings(**chosen, **settings), ListRecorder())
    assert proxy.tls is not None
    file = directory / f"{service}.pem"
    agent = IdentityAgent(control.url, service, file, proxy.tls, token_of(token, None))
    proxy.identity_stats = agent.stats
    await proxy.start()
    await agent.start()
    try:
        yield Mesh(proxy, proxy.outbound.recorder), agent  # type: ignore[arg-type]
    finally:
        await agent.stop()
        await proxy.stop()


async def test_rotation_under_load_loses_nothing(control: Control, tmp_path: Path) -> None:
    """Certificates of two seconds are renewed again and again while calls go on over ever new connections."""
    async with (
        Upstream() as app,
        member(control, tmp_path, "catalog", new_token(control, "catalog"), app_port=app.port) as (callee, first),
        member(control, tmp_path, "frontend", new_token(control, "frontend"), proxy_pool_idle_s=0.01) as (
            caller,
            second,
        ),
    ):
        await asyncio.gather(first.obtained.wait(), second.obtained.wait())
        caller.proxy.apply(pointing("catalog", callee.port, "strict"))
        statuses = []
        async with client(caller.port) as one:
            while min(first.renewals, second.renewals) < 4:
                statuses.append((await one.request("GET", "catalog")).status)
                await asyncio.sleep(0.015)
        assert set(statuses) == {200}
        assert app.connections >= 1
        assert first.failures == second.failures == 0
        assert not any(callee.proxy.stats()["identity"]["tls_failures"].values())
        assert 0 < callee.proxy.stats()["identity"]["certificate_expiry_seconds"] <= 2.0


async def test_a_restart_needs_no_token(control: Control, tmp_path: Path) -> None:
    """What was joined once comes back from the disk, from a file that only its owner reads, and goes on renewing."""
    async with member(control, tmp_path, "cart", new_token(control, "cart")) as (_, agent):
        await agent.obtained.wait()
    file = tmp_path / "cart.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with member(control, tmp_path, "cart", "") as (_, agent):
        assert agent.obtained.is_set()
        await until(lambda: agent.renewals)


async def test_a_token_works_once_and_for_its_service(control: Control, tmp_path: Path) -> None:
    """A used token, and a token of another service, bring no identity."""
    token = new_token(control, "cart")
    async with member(control, tmp_path / "a", "cart", token) as (_, agent):
        await agent.obtained.wait()
    async with member(control, tmp_path / "b", "cart", token) as (_, agent):
        await until(lambda: agent.failures)
        assert "403" in agent.last_error
        assert not agent.obtained.is_set()
    async with member(control, tmp_path / "c", "cart", new_token(control, "payment")) as (_, agent):
        await until(lambda: agent.failures)
        assert not agent.obtained.is_set()


async def test_a_half_written_file_is_not_used(control: Control, tmp_path: Path) -> None:
    """A cut identity file is left aside, and the proxy joins anew."""
    async with member(control, tmp_path, "cart", new_token(control, "cart")) as (_, agent):
        await agent.obtained.wait()
    file = tmp_path / "cart.pem"
    file.write_bytes(file.read_bytes()[:700])
    async with member(control, tmp_path, "cart", new_token(control, "cart")) as (_, agent):
        await agent.obtained.wait()
        assert agent.renewals >= 1
