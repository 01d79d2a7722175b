"""A real control process for tests, and a proxy that only speaks to it.

with running_control(tmp_path) as control:
    proxy = control.register("frontend-1", "frontend")
    status, answer = control.put_policy({"match": {"service": "catalog"}})
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from support.processes import Process, start


@dataclass(frozen=True)
class Control:
    """A control process under test and a client of its API."""

    process: Process
    client: httpx.Client
    port: int

    @property
    def url(self) -> str:
        """Its base URL."""
        return str(self.client.base_url).rstrip("/")

    def call(
        self, method: str, path: str, document: object = None, *, actor: str = "operator", **more: str
    ) -> tuple[int, Any]:
        """Send one request, with ``more`` headers; return the status and the parsed answer (None when empty)."""
        headers = {"x-meshwise-actor": actor, **more}
        if method in ("POST", "PUT"):
            answer = self.client.request(method, path, json={} if document is None else document, headers=headers)
        else:
            answer = self.client.request(method, path, headers=headers)
        return answer.status_code, answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        """Return the answer of a GET that must succeed."""
        status, answer = self.call("GET", path)
        assert status == 200, (status, answer)
        return answer

    def post(self, path: str, document: object = None, *, actor: str = "operator") -> Any:
        """Return the answer of a POST that must succeed."""
        status, answer = self.call("POST", path, document, actor=actor)
        assert status in (200, 201), (status, answer)
        return answer

    def register(self, proxy_id: str, service: str, *, port: int = 9000, host: str = "127.0.0.1") -> FakeProxy:
        """Register a proxy and return it."""
        proxy = FakeProxy(self, proxy_id, service, host, port)
        proxy.register()
        return proxy

    def put_policy(self, document: Mapping[str, Any], name: str | None = None, **fields: Any) -> tuple[int, Any]:
        """Put a policy in force everywhere at once."""
        match = document["match"]
        name = name or document.get("name") or f"{match.get('source', 'any')}.{match['service']}"
        return self.call("PUT", f"/v1/policies/{name}", {"policy": document, "reason": "test", **fields})

    def begin_rollout(self, document: Mapping[str, Any], **fields: Any) -> tuple[int, Any]:
        """Begin a rollout of a policy: on a quarter of the proxies, without a shadow stage, unless told otherwise."""
        body = {"policy": document, "reason": "test", "shadow": False, "stages": [25, 100], **fields}
        return self.call("POST", "/v1/rollouts", body, actor="analytics")


@dataclass
class FakeProxy:
    """What control sees of a proxy: it registers, fetches snapshots and answers them, when told to."""

    control: Control
    id: str
    service: str
    host: str = "127.0.0.1"
    port: int = 9000
    secret: str = ""
    """What shows control that it speaks for itself."""

    def register(self) -> Any:
        """Register, in place of a former self."""
        document = {"id": self.id, "service": self.service, "host": self.host, "port": self.port}
        granted = self.control.post("/v1/proxies", {**document, "admin_port": 15000, "version": "test"})
        self.secret = granted["secret"]
        return granted

    def _say(self, method: str, path: str, document: object = None) -> tuple[int, Any]:
        proof = {"x-meshwise-registration": self.secret} if self.secret else {}
        return self.control.call(method, f"/v1/proxies/{self.id}{path}", document, **proof)

    def snapshot(self) -> Any:
        """Fetch the snapshot document."""
        return self.control.get(f"/v1/proxies/{self.id}/snapshot")

    def acknowledge(self, version: int, status: str = "applied", reason: str = "") -> tuple[int, Any]:
        """Answer a snapshot."""
        document = {"version": version, "status": status, "reason": reason}
        return self._say("POST", "/acks", document)

    def apply(self) -> Any:
        """Fetch the snapshot, say that it is applied, and return it."""
        snapshot = self.snapshot()
        status, answer = self.acknowledge(snapshot["version"])
        assert status == 200, answer
        return snapshot

    def heartbeat(self, snapshot_version: int = 0, policies: Mapping[str, int] | None = None) -> int:
        """Send a heartbeat and return the status."""
        document = {"snapshot_version": snapshot_version, "policies": dict(policies or {})}
        return self._say("POST", "/heartbeat", document)[0]

    def leave(self) -> int:
        """Deregister and return the status."""
        return self._say("DELETE", "")[0]


@contextlib.contextmanager
def running_control(directory: Path, **settings: Any) -> Iterator[Control]:
    """Run control on a free port with its state in ``directory``; settings as in ``ControlSettings``."""
    values = {"port": 0, "data_dir": str(directory / "control"), **settings}
    command = (sys.executable, "-P", str(Path(__file__).with_name("control_process.py")), json.dumps(values))
    with start(command, directory / "logs") as process:
        port = int(process.wait_event("listening")["port"])
        url = f"http://127.0.0.1:{port}"
        process.wait_ready(f"{url}/readyz")
        with httpx.Client(base_url=url, timeout=10.0, trust_env=False) as client:
            yield Control(process, client, port)


def eventually(claim: Callable[[], Any], *, timeout: float = 10.0) -> Any:
    """Return the first true value of ``claim()``; fail when none comes within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := claim()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return value
