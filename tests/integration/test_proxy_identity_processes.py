"""Control and two proxies as processes of their own: join, call over mutual TLS, restart from the disk."""

import json
import sys
from pathlib import Path
from typing import Any

import httpx

from support.control import Control, eventually, running_control
from support.data_path import Upstream
from support.processes import Process, start


def run_proxy(control: Control, directory: Path, service: str, **settings: Any) -> Any:
    """Start a proxy on free ports."""
    values = {
        "service": service,
        "instance_id": service,
        "outbound_port": 0,
        "inbound_port": 0,
        "admin_port": 0,
        "control_url": control.url,
        "identity": "strict",
        "identity_dir": str(directory / "identity"),
        "drain_delay_s": 0.0,
        **settings,
    }
    file = directory / f"{service}.json"
    file.write_text(json.dumps(values))
    return start((sys.executable, "-P", "-m", "meshwise.proxy", str(file)), directory / f"{service}-logs")


def admin_of(control: Control, service: str) -> dict[str, Any]:
    """Wait until the service's proxy is registered, and return what control knows of it."""

    def found() -> dict[str, Any] | None:
        return next((p for p in control.get("/v1/proxies")["proxies"] if p["service"] == service and p["alive"]), None)

    return dict(eventually(found))


def port_of(process: Process) -> int:
    """Return the port where the application's requests go in."""
    return int(process.wait_event("listening")["port"])


async def test_processes_join_call_and_come_back(tmp_path: Path) -> None:
    """Two proxies join with tokens, one calls the other over TLS; restarted without a token the caller still can."""
    with running_control(tmp_path) as control:
        tokens = {name: control.post("/v1/join-tokens", {"service": name})["token"] for name in ("catalog", "frontend")}
        async with Upstream() as app:
            callee = run_proxy(control, tmp_path, "catalog", app_port=app.port, join_token=tokens["catalog"])
            with callee:
                assert admin_of(control, "catalog")["tls"] == "strict"
                for token in (tokens["frontend"], None):
                    with run_proxy(control, tmp_path, "frontend", join_token=token) as caller:
                        admin = f"http://127.0.0.1:{admin_of(control, 'frontend')['admin_port']}"
                        caller.wait_ready(f"{admin}/readyz")
                        async with httpx.AsyncClient(trust_env=False) as client:
                            url = f"http://127.0.0.1:{port_of(caller)}/"
                            answer = await client.get(url, headers={"host": "catalog"})
                            metrics = (await client.get(f"{admin}/metrics")).text
                            shown = (await client.get(f"{admin}/config_dump")).text
                        assert answer.status_code == 200, answer.text
                        assert "meshwise_proxy_identity_certificate_expiry_seconds 8" in metrics
                        assert tokens["frontend"] not in shown
                assert {arrival.headers["x-meshwise-source"] for arrival in app.arrivals} == {"frontend"}
        actions = [entry["action"] for entry in control.get("/v1/audit")["entries"]]
        assert actions.count("certificate.issue") == 2
