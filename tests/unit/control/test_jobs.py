from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meshwise.control import registrations
from meshwise.control.identity.authority import open_authority
from meshwise.control.jobs import Pulse, tick
from meshwise.control.plane import ControlPlane
from meshwise.control.registry import ProxyRecord
from meshwise.control.settings import ControlSettings
from meshwise.control.storage import open_storage

PROXY = ProxyRecord("a-1", "a", "127.0.0.1", 9000, 0, "", "1", registered_at=100.0, last_seen=100.0)


class Clock:
    """A clock that stands until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at 100 s."""
    return Clock()


@pytest.fixture
def plane(tmp_path: Path, clock: Clock) -> Iterator[ControlPlane]:
    """A control plane with one proxy, its ttl 10 s."""
    authority = open_authority(tmp_path, "mesh.local", 0.0, 3600.0)
    settings = ControlSettings(ttl_s=10.0, data_dir=tmp_path)
    opened = ControlPlane(settings, open_storage("", tmp_path, 0.0), authority, clock)
    with opened.storage.write() as tx:
        registrations.register(tx, PROXY, 10)
    yield opened
    opened.storage.close()


def alive(plane: ControlPlane) -> bool:
    with plane.storage.read() as tx:
        proxy = tx.proxy("a-1")
    return proxy is not None and proxy.alive


def test_steady_ticks_let_a_silent_proxy_expire(plane: ControlPlane, clock: Clock) -> None:
    """Tick by tick, the proxy lives for its ttl and no longer, and the snapshots change with it."""
    pulse = Pulse(100.0, 0.0, 100.0)
    for step in range(1, 22):
        clock.now = 100.0 + step / 2
        pulse = tick(plane, pulse, step / 2)
        assert alive(plane) is (step <= 20)
    with plane.storage.read() as tx:
        assert tx.revision == 3


def test_a_note_of_life_keeps_a_proxy(plane: ControlPlane, clock: Clock) -> None:
    """What presence heard is put into the registry by the next tick."""
    plane.presence.note("a-1", 109.0)
    clock.now = 110.5
    tick(plane, Pulse(110.0, 10.0, 100.0), 10.5)
    assert alive(plane)
    with plane.storage.read() as tx:
        assert [replace(one, secret_hash="") for one in tx.proxies()] == [replace(PROXY, last_seen=109.0)]


def test_after_a_pause_of_control_everyone_gets_a_fresh_ttl(plane: ControlPlane, clock: Clock) -> None:
    """An hour in which control was stopped takes nobody out."""
    clock.now = 3700.0
    pulse = tick(plane, Pulse(100.0, 0.0, 100.0), 3600.0)
    assert alive(plane)
    assert pulse.listening_since == 3700.0
