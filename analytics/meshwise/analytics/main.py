"""Starting the analytics process, and stopping it."""

from __future__ import annotations

import socket
import sqlite3

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from meshwise.analytics.alerts.courier import Courier
from meshwise.analytics.alerts.outbox import Outbox
from meshwise.analytics.alerts.silences import Silences
from meshwise.analytics.app import create_app
from meshwise.analytics.audits import audits_for
from meshwise.analytics.control_api import ControlApi
from meshwise.analytics.findings import persist
from meshwise.analytics.jobs import Cycle
from meshwise.analytics.judging import Judge
from meshwise.analytics.lease import Lease
from meshwise.analytics.metrics import registry_for
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo.objectives import dead_rules, objectives_for
from meshwise.analytics.slo.promises import Promises
from meshwise.contracts.errors import ConfigError, UnavailableError
from meshwise.store.client import StoreAddress
from meshwise.store.serving import Access, Door, serve
from meshwise.store.span_edges import SpanEdges
from meshwise.store.tls import client_context

log = structlog.get_logger(__name__)


def run(settings: AnalyticsSettings) -> None:
    """Serve until SIGTERM or SIGINT; the cycle under way is finished first.

    Raises:
        ConfigError: it cannot be started as configured, or the store does not answer.
    """
    door = _door(settings)
    door.check()
    _warn_of_dead_rules(settings)
    outbox = _open_outbox(settings)
    store = store_of(settings)
    token = settings.control_token.get_secret_value() if settings.control_token else ""
    with door.listen() as listener:
        try:
            # Selectors of a thousand objectives are longer than an address may be: they go into the body.
            client = store.connect(form_encode_query_params=True)
            reader = store.connect(form_encode_query_params=True)
            looker = store.connect(form_encode_query_params=True)
        except UnavailableError as error:
            outbox.close()
            raise ConfigError(f"analytics cannot start: {error}") from None
        control = ControlApi(
            settings.control_url,
            token=token,
            timeout_s=settings.control_timeout_s,
            tls=client_context(settings.control_ca, settings.control_client_cert),
        )
        # The same after a restart, so that nobody waits for a process that is only starting again.
        lease = Lease(client, settings.cycle_s, f"{socket.gethostname()}:{settings.port}:{settings.data_dir.resolve()}")
        promises = Promises(reader, persist, [webhook.name for webhook in settings.webhooks])
        audits = audits_for(settings, lambda: promises.found.objectives)
        try:
            cycle = Cycle(
                settings,
                client=client,
                control=control,
                outbox=outbox,
                audits=audits,
                persist=persist,
                derive=SpanEdges(client, settle_s=settings.spans_settle_s).advance,
                promises=promises,
                silences=Silences(reader, persist),
                lease=lease,
            )
            judge = Judge(client=looker, control=control, audits=audits, persist=persist, leads=lambda: lease.leads)
            courier = Courier(outbox, settings.webhooks)
            registry = registry_for(cycle, judge, outbox, courier)
            app = create_app(settings, cycle, judge, courier, registry=registry, reader=reader)
            serve(Access(app, door), door, listener)
        finally:
            _release(lease)
            control.close()
            outbox.close()
            client.close()
            reader.close()
            looker.close()


def store_of(settings: AnalyticsSettings) -> StoreAddress:
    """Return where the store is and what to show it."""
    return StoreAddress(
        settings.store_url,
        settings.store_user,
        settings.store_password.get_secret_value(),
        settings.store_token.get_secret_value(),
        settings.store_ca,
        settings.store_client_cert,
    )


def _release(lease: Lease) -> None:
    try:
        lease.release()
    except (ClickHouseError, OSError) as error:
        log.info("the store was not told that this process is gone; another waits for it", problem=str(error)[:200])


def _door(settings: AnalyticsSettings) -> Door:
    return Door(
        room="analytics",
        host=settings.host,
        port=settings.port,
        token=settings.token.get_secret_value() if settings.token else "",
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_client_ca=settings.tls_client_ca,
        drain_s=10.0,
    )


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
