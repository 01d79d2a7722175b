"""The whole platform over https under an authority of its own: every client of the house, as real processes."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from meshwise.analytics.control_api import ControlApi
from meshwise.contracts.errors import UnavailableError
from meshwise.dashboard.control import HttpControl
from meshwise.store.client import StoreAddress
from meshwise.store.tls import client_context
from support.analytics import analytics_command
from support.collector import running_collector
from support.control import eventually
from support.identity import Pki
from support.processes import fetch, free_port, start
from support.receiver import running_receiver
from support.store import running_store

STORE_TOKEN, OPERATOR, PROXIES = "token-of-the-store-0123", "token-of-an-operator-45", "token-of-the-proxies-67"


def test_every_client_speaks_tls_under_a_private_authority(tmp_path: Path) -> None:
    """Store, control and collector ask for token or certificate; proxy, collector and analytics bring theirs."""
    pki = Pki(tmp_path)
    server, ca, shown = pki.server(), tmp_path / "ca.pem", pki.file(pki.identity("platform"))
    ca.write_text(pki.authority.bundle)
    tls: dict[str, Any] = {"tls_cert": str(server), "tls_key": str(server)}
    trusted = client_context(ca)
    control_port, analytics_port, data = free_port(), free_port(), tmp_path / "control"
    control_url = f"https://127.0.0.1:{control_port}"
    control_settings = {"port": control_port, "data_dir": str(data), "token": OPERATOR, "proxy_token": PROXIES, **tls}
    helper = Path(__file__).parents[1] / "support" / "control_process.py"
    command = (sys.executable, "-P", str(helper), json.dumps({**control_settings, "tls_client_ca": str(ca)}))
    with (
        start(command, tmp_path / "control-logs") as control,
        running_store(scheme="https", token=STORE_TOKEN, tls_client_ca=str(ca), **tls) as store,
    ):
        control.wait_event("listening")
        with pytest.raises(UnavailableError, match="set store_ca"):
            StoreAddress(store.url, token=STORE_TOKEN).connect()
        with pytest.raises(UnavailableError, match="Authentication failed"):
            StoreAddress(store.url, ca=ca).connect()
        certified = StoreAddress(store.url, ca=ca, client_cert=shown)
        analytics = {
            "port": analytics_port,
            "data_dir": str(tmp_path / "analytics"),
            "store_url": store.url,
            "store_ca": str(ca),
            "store_token": STORE_TOKEN,
            "control_url": control_url,
            "control_ca": str(ca),
            "control_token": OPERATOR,
            "cycle_s": 0.5,
            **tls,
        }
        authority = data / "ca.pem"
        with (
            start(analytics_command(**analytics), tmp_path / "analytics-logs") as judge,
            running_collector(
                store.url,
                scheme="https",
                tls_client_ca=str(authority),
                store_ca=str(ca),
                store_client_cert=str(shown),
                drain_s=0.0,
                **tls,
            ) as collector,
            httpx.Client(base_url=control_url, verify=trusted, trust_env=False) as http,
        ):
            made = http.post("/v1/join-tokens", json={"service": "frontend"}, headers=_bearer(OPERATOR))
            limited = http.post("/v1/join-tokens", json={"service": "frontend"}, headers=_bearer(PROXIES))
            assert (made.status_code, limited.status_code, http.get("/v1/proxies").status_code) == (201, 403, 401)
            with running_receiver() as app:
                settings = {
                    "service": "frontend",
                    "instance_id": "frontend",
                    "outbound_port": 0,
                    "inbound_port": 0,
                    "admin_port": 0,
                    "app_port": app.port,
                    "control_url": control_url,
                    "collector_url": collector.url,
                    "ca_file": str(ca),
                    "identity": "permissive",
                    "identity_dir": str(tmp_path / "identity"),
                    "join_token": made.json()["token"],
                    "export_interval_s": 0.2,
                    "drain_delay_s": 0.0,
                }
                file = tmp_path / "proxy.json"
                file.write_text(json.dumps(settings))
                with start((sys.executable, "-P", "-m", "meshwise.proxy", str(file)), tmp_path / "proxy") as proxy:
                    proxy.wait_event("snapshot in force")
                    proxy.wait_event("identity in force")
                    inbound = eventually(lambda: _registered(http))
                    for _ in range(3):
                        assert fetch(f"http://127.0.0.1:{inbound}/", method="POST")[0] == 204
                    with certified.connect() as client:
                        eventually(lambda: client.command("SELECT count() FROM otel_traces") == 3, timeout=20.0)
            with closing(ControlApi(control_url, token=OPERATOR, tls=trusted)) as api:
                assert api.policies() == ()
            # A certificate that names a service is a proxy's, and opens what proxies ask alone.
            by_certificate = client_context(ca, shown)
            with httpx.Client(base_url=control_url, verify=by_certificate, trust_env=False) as proxies:
                assert (proxies.get("/v1/proxies").status_code, proxies.get("/v1/policies").status_code) == (200, 403)
                entry = {"id": "x", "service": "frontend", "host": "127.0.0.1", "port": 1}
                assert (
                    proxies.post("/v1/proxies", json=entry).status_code == 403
                )  # the certificate is of another service
            with closing(HttpControl(control_url, "", 5.0, tls=client_context(ca, pki.server()))) as operator:
                assert operator.policies() == ()
            judge.wait_event("listening")  # it does not start without the store
            judge.kill()


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _registered(http: httpx.Client) -> Any:
    found = http.get("/v1/proxies", headers=_bearer(PROXIES)).json()["proxies"]
    return found[0]["port"] if found else None
