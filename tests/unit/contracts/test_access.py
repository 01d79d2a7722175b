"""Who may call: documents and decisions."""

from __future__ import annotations

from typing import Any

import pytest

from meshwise.contracts.access import Asked, Decision, decide, parse_access
from meshwise.contracts.errors import DocumentError

ISSUER = {"issuer": "https://id.test", "audiences": ["shop"], "jwks_file": "keys.json"}


def decided(*rules: dict[str, Any], **asked: Any) -> Decision:
    """What the rules say about a request, GET / from nobody unless told otherwise."""
    access = parse_access({"jwt": [ISSUER], "rules": [{"name": f"r{n}", **rule} for n, rule in enumerate(rules)]})
    return decide(access.rules, Asked(**{"method": "GET", "path": "/", "sources": (), "claims": {}, **asked}))


def test_deny_wins_and_allow_closes_the_rest() -> None:
    """Without rules everybody may; a deny rule is stronger than any allow; with allow rules the rest may not."""
    assert decided() == Decision(allowed=True)
    assert decided({"action": "deny", "methods": ["POST"]}) == Decision(allowed=True)
    assert decided({"action": "deny", "methods": ["POST"]}, method="POST") == Decision(allowed=False, rule="r0")
    both = ({"action": "allow"}, {"action": "deny", "paths": ["/admin/*"]})
    assert decided(*both, path="/items") == Decision(allowed=True, rule="r0")
    assert decided(*both, path="/admin/users") == Decision(allowed=False, rule="r1")
    assert decided({"action": "allow", "methods": ["GET"]}, method="PUT") == Decision(allowed=False, rule="no-rule")


@pytest.mark.parametrize(
    ("rule", "asked", "about"),
    [
        ({"sources": ["frontend"]}, {"sources": ("frontend", "spiffe://mesh.local/frontend")}, True),
        (
            {"sources": ["spiffe://mesh.local/frontend"]},
            {"sources": ("frontend", "spiffe://mesh.local/frontend")},
            True,
        ),
        ({"sources": ["spiffe://other/frontend"]}, {"sources": ("frontend", "spiffe://mesh.local/frontend")}, False),
        ({"sources": ["frontend"]}, {"sources": ()}, False),
        ({"paths": ["/items/{id}"]}, {"path": "/items/7"}, True),
        ({"paths": ["/items/{id}"]}, {"path": "/items/7/x"}, False),
        ({"claims": {"scope": ["read"]}}, {"claims": {"scope": "write read"}}, True),
        ({"claims": {"scope": ["read"]}}, {"claims": {"scope": "reader"}}, False),
        ({"claims": {"roles": ["admin", "owner"]}}, {"claims": {"roles": ["user", "owner"]}}, True),
        ({"claims": {"roles": ["admin"], "tenant": ["a"]}}, {"claims": {"roles": ["admin"], "tenant": "b"}}, False),
        ({"claims": {"level": ["3"]}}, {"claims": {"level": 3}}, True),
        ({"claims": {"staff": ["true"]}}, {"claims": {"staff": True}}, True),
        ({"claims": {"staff": ["1"]}}, {"claims": {"staff": True}}, False),
        ({"claims": {"role": ["admin"]}}, {"claims": {"role": {"admin": 1}}}, False),
        ({"claims": {"role": ["admin"]}}, {"claims": {}}, False),
    ],
)
def test_what_a_rule_is_about(rule: dict[str, Any], asked: dict[str, Any], about: bool) -> None:
    """Every list must hold one of the request's values; what the request does not prove is in none."""
    assert decided({"action": "allow", **rule}, **asked).allowed is about


def test_rules_on_trial_change_nothing_and_say_what_they_would() -> None:
    """A dry-run rule never decides; the decision names it when it would have been another."""
    trial = {"action": "deny", "methods": ["DELETE"], "dry_run": True}
    assert decided(trial, method="DELETE") == Decision(allowed=True, would="r0")
    assert decided(trial) == Decision(allowed=True)
    closing = {"action": "allow", "sources": ["frontend"], "dry_run": True}
    assert decided(closing) == Decision(allowed=True, would="no-rule")
    opening = decided({"action": "allow", "methods": ["PUT"]}, {"action": "allow", "dry_run": True})
    assert opening == Decision(allowed=False, rule="no-rule", would="r1")


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"rule": []}, "rule"),
        ({"token": "maybe"}, "token"),
        ({"token": "required"}, "jwt"),
        ({"rules": [{"name": "a", "action": "allow", "claims": {"x": ["y"]}}]}, "jwt"),
        ({"rules": [{"name": "A b", "action": "allow"}]}, "rules[0].name"),
        ({"rules": [{"name": "no-rule", "action": "allow"}]}, "rules[0].name"),
        ({"rules": [{"name": "a", "action": "block"}]}, "rules[0].action"),
        ({"rules": [{"name": "a", "action": "deny"}, {"name": "a", "action": "deny"}]}, "rules[1].name"),
        ({"rules": [{"name": "a", "action": "deny", "sources": ["Bad Name"]}]}, "rules[0].sources"),
        ({"rules": [{"name": "a", "action": "deny", "methods": ["get"]}]}, "rules[0].methods"),
        ({"rules": [{"name": "a", "action": "deny", "paths": ["items"]}]}, "rules[0].paths"),
        ({"jwt": [ISSUER], "rules": [{"name": "a", "action": "deny", "claims": {"x": []}}]}, "rules[0].claims.x"),
        ({"jwt": [{**ISSUER, "audiences": []}]}, "jwt[0].audiences"),
        ({"jwt": [{**ISSUER, "jwks_url": "https://x"}]}, "jwt[0]"),
        ({"jwt": [{"issuer": "i", "audiences": ["a"]}]}, "jwt[0]"),
        ({"jwt": [{"issuer": "i", "audiences": ["a"], "jwks_url": "ftp://x"}]}, "jwt[0].jwks_url"),
        ({"jwt": [{**ISSUER, "leeway": "10m"}]}, "jwt[0].leeway"),
        ({"jwt": [ISSUER, ISSUER]}, "jwt[1].issuer"),
    ],
)
def test_every_mistake_is_named_by_its_path(document: dict[str, Any], path: str) -> None:
    """Nothing of a bad document takes effect."""
    with pytest.raises(DocumentError) as refused:
        parse_access(document)
    assert refused.value.path == path
