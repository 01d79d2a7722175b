"""The traffic policy: one document per edge, parsed once, immutable, refused whole when anything in it is wrong.

A document matches requests by caller, callee, path template and method, and says how they are timed out, retried,
balanced and protected. ``parse_policy`` turns a mapping into a ``Policy``; ``Policy.to_document`` turns it back.
Durations are seconds in code and text (``250ms``) in documents. Names follow Envoy and the Gateway API.

``model`` holds the values, ``parsing`` and ``documents`` the two ways between them and documents, ``matching`` what
policies mean beside requests and beside each other.
"""

from meshwise.contracts.policy.matching import changed_fields, check_chain, governs, matches_route
from meshwise.contracts.policy.model import (
    ADAPTIVE_CONCURRENCY,
    ALGORITHMS,
    ANY,
    DEFAULT_POLICY,
    GRPC_STATUSES,
    IDEMPOTENT_METHODS,
    MAX_BUDGET_FLOOR,
    MAX_BUDGET_PERCENT,
    MAX_EJECT_PERCENT,
    MAX_HEDGE_PERCENT,
    MAX_RETRIES,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    PERS,
    PRIORITIES,
    Algorithm,
    Backoff,
    Balance,
    Breaker,
    Budget,
    Hedge,
    Limit,
    Match,
    Outlier,
    Per,
    Policy,
    Priority,
    Retry,
    RetryOn,
    Shadow,
    Timeout,
)
from meshwise.contracts.policy.parsing import parse_policy

__all__ = [
    "ADAPTIVE_CONCURRENCY",
    "ALGORITHMS",
    "ANY",
    "DEFAULT_POLICY",
    "GRPC_STATUSES",
    "IDEMPOTENT_METHODS",
    "MAX_BUDGET_FLOOR",
    "MAX_BUDGET_PERCENT",
    "MAX_EJECT_PERCENT",
    "MAX_HEDGE_PERCENT",
    "MAX_RETRIES",
    "MAX_TIMEOUT_S",
    "MIN_TIMEOUT_S",
    "PERS",
    "PRIORITIES",
    "Algorithm",
    "Backoff",
    "Balance",
    "Breaker",
    "Budget",
    "Hedge",
    "Limit",
    "Match",
    "Outlier",
    "Per",
    "Policy",
    "Priority",
    "Retry",
    "RetryOn",
    "Shadow",
    "Timeout",
    "changed_fields",
    "check_chain",
    "governs",
    "matches_route",
    "parse_policy",
]
