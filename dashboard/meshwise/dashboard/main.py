"""Serves the dashboard until it is told to stop."""

from __future__ import annotations

from meshwise.dashboard.settings import DashboardSettings
from meshwise.store.serving import Access, Door, serve


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
        allowed_hosts=settings.allowed_hosts,
    )
    door.check()
    listener = door.listen()

    # Dash and Plotly take a second to import: after the checks, so that a mistake is told at once.
    from meshwise.dashboard.app import create_app
    from meshwise.dashboard.control import HttpControl
    from meshwise.dashboard.store_queries import StoreQueries

    queries = StoreQueries(
        settings.store_url,
        user=settings.store_user,
        password=settings.store_password,
        timeout_s=settings.query_timeout_s,
        cache_s=settings.cache_s,
    )
    control = HttpControl(settings.control_url, settings.control_token, settings.query_timeout_s)
    try:
        serve(Access(create_app(settings, queries, control), door), door, listener)
    finally:
        control.close()
