"""Serves control until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Iterator

import structlog
import uvicorn

from meshwise.contracts.errors import ConfigError
from meshwise.control.api.access import is_loopback
from meshwise.control.app import create_app
from meshwise.control.events import EventHub
from meshwise.control.settings import ControlSettings

log = structlog.get_logger(__name__)


def run(settings: ControlSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Raises:
        ConfigError: the port is taken, the database cannot be opened, or the address is open without token and TLS.
    """
    check_exposure(settings)
    listener = bind(settings.host, settings.port)
    try:
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            ws="none",
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        )
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(_Server(config), listener, app.state.plane.hub))
    finally:
        listener.close()
    log.info("stopped")


def check_exposure(settings: ControlSettings) -> None:
    """Refuse an address that others reach without a token and TLS, and TLS files that cannot be used.

    Raises:
        ConfigError: saying what is missing.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError("control.tls_cert and control.tls_key belong together; set both or none")
    if not is_loopback(settings.host) and (settings.token is None or settings.tls_cert is None):
        raise ConfigError(
            f"control.host {settings.host} is reachable from outside; set control.token, control.tls_cert and "
            "control.tls_key, or listen on 127.0.0.1"
        )
    if settings.tls_cert is not None and settings.tls_key is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"control.tls_cert {settings.tls_cert} and its key cannot be used: {error}") from None


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the address.

    Raises:
        ConfigError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's delay (40 ms an answer) off only where it is.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"control cannot listen on {host}:{port}: {reason}; stop what uses it, or set control.port"
        ) from None
    return listener


class _Server(uvicorn.Server):
    """Leaves signals to ``_serve``: uvicorn would raise them again once it stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(server: _Server, listener: socket.socket, hub: EventHub) -> None:
    host, port = listener.getsockname()[:2]

    def stop() -> None:
        log.info("stopping")
        server.should_exit = True
        hub.close()  # streams never end by themselves, and the server waits for them

    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
    log.info("listening", host=host, port=port, tls=server.config.ssl_certfile is not None)
    await server.serve(sockets=[listener])
