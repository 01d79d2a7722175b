"""The notebook's view of the mesh, for verbs that need it: its store and control, as the configuration says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from meshwise.cli.configuration import load_configuration, settings_for
from meshwise.cli.platform import base_url

if TYPE_CHECKING:
    from meshwise.analytics.mesh import Mesh


def open_mesh(config: Path | None, control_url: str | None) -> Mesh:
    """Return the mesh whose store and control the configuration names; close it after use.

    Raises:
        ConfigError: the configuration cannot be read.
        UnavailableError: the store does not answer.
    """
    from meshwise.analytics import connect
    from meshwise.analytics.settings import AnalyticsSettings

    configuration = load_configuration(config, os.environ)
    store = settings_for(configuration, "analytics")
    assert isinstance(store, AnalyticsSettings)
    return connect(
        store.store_url,
        control_url=control_url or base_url(settings_for(configuration, "control")),
        user=store.store_user,
        password=store.store_password.get_secret_value(),
        token=store.store_token.get_secret_value(),
        control_token=store.control_token.get_secret_value() if store.control_token else "",
        ca=store.store_ca,
        client_cert=store.store_client_cert,
    )
