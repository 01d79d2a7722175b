from __future__ import annotations

from meshwise.cli.demo.documents import BAD, TUNED, bad_policy, base_policies
from meshwise.cli.demo.topology import EDGES, INGRESS
from meshwise.contracts.policy import check_chain, governs, parse_policy


def test_the_base_policies_are_accepted_together() -> None:
    """Each parses, their timeouts chain, and the two that the story is about are among them."""
    policies = [parse_policy(document) for document in base_policies()]
    check_chain(policies)
    assert {TUNED, BAD} <= {policy.name for policy in policies}


def test_every_edge_of_the_shop_is_governed() -> None:
    """No call of the shop falls to the built-in defaults."""
    policies = [parse_policy(document) for document in base_policies()]
    for source, service in EDGES:
        if (source, service) != ("checkout", "cart"):
            assert any(governs(one, source=source, service=service, method="GET", path="/") for one in policies)
    assert INGRESS in {source for source, _ in EDGES}


def test_a_payment_is_never_retried() -> None:
    """The policies of the checkout path repeat nothing."""
    by_name = {document["name"]: parse_policy(document) for document in base_policies()}
    for name in ("ingress.frontend", "frontend.checkout", "checkout.payment"):
        assert by_name[name].retry.max == 0


def test_the_bad_policy_passes_every_check_of_form() -> None:
    """It is refused by nobody at the door: only its effect gives it away."""
    others = [parse_policy(document) for document in base_policies() if document["name"] != BAD]
    check_chain([*others, parse_policy(bad_policy())])
