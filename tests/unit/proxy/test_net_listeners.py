"""Sockets bound before anybody serves them."""

import socket

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.net.listeners import bind, close, extend, port_of, share
from meshwise.proxy.settings import ProxySettings


def settings(**values: object) -> ProxySettings:
    """Settings on free ports."""
    chosen = {"service": "web", "outbound_port": 0, "inbound_port": 0, "admin_port": 0, **values}
    return ProxySettings.model_validate(chosen)


@pytest.mark.parametrize(("sockets", "workers"), [(1, 1), (2, 2), (3, 2), (1, 3), (5, 3)])
def test_every_socket_is_served_and_every_worker_serves(sockets: int, workers: int) -> None:
    """No socket is left to nobody, and nobody is left without, whatever their numbers."""
    held = [socket.socket() for _ in range(sockets)]
    shares = [share({"outbound": held, "admin": held}, number, workers) for number in range(workers)]
    assert all(part.keys() == {"outbound"} and part["outbound"] for part in shares)
    assert {one.fileno() for part in shares for one in part["outbound"]} == {one.fileno() for one in held}
    close({"outbound": held})


def test_workers_share_a_port_and_strangers_do_not() -> None:
    """One port for all of a listener's sockets; anybody else is told that it is in use."""
    bound = bind(settings(workers=3, app_port=9))
    try:
        assert {name: len(group) for name, group in bound.items()} == {"outbound": 3, "admin": 1, "inbound": 3}
        port = port_of(bound["outbound"])
        assert {one.getsockname()[1] for one in bound["outbound"]} == {port}
        with pytest.raises(ConfigError, match=f"outbound port 127.0.0.1:{port} is in use.*proxy.outbound_port"):
            bind(settings(outbound_port=port, workers=2))
    finally:
        close(bound)


def test_what_was_taken_over_is_completed() -> None:
    """More workers get sockets on the same port; a listener that is not wanted any more is closed."""
    taken = bind(settings(workers=1, app_port=9))
    gone = taken["inbound"][0]
    extend(taken, settings(workers=3))
    try:
        assert {name: len(group) for name, group in taken.items()} == {"outbound": 3, "admin": 1}
        assert len({one.getsockname()[1] for one in taken["outbound"]}) == 1
        assert gone.fileno() == -1
    finally:
        close(taken)
