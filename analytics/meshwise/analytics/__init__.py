"""What the mesh means: from rollups to findings, and from findings to one cautious change.

    load      a time window of the store → one ``World`` (world.py, load.py, sql/)
    audit     pure functions over it: service_map, slo/, anomaly/, proposal/, rollout/
    act       alerts/ tells people, control_api.py tells control; jobs.py runs the cycle
    persist   typed findings into the ``mesh_findings_*`` tables, which dashboards and notebooks read

In a notebook:

    import meshwise.analytics as mw
    mesh = mw.connect()                    # or mw.connect("http://store:8123/meshwise")
    mesh.map(seconds=900).to_frame()       # both sides, logical and wire traffic
    mesh.slo(); mesh.anomalies(); mesh.propose()

Importing this package is light: numpy, pandas and the rest load when ``connect`` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from meshwise.analytics.mesh import Mesh
    from meshwise.analytics.views import TraceSet

__all__ = ["connect", "read_traces"]


def connect(
    store_url: str = "http://127.0.0.1:8123/meshwise",
    *,
    control_url: str | None = None,
    user: str = "",
    password: str = "",
    token: str = "",
    control_token: str = "",
    ca: str | Path | None = None,
    client_cert: str | Path | None = None,
) -> Mesh:
    """Return the notebook's view of the mesh whose store answers at ``store_url``.

    ``control_url`` is needed only to compare proposals with the policies in force. ``token`` goes to the store instead
    of user and password. At https, ``ca`` (a PEM file) names the authorities to trust in place of the system's, and
    ``client_cert`` (a PEM file with its key) is the certificate to show.

    Raises:
        UnavailableError: the store does not answer.
        ConfigError: an address or a file cannot be used.
    """
    from pathlib import Path

    from meshwise.analytics.mesh import connect as connect_mesh
    from meshwise.store.client import StoreAddress
    from meshwise.store.tls import client_context

    authorities, shown = (None if file is None else Path(file) for file in (ca, client_cert))
    return connect_mesh(
        StoreAddress(store_url, user, password, token, authorities, shown),
        control_url=control_url,
        control_token=control_token,
        tls=client_context(authorities, shown) if (control_url or "").startswith("https:") else None,
    )


def read_traces(path: str | Path) -> TraceSet:
    """Return the traces of a file, Jaeger's JSON or OTLP's; no store is needed.

    Raises:
        DocumentError: it cannot be read, or holds neither.
    """
    from pathlib import Path

    from meshwise.analytics.traces.files import read_spans
    from meshwise.analytics.traces.model import assemble
    from meshwise.analytics.views import TraceSet

    return TraceSet(assemble(read_spans(Path(path))))
