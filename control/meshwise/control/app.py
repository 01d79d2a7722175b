"""Puts control together as one ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from fastapi import FastAPI

from meshwise.contracts.errors import ConfigError
from meshwise.control.api import health, identity, oversight, policies, proxies, rollouts
from meshwise.control.api.measure import Measure
from meshwise.control.api.problems import add_handlers
from meshwise.control.identity.belonging import open_shared
from meshwise.control.jobs import run_jobs
from meshwise.control.plane import ControlPlane
from meshwise.control.settings import ControlSettings
from meshwise.control.storage import open_storage
from meshwise.store.serving import Access, Door

PROXY_PATHS: Final = ("/v1/proxies",)
"""What proxies ask; a proxy's own token or certificate opens nothing else."""


def create_app(settings: ControlSettings, clock: Callable[[], float] = time.time) -> FastAPI:
    """Return the application over an opened database; ``clock`` gives seconds since the epoch, UTC.

    Raises:
        ConfigError: the database cannot be opened, or the authority is not the mesh's.
    """
    storage = open_storage(settings.database_url, settings.data_dir, clock())
    try:
        authority = open_shared(
            storage,
            settings.data_dir,
            settings.trust_domain,
            now=clock(),
            life_s=settings.authority_life_s,
            begin_anew=settings.new_authority,
        )
    except ConfigError:
        storage.close()
        raise
    plane = ControlPlane(settings, storage, authority, clock)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with plane.storage.read() as tx:
            plane.hub.open(asyncio.get_running_loop(), tx.revision)
        jobs = asyncio.create_task(run_jobs(plane))
        try:
            yield
        finally:
            plane.hub.close()
            jobs.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await jobs
            plane.storage.close()

    # No browser pages and no generated schema: bodies are read by contracts.reading, which FastAPI cannot describe.
    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.plane = plane
    for router in (health.router, proxies.router, policies.router, rollouts.router, oversight.router, identity.router):
        app.include_router(router)
    add_handlers(app)
    app.add_middleware(Access, door=door_of(settings))
    app.add_middleware(Measure, metrics=plane.metrics)
    return app


def door_of(settings: ControlSettings) -> Door:
    """Return where control listens and what it asks of callers."""
    return Door(
        room="control",
        host=settings.host,
        port=settings.port,
        token=settings.token or "",
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_client_ca=settings.tls_client_ca,
        open_paths=("/v1/certificates",),  # a join token, or the signature of the certificate in force
        limited_token=settings.proxy_token or "",
        limited_paths=PROXY_PATHS,
        allowed_hosts=settings.allowed_hosts,
        drain_s=settings.drain_s,
    )
