"""Serves the dashboard until it is told to stop."""

from __future__ import annotations

from meshwise.dashboard.settings import DashboardSettings
from meshwise.store.client import StoreAddress
from meshwise.store.serving import Access, Door, serve
from meshwise.store.tls import client_context


def run(settings: DashboardSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Raises:
        ConfigError: the port is taken, or the address is open without token and TLS.
    """
    door = Door(
        room="dashboard",
        host=settings.host,
        port=settings.port,
        token=settings.token,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_client_ca=settings.tls_client_ca,
        allowed_hosts=settings.allowed_hosts,
    )
    door.check()
    listener = door.listen()

    # Dash and Plotly take a second to import: after the checks, so that a mistake is told at once.
    from meshwise.dashboard.app import create_app
    from meshwise.dashboard.control import HttpControl
    from meshwise.dashboard.store_queries import StoreQueries

    store = StoreAddress(
        settings.store_url,
        settings.store_user,
        settings.store_password,
        settings.store_token,
        settings.store_ca,
        settings.store_client_cert,
    )
    store.check()
    queries = StoreQueries(
        store,
        timeout_s=settings.query_timeout_s,
        cache_s=settings.cache_s,
    )
    control = HttpControl(
        settings.control_url,
        settings.control_token,
        settings.query_timeout_s,
        tls=client_context(settings.control_ca, settings.control_client_cert),
    )
    try:
        serve(Access(create_app(settings, queries, control), door), door, listener)
    finally:
        control.close()
