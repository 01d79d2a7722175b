from __future__ import annotations

import socket

import pytest

from meshwise.cli.ports import check_ports_free, is_free, pick_ports
from meshwise.contracts.errors import ConfigError


def test_a_port_somebody_listens_on_is_not_free() -> None:
    """A listening socket takes its port, a closed one gives it back."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(ConfigError, match=rf"port is in use: {port} \(store\.port\)"):
            check_ports_free([("store.port", port), ("control.port", 0)])


def test_picked_ports_are_different_and_free() -> None:
    """As many ports as asked for, none twice, none in use."""
    ports = pick_ports(20)
    assert len(set(ports)) == 20
    check_ports_free([("x", port) for port in ports])
