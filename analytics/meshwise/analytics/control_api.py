"""What this room asks of control and tells it, over HTTP. Thin: one method per call, no state, no retries.

Whatever is not told because control is away is found again by the next cycle, so nothing is queued here.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx
import structlog

from meshwise.contracts.errors import DocumentError, MeshwiseError, UnavailableError
from meshwise.contracts.policy import Policy, parse_policy

log = structlog.get_logger(__name__)

ACTOR: Final = "analytics"


class RefusedError(MeshwiseError):
    """Control understood and said no; ``status`` is its HTTP status."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(f"control refused ({status}): {problem}")
        self.status = status


class ControlApi:
    """Control's HTTP interface at ``url``; every method may raise UnavailableError or RefusedError."""

    def __init__(self, url: str, *, token: str = "", timeout_s: float = 5.0, tls: ssl.SSLContext | None = None) -> None:
        headers = {"x-meshwise-actor": ACTOR, **({"authorization": f"Bearer {token}"} if token else {})}
        # No proxy and no netrc from the environment: control is a neighbour.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False, verify=tls or True)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def policies(self) -> tuple[Policy, ...]:
        """Return the policies in force; a document this version cannot read is left out and logged."""
        found: list[Policy] = []
        for entry in self._call("GET", "/v1/policies").get("policies", ()):
            try:
                found.append(parse_policy(entry["policy"]))
            except (DocumentError, KeyError, TypeError) as error:
                log.warning("policy not understood", problem=str(error)[:300])
        return tuple(found)

    def policies_at(self, versions: Mapping[str, int]) -> tuple[Policy, ...]:
        """Return policies by name and version, in that order, from control's history.

        Raises:
            MeshwiseError: one of them is no longer on record.
        """
        found = []
        for name, version in versions.items():
            history = self._call("GET", f"/v1/policies/{quote(name, safe='')}/versions", params={"limit": ["1000"]})
            versions_told = history.get("versions", ())
            document = next((one["policy"] for one in versions_told if one["version"] == version), None)
            if document is None:
                raise MeshwiseError(f"version {version} of policy {name} is no longer on record")
            found.append(parse_policy(document))
        return tuple(found)

    def rollouts(self, *states: str) -> list[dict[str, Any]]:
        """Return the rollouts, or those in some states."""
        found = self._call("GET", "/v1/rollouts", params={"state": states} if states else None).get("rollouts", ())
        return [rollout for rollout in found if isinstance(rollout, dict)]

    def submit(
        self,
        policy: Mapping[str, Any],
        *,
        reason: str,
        evidence: object,
        proposal_id: str,
        mode: Literal["automatic", "approval"] = "automatic",
    ) -> dict[str, Any]:
        """Start a rollout of ``policy``, or lay it before an operator, and return it."""
        return self._call(
            "POST",
            "/v1/rollouts",
            json={
                "policy": policy,
                "reason": reason,
                "evidence": evidence,
                "proposal_id": proposal_id,
                "mode": mode,
            },
        )

    def tell_verdict(
        self, rollout_id: str, *, stage: int, decision: str, reason: str, evidence: object, shadow: bool = False
    ) -> None:
        """Say what the judge found about one stage of one rollout, or about its ``shadow``."""
        self._call(
            "POST",
            f"/v1/rollouts/{quote(rollout_id, safe='')}/verdicts",
            json={
                "decision": decision,
                "reason": reason,
                "evidence": evidence,
                "stage": stage,
                **({"shadow": True} if shadow else {}),
            },
        )

    def _call(
        self, method: str, path: str, *, json: object = None, params: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, Any]:
        try:
            values = {name: list(many) for name, many in (params or {}).items()}
            answer = self._http.request(method, path, json=json, params=values or None)
            document = answer.json() if answer.content else {}
        except httpx.HTTPError as error:
            raise UnavailableError(f"control does not answer at {self._http.base_url}: {error}") from error
        except ValueError as error:
            raise UnavailableError(f"control at {self._http.base_url} answered no JSON") from error
        if answer.status_code >= 500:
            raise UnavailableError(f"control at {self._http.base_url} answered {answer.status_code}")
        if not isinstance(document, dict):
            raise UnavailableError(f"control at {self._http.base_url} answered no document")
        if not answer.is_success:
            raise RefusedError(answer.status_code, _problem(document))
        return document


def _problem(document: Mapping[str, Any]) -> str:
    error = document.get("error")
    if not isinstance(error, Mapping):
        return "no reason given"
    path, problem = str(error.get("path") or ""), str(error.get("problem") or "")
    return (f"{path}: {problem}" if path else problem)[:500]
