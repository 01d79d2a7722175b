"""Every page, in the order of the navigation."""

from __future__ import annotations

from meshwise.dashboard.page import Page
from meshwise.dashboard.pages import mesh, overview, policies, service_map, slos, telemetry, traces

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    service_map.PAGE,
    traces.PAGE,
    slos.PAGE,
    policies.PAGE,
    mesh.PAGE,
    telemetry.PAGE,
)
