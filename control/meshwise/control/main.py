"""Serves control until it is told to stop."""

from __future__ import annotations

from dataclasses import replace

from meshwise.control.app import create_app, door_of
from meshwise.control.plane import ControlPlane
from meshwise.control.settings import ControlSettings
from meshwise.store.serving import serve


def run(settings: ControlSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Raises:
        ConfigError: the port is taken, the database cannot be opened, or the address is open without token and TLS.
    """
    door = door_of(settings)
    door.check()
    with door.listen() as listener:
        app = create_app(settings)
        # Streams never end by themselves, and the drain waits for them.
        plane: ControlPlane = app.state.plane
        serve(app, replace(door, client_authority=plane.authority.bundle), listener, on_stop=plane.hub.close)
