"""Control as the dashboard sees it: policies, rollouts, proxies, and the four actions a person can take."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from meshwise.contracts.errors import MeshwiseError, UnavailableError

ACTOR = "dashboard"


class RefusedError(MeshwiseError):
    """Control understood the action and refused it; the message is control's own."""


@dataclass(frozen=True, slots=True)
class PolicyView:
    """One policy in force."""

    name: str
    document: Mapping[str, Any]
    created_at: str
    created_by: str


@dataclass(frozen=True, slots=True)
class RolloutView:
    """One rollout, with the verdicts so far (oldest first)."""

    id: str
    policy_name: str
    state: str
    stage: int
    stages: Sequence[int]
    policy: Mapping[str, Any]
    baseline: Mapping[str, Any]
    canaries: Sequence[str]
    controls: Sequence[str]
    created_at: str
    finished_at: str
    reason: str
    verdicts: Sequence[Mapping[str, Any]]
    shadows: bool = False
    """Proxies judge the candidate without obeying it."""
    canary_percent: float = 100.0
    """Share of each canary's requests that the candidate governs."""

    @property
    def active(self) -> bool:
        """Tell whether it still waits for a decision."""
        return self.state in ("awaiting_approval", "shadow", "canary")


@dataclass(frozen=True, slots=True)
class ProxyView:
    """One registered proxy; ``reason`` says why it rejected its newest snapshot."""

    id: str
    service: str
    alive: bool
    status: str
    snapshot_version: int
    policies: Mapping[str, int]
    address: str = ""
    zone: str = ""
    tls: str = "off"
    version: str = ""
    last_seen: str = ""
    reason: str = ""


class Control(Protocol):
    """What pages ask of control. Every call may raise ``UnavailableError`` or ``RefusedError``."""

    def policies(self) -> Sequence[PolicyView]:
        """Policies in force, by name."""

    def rollouts(self) -> Sequence[RolloutView]:
        """Rollouts, newest first."""

    def proxies(self) -> Sequence[ProxyView]:
        """Registered proxies, by service."""

    def submit(self, policy: Mapping[str, Any], reason: str, evidence: Mapping[str, Any], proposal_id: str) -> None:
        """Start a guarded rollout of a proposed policy."""

    def approve(self, rollout_id: str) -> None:
        """Let a rollout go on to its next state: begin, have canaries, be promoted."""

    def roll_back(self, rollout_id: str) -> None:
        """End a rollout on the policy it began from."""

    def undo(self, policy_name: str) -> None:
        """Put the previous version of a policy back in force."""


class HttpControl:
    """Control over its HTTP API."""

    def __init__(self, url: str, token: str, timeout_s: float, *, tls: ssl.SSLContext | None = None) -> None:
        headers = {"x-meshwise-actor": ACTOR} | ({"authorization": f"Bearer {token}"} if token else {})
        self._url = url
        self._client = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, verify=tls or True)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def policies(self) -> Sequence[PolicyView]:
        """See ``Control``."""
        return tuple(
            PolicyView(
                _text(item["policy"].get("name")),
                item["policy"],
                _text(item.get("created_at")),
                _text(item.get("created_by")),
            )
            for item in self._get("/v1/policies")["policies"]
        )

    def rollouts(self) -> Sequence[RolloutView]:
        """See ``Control``."""
        views = [rollout_view(item) for item in self._get("/v1/rollouts")["rollouts"]]
        return tuple(sorted(views, key=lambda view: view.created_at, reverse=True))

    def proxies(self) -> Sequence[ProxyView]:
        """See ``Control``."""
        views = [
            ProxyView(
                id=_text(item["id"]),
                service=_text(item["service"]),
                alive=bool(item.get("alive")),
                status=_text(item.get("status")),
                snapshot_version=int(item.get("snapshot_version") or 0),
                policies=item.get("policies") or {},
                address=f"{item['host']}:{item['port']}" if item.get("port") else "",
                zone=_text(item.get("zone")),
                tls=_text(item.get("tls")),
                version=_text(item.get("version")),
                last_seen=_text(item.get("last_seen")),
                reason=_text(item.get("reason")),
            )
            for item in self._get("/v1/proxies")["proxies"]
        ]
        return tuple(sorted(views, key=lambda view: (view.service, view.id)))

    def submit(self, policy: Mapping[str, Any], reason: str, evidence: Mapping[str, Any], proposal_id: str) -> None:
        """See ``Control``."""
        body = {"policy": dict(policy), "reason": reason, "evidence": dict(evidence), "proposal_id": proposal_id}
        self._post("/v1/rollouts", body)

    def approve(self, rollout_id: str) -> None:
        """See ``Control``."""
        self._post(f"/v1/rollouts/{_segment(rollout_id)}/approve", {"reason": "approved on the dashboard"})

    def roll_back(self, rollout_id: str) -> None:
        """See ``Control``."""
        self._post(f"/v1/rollouts/{_segment(rollout_id)}/rollback", {"reason": "rolled back on the dashboard"})

    def undo(self, policy_name: str) -> None:
        """See ``Control``."""
        self._post(f"/v1/policies/{_segment(policy_name)}/undo", {"reason": "undone on the dashboard"})

    def _get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"control at {self._url} does not answer ({type(error).__name__}); is it running?"
            ) from None
        if answer.status_code >= 500:
            raise UnavailableError(f"control at {self._url} answered {answer.status_code}; see its log")
        if answer.status_code >= 400:
            raise RefusedError(_problem(answer))
        return answer.json()


def rollout_view(item: Mapping[str, Any]) -> RolloutView:
    """Return the view of one rollout document of control's API."""
    return RolloutView(
        id=_text(item["id"]),
        policy_name=_text(item["policy_name"]),
        state=_text(item["state"]),
        stage=int(item.get("stage") or 0),
        stages=tuple(item.get("stages") or ()),
        policy=item.get("policy") or {},
        baseline=item.get("baseline") or {},
        canaries=tuple(item.get("canary_proxies") or ()),
        controls=tuple(item.get("control_proxies") or ()),
        created_at=_text(item.get("created_at")),
        finished_at=_text(item.get("finished_at")),
        reason=_text(item.get("reason")),
        verdicts=tuple(item.get("verdicts") or ()),
        shadows=item.get("shadows") is True,
        canary_percent=float(item.get("canary_percent") or 100.0),
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _segment(name: str) -> str:
    # A name becomes one path segment; anything that could leave it is refused rather than escaped.
    if not name or any(character in name for character in "/?#%\\") or name in (".", ".."):
        raise RefusedError(f"{name!r} is not a name")
    return name


def _problem(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
        return f"{error['path']}: {error['problem']}" if error.get("path") else str(error["problem"])
    except (ValueError, KeyError, TypeError):
        return f"control answered {answer.status_code}"
