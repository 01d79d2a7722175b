"""Starting the analytics process, and stopping it."""

from __future__ import annotations

import signal
import sqlite3
import ssl
import threading
from types import FrameType

import structlog
import uvicorn

from meshwise.analytics.alerts.courier import Courier
from meshwise.analytics.alerts.outbox import Outbox
from meshwise.analytics.app import create_app
from meshwise.analytics.audits import audits_for
from meshwise.analytics.control_api import ControlApi
from meshwise.analytics.findings import persist
from meshwise.analytics.jobs import Cycle
from meshwise.analytics.listen import check_exposure, open_socket
from meshwise.analytics.metrics import registry_for
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo.objectives import dead_rules, objectives_for
from meshwise.contracts.errors import ConfigError, UnavailableError
from meshwise.store.client import connect

log = structlog.get_logger(__name__)


def run(settings: AnalyticsSettings) -> None:
    """Serve until SIGTERM or SIGINT; the cycle under way is finished first.

    Raises:
        ConfigError: it cannot be started as configured, or the store does not answer.
    """
    check_exposure(settings)
    _warn_of_dead_rules(settings)
    outbox = _open_outbox(settings)
    password = settings.store_password.get_secret_value()
    token = settings.control_token.get_secret_value() if settings.control_token else ""
    with open_socket(settings.host, settings.port) as listener:
        try:
            client = connect(settings.store_url, user=settings.store_user, password=password)
            reader = connect(settings.store_url, user=settings.store_user, password=password)
        except UnavailableError as error:
            outbox.close()
            raise ConfigError(f"analytics cannot start: {error}") from None
        control = ControlApi(settings.control_url, token=token, timeout_s=settings.control_timeout_s)
        try:
            cycle = Cycle(
                settings,
                client=client,
                control=control,
                outbox=outbox,
                audits=audits_for(settings),
                persist=persist,
            )
            courier = Courier(outbox, settings.webhooks)
            app = create_app(settings, cycle, courier, registry_for(cycle, outbox, courier), reader)
            config = uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=10,
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
            )
            try:
                config.load()
            except (ssl.SSLError, OSError) as error:
                raise ConfigError(f"analytics.tls_cert and tls_key do not work together: {error}") from None
            log.info("listening", host=settings.host, port=listener.getsockname()[1])
            _quiet_signals()
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            control.close()
            outbox.close()
            client.close()
            reader.close()
    log.info("stopped", cycles=cycle.runs)


def _open_outbox(settings: AnalyticsSettings) -> Outbox:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        return Outbox(settings.data_dir / "webhooks.sqlite3", settings.webhook_queue_max)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"analytics.data_dir {settings.data_dir} cannot be used: {error}") from None


def _warn_of_dead_rules(settings: AnalyticsSettings) -> None:
    for objective in objectives_for(["*", *settings.objectives], settings.default_objective, settings.objectives):
        for rule in dead_rules(objective):
            log.warning(
                "a burn-rate rule can never fire with this target",
                objective=objective.name,
                target=objective.target,
                factor=rule.factor,
            )


def _quiet_signals() -> None:
    # uvicorn raises the signal that stopped it once more at the end; here the end is a plain return.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    del number, frame
