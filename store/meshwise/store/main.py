"""Starting the store, and bringing its tables up to date."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from types import FrameType

import structlog
import uvicorn

from meshwise.contracts.errors import ConfigError
from meshwise.store import client, migrations
from meshwise.store.access import check_exposure
from meshwise.store.engine import Engine
from meshwise.store.server import build_app
from meshwise.store.settings import StoreSettings

log = structlog.get_logger(__name__)


def run(settings: StoreSettings) -> None:
    """Serve the embedded store until SIGTERM or SIGINT; its tables are brought up to date first.

    Raises:
        ConfigError: it cannot be started as configured.
    """
    check_exposure(settings)
    with _bind(settings) as listener:
        engine = Engine(settings)
        engine.open()
        try:
            # This process is the only owner of the directory, so nobody else can be at it.
            applied = migrations.migrate(migrations.EngineConnection(engine, settings.database))
            log.info("schema up to date", applied=applied)
            _serve(settings, engine, listener)
        finally:
            engine.close()


def migrate(settings: StoreSettings) -> list[str]:
    """Bring the store at ``settings.url`` (or at its own host and port) up to date; return the versions applied.

    Raises:
        UnavailableError: the store is down.
        ConfigError: its history and ours disagree.
    """
    scheme = "https" if settings.tls_cert else "http"
    url = settings.url or f"{scheme}://{settings.host}:{settings.port}/{settings.database}"
    target = client.connect(url, user=settings.user, password=settings.password, create_database=True)
    try:
        return migrations.migrate(migrations.ClientConnection(target))
    finally:
        target.close()


def _serve(settings: StoreSettings, engine: Engine, listener: socket.socket) -> None:
    app, endpoint = build_app(engine, settings)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(settings.drain_s)),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"store.tls_cert and store.tls_key do not work together: {error}") from None
    port = listener.getsockname()[1]
    log.info("listening", host=settings.host, port=port, data_dir=str(settings.data_dir), version=engine.version)
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal once more after its shutdown: the engine still wants to close in order.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        endpoint.close()
    log.info("stopped")


def _ignore(number: int, frame: FrameType | None) -> None:
    del number, frame


def _bind(settings: StoreSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        # Two sockets may bind with SO_REUSEADDR, but only one may listen.
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"store cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
            "stop what uses it, or set store.port"
        ) from None
    return listener
