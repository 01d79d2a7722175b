import itertools
import json
from importlib import resources
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.contracts import policy as p
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import (
    IDEMPOTENT_METHODS,
    MAX_BUDGET_FLOOR,
    MAX_BUDGET_PERCENT,
    MAX_EJECT_PERCENT,
    MAX_RETRIES,
    Match,
    Policy,
    Timeout,
    changed_fields,
    check_chain,
    governs,
    matches_route,
    parse_policy,
)
from support.untimed import UNTIMED

NAMES = st.sampled_from(["a", "catalog", "cart-2", "a.b_c", "x" * 128])
WORDS = st.sampled_from(["a", "b-2", "version", "team"])
SEGMENTS = st.sampled_from(["items", "a._-9", "{id}", "{name}", "0"])
ROUTES = st.builds(
    lambda parts, end: "/" + "/".join([*parts, end]), st.lists(SEGMENTS, max_size=3), st.sampled_from(["", "*", "x"])
)


def seconds(lowest_ms: int, highest_ms: int) -> st.SearchStrategy[float]:
    return st.integers(lowest_ms, highest_ms).map(lambda ms: ms / 1000)


@st.composite
def waiting_and_retrying(draw: st.DrawFn) -> tuple[Timeout, p.Retry]:
    """Timeouts and retries that fit together."""
    most = draw(st.integers(0, MAX_RETRIES))
    attempt = draw(st.none() | seconds(1, 1_000_000))
    request = draw(seconds(max(1, round((attempt or 0) * 1000) * (most + 1)), 3_600_000))
    base = draw(seconds(0, 60_000))
    header = draw(st.none() | st.just("idempotency-key"))
    return (
        Timeout(request, attempt, draw(seconds(1, 3_600_000)), draw(seconds(1, 3_600_000))),
        p.Retry(
            max=most,
            on=p.RetryOn(
                draw(st.booleans()),
                draw(st.booleans()),
                draw(st.booleans()) if attempt is not None else False,
                tuple(sorted(draw(st.sets(st.integers(400, 599), max_size=4)))),
                tuple(sorted(draw(st.sets(st.sampled_from(p.GRPC_STATUSES[1:]), max_size=3)))),
                draw(st.booleans()),
            ),
            backoff=p.Backoff(base, draw(seconds(round(base * 1000), 300_000))),
            budget=p.Budget(
                draw(st.floats(0, MAX_BUDGET_PERCENT)),
                draw(seconds(1000, 60_000)),
                draw(st.floats(0, MAX_BUDGET_FLOOR)),
            ),
            methods=tuple(draw(st.lists(st.sampled_from(["GET", "PUT", *(["POST"] if header else [])]), max_size=3))),
            idempotency_header=header,
        ),
    )


@st.composite
def limits(draw: st.DrawFn) -> p.Limit:
    """Limits on anything."""
    rate = draw(st.none() | st.floats(0.1, 1_000_000))
    return p.Limit(
        rate,
        draw(st.none() | st.integers(1, 1_000_000)) if rate is not None else None,
        draw(st.sampled_from(p.PERS)),
        draw(st.integers(1, 1_000_000)) if rate is None else draw(st.none() | st.integers(1, 1_000_000)),
        draw(st.booleans()) if rate is None else False,
        draw(st.none() | st.sampled_from(p.PRIORITIES)),
    )


@st.composite
def balances(draw: st.DrawFn) -> p.Balance:
    """Every algorithm, with what goes with it."""
    algorithm = draw(st.sampled_from(p.ALGORITHMS))
    return p.Balance(
        algorithm,
        draw(st.sampled_from(["source", "header:x-user", "cookie:sid"])) if algorithm in p.HASHING else None,
        draw(st.booleans()),
        draw(LABELS),
        draw(st.floats(0, 100)),
        draw(seconds(0, 3_600_000)),
    )


FIELDS = st.dictionaries(WORDS.map(lambda name: f"x-{name}"), st.sampled_from(["", "1", "a b"]), max_size=2).map(
    lambda fields: tuple(sorted(fields.items()))
)
PATHS = st.sampled_from(["/", "/items", "/a/b.c/", "/%41"])


PERCENT = st.floats(0, 100)
NOTHING = st.just((0.0, 0.0))
EDITS = st.builds(
    p.Edits,
    st.sets(WORDS.map(lambda name: f"x-{name}"), max_size=2).map(lambda names: tuple(sorted(names))),
    FIELDS,
    FIELDS,
)
WHERE = st.tuples(st.none() | PATHS, st.none() | NAMES)
LABELS = st.dictionaries(WORDS, WORDS, max_size=2).map(lambda labels: tuple(sorted(labels.items())))
TRAFFIC: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "fault": st.builds(
            lambda delay, abort: p.Fault(*delay, *abort) if delay[0] or abort[0] else None,
            NOTHING | st.tuples(seconds(1, 300_000), PERCENT),
            st.just((0, 0.0)) | st.tuples(st.integers(400, 599), PERCENT),
        ),
        "split": st.lists(st.builds(p.Target, st.integers(1, 10_000), st.none() | NAMES, LABELS), max_size=3).map(
            tuple
        ),
        "mirror": st.none() | st.builds(p.Mirror, NAMES, PERCENT),
        "headers": st.builds(
            lambda request, response: None if request == response == p.Edits() else p.Headers(request, response),
            EDITS,
            EDITS,
        ),
        "rewrite": WHERE.map(lambda where: p.Rewrite(where[0], None, where[1]) if any(where) else None),
        "redirect": st.builds(
            lambda status, where: p.Redirect(status, where[0], None, where[1]) if any(where) else None,
            st.sampled_from([301, 302, 303, 307, 308]),
            WHERE,
        ),
    }
)
HEALTH = (
    st.none()
    | st.builds(
        p.HealthCheck,
        st.just("http"),
        st.sampled_from(["/", "/healthz?full"]),
        seconds(100, 3_600_000),
        seconds(10, 60_000),
        st.integers(1, 100),
        st.integers(1, 100),
    )
    | st.builds(p.HealthCheck, st.sampled_from(["grpc", "tcp"]))
)
LIMITS = st.none() | limits()
BALANCES = balances()
SHARES = st.just((None, 10.0, 50)) | st.tuples(st.floats(1, 100), seconds(1000, 300_000), st.integers(1, 1_000_000))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies that parse_policy accepts, with every field drawn."""
    timeout, retry = draw(waiting_and_retrying())
    shadow = draw(st.none() | st.builds(p.Shadow, st.just(timeout), st.just(retry), st.integers(0, 2**53)))
    if shadow is not None:
        timeout, retry = draw(waiting_and_retrying())
    most_s = min(timeout.request, shadow.timeout.request if shadow is not None and shadow.timeout else 3600.0)
    return Policy(
        name=draw(NAMES),
        match=Match(
            draw(NAMES | st.just("*")),
            draw(st.none() | NAMES),
            draw(st.none() | ROUTES),
            tuple(draw(st.lists(st.sampled_from(["GET", "POST"]), max_size=2))),
            draw(FIELDS),
        ),
        timeout=timeout,
        retry=retry,
        breaker=p.Breaker(*(draw(st.integers(1, 1_000_000)) for _ in range(3))),
        outlier=p.Outlier(
            draw(st.integers(1, 1000)),
            draw(seconds(100, 300_000)),
            draw(st.floats(0, MAX_EJECT_PERCENT)),
            *draw(SHARES),
        ),
        limit=draw(LIMITS),
        health=draw(HEALTH),
        balance=draw(BALANCES),
        shadow=shadow,
        **draw(TRAFFIC),
        hedge=draw(st.none() | st.builds(p.Hedge, seconds(1, round(most_s * 1000) - 1), st.floats(0, 5)))
        if most_s > 0.001
        else None,
        version=draw(st.integers(0, 2**53)),
        reason=draw(st.text(max_size=20)),
    )


def schema() -> dict[str, Any]:
    text = resources.files("meshwise.contracts").joinpath("policy.schema.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def expanded(node: dict[str, Any]) -> dict[str, Any]:
    """The schema with every section written out where another refers to it."""
    if node.get("$ref", "").startswith("#/properties/"):
        node = {**schema()["properties"][node["$ref"].rpartition("/")[2]], "description": node["description"]}
    if "properties" in node:
        node = {**node, "properties": {key: expanded(child) for key, child in node["properties"].items()}}
    return node


VALIDATOR = jsonschema.Draft202012Validator(schema())


@UNTIMED
@given(policies())
def test_a_policy_survives_its_document(policy: Policy) -> None:
    """Parsing the document of a policy gives an equal policy, also through JSON text."""
    assert parse_policy(policy.to_document()) == policy
    assert parse_policy(json.loads(json.dumps(policy.to_document()))) == policy


def test_a_candidate_takes_from_its_shadow_what_it_says_and_the_rest_as_it_is() -> None:
    """The candidate has the shadow's sections and version, and everything else of the policy in force."""
    document = {"match": {"service": "a"}, "timeout": {"request": "3s"}, "retry": {"max": 2}, "version": 4}
    policy = parse_policy({**document, "shadow": {"timeout": {"request": "1s"}, "version": 9}})
    assert policy.candidate == parse_policy({**document, "timeout": {"request": "1s"}, "version": 9})
    assert parse_policy(document).candidate is None


@UNTIMED
@given(policies())
def test_the_schema_accepts_every_policy(policy: Policy) -> None:
    """The published schema accepts the document of any policy."""
    VALIDATOR.validate(policy.to_document())


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"match": None}, "match.service"),
        ({"match": "catalog"}, "match"),
        ({"match": {"service": "Catalog"}}, "match.service"),
        ({"match": {"service": "a", "source": "*"}}, "match.source"),
        ({"match": {"service": "a", "source": ""}}, "match.source"),
        ({"match": {"service": "a", "route": "items"}}, "match.route"),
        ({"match": {"service": "a", "route": "/a//b"}}, "match.route"),
        ({"match": {"service": "a", "route": "/(a+)+$/\\d"}}, "match.route"),
        ({"match": {"service": "a", "route": "/" + "a" * 600}}, "match.route"),
        ({"match": {"service": "a", "methods": ["get"]}}, "match.methods[0]"),
        ({"match": {"service": "a", "methods": [[[[]]]]}}, "match.methods[0]"),
        ({"match": {"service": "a", "host": "x"}}, "match.host"),
        ({"name": "Not A Name"}, "name"),
        ({"timeout": {"request": 5}}, "timeout.request"),
        ({"timeout": {"request": "0s"}}, "timeout.request"),
        ({"timeout": {"request": "2h"}}, "timeout.request"),
        ({"timeout": {"request": "1s", "attempt": "2s"}}, "timeout.attempt"),
        ({"timeout": {"atempt": "1s"}}, "timeout.atempt"),
        (
            {"timeout": {"request": "1s", "attempt": "600ms"}, "retry": {"max": 1, "on": {"timeout": True}}},
            "timeout.request",
        ),
        ({"retry": {"max": 1, "on": {"timeout": True}}}, "timeout.attempt"),
        ({"retry": {"max": 3}}, "retry.max"),
        ({"retry": {"max": -1}}, "retry.max"),
        ({"retry": {"max": 10**400}}, "retry.max"),
        ({"retry": {"max": True}}, "retry.max"),
        ({"retry": {"on": {"codes": [200]}}}, "retry.on.codes[0]"),
        ({"retry": {"on": {"codes": [503, "503"]}}}, "retry.on.codes[1]"),
        ({"retry": {"on": {"codes": 503}}}, "retry.on.codes"),
        ({"retry": {"on": {"grpc": ["unavailable", "ok"]}}}, "retry.on.grpc[1]"),
        ({"retry": {"on": {"grpc": [14]}}}, "retry.on.grpc[0]"),
        ({"retry": {"on": {"grpc": [["unavailable"]]}}}, "retry.on.grpc[0]"),
        ({"retry": {"budget": {"percent": 400}}}, "retry.budget.percent"),
        ({"retry": {"budget": {"percent": float("nan")}}}, "retry.budget.percent"),
        ({"retry": {"budget": {"percent": 10**400}}}, "retry.budget.percent"),
        ({"retry": {"budget": {"min_per_second": 11}}}, "retry.budget.min_per_second"),
        ({"retry": {"budget": {"interval": "500ms"}}}, "retry.budget.interval"),
        ({"retry": {"backoff": {"base": "1s", "max": "1ms"}}}, "retry.backoff.base"),
        ({"retry": {"methods": ["POST"]}}, "retry.methods"),
        ({"retry": {"idempotency_header": "a b"}}, "retry.idempotency_header"),
        ({"retry": {"idempotency_header": "a\r\nb"}}, "retry.idempotency_header"),
        ({"limit": {}}, "limit"),
        ({"limit": {"burst": 5, "max_concurrency": 3}}, "limit.burst"),
        ({"limit": {"requests_per_second": 1, "per": "user"}}, "limit.per"),
        ({"limit": {"adaptive": True, "priority": "vip"}}, "limit.priority"),
        ({"outlier": {"failure_percent": 0}}, "outlier.failure_percent"),
        ({"match": {"service": "a", "headers": {"x a": "1"}}}, "match.headers.x a"),
        ({"match": {"service": "a", "headers": {"x-a": 1}}}, "match.headers.x-a"),
        ({"fault": {}}, "fault"),
        ({"fault": {"delay": {"fixed": "6m"}}}, "fault.delay.fixed"),
        ({"fault": {"abort": {"status": 200}}}, "fault.abort.status"),
        ({"fault": {"abort": {"status": 503, "percent": 101}}}, "fault.abort.percent"),
        ({"split": [{}]}, "split[0].weight"),
        ({"split": [{"weight": 0}]}, "split"),
        ({"split": [{"weight": 1}] * 17}, "split"),
        ({"split": [{"weight": 1, "service": "A"}]}, "split[0].service"),
        ({"mirror": {"percent": 5}}, "mirror.service"),
        ({"headers": {"request": {"set": {"Host": "x"}}}}, "headers.request"),
        ({"headers": {"response": {"add": {"x-meshwise-error": "x"}}}}, "headers.response"),
        ({"headers": {"request": {"add": {"a": "b\r\nc: d"}}}}, "headers.request.add.a"),
        ({"headers": {"request": {"remove": ["a b"]}}}, "headers.request.remove[0]"),
        ({"rewrite": {}}, "rewrite"),
        ({"rewrite": {"prefix": "/x"}}, "rewrite.prefix"),
        ({"rewrite": {"path": "x"}}, "rewrite.path"),
        ({"redirect": {"path": "/x", "status": 304}}, "redirect.status"),
        ({"redirect": {"authority": "a/b"}}, "redirect.authority"),
        ({"health": {"type": "icmp"}}, "health.type"),
        ({"health": {"path": "healthz"}}, "health.path"),
        ({"health": {"type": "tcp", "path": "/"}}, "health.path"),
        ({"health": {"interval": "1ms"}}, "health.interval"),
        ({"hedge": {}}, "hedge.delay"),
        ({"hedge": {"delay": "15s"}}, "hedge.delay"),
        ({"hedge": {"delay": "1s", "max_extra_percent": 6}}, "hedge.max_extra_percent"),
        ({"breaker": {"max_requests": 0}}, "breaker.max_requests"),
        ({"outlier": {"max_eject_percent": 51}}, "outlier.max_eject_percent"),
        ({"balance": {"algorithm": "best"}}, "balance.algorithm"),
        ({"balance": {"algorithm": "maglev"}}, "balance.hash_on"),
        ({"balance": {"hash_on": "source"}}, "balance.hash_on"),
        ({"balance": {"algorithm": "maglev", "hash_on": "path"}}, "balance.hash_on"),
        ({"balance": {"subset": {"version": 2}}}, "balance.subset.version"),
        ({"balance": {"subset": {"a b": "2"}}}, "balance.subset.a b"),
        ({"version": -1}, "version"),
        ({"reason": ""}, "reason"),
        ({"shadow": {}}, "shadow"),
        ({"shadow": {"version": 3}}, "shadow"),
        ({"shadow": {"timeout": {"request": "1s", "attempt": "2s"}}}, "shadow.timeout.attempt"),
        ({"shadow": {"retry": {"max": 1, "on": {"timeout": True}}}}, "shadow.timeout.attempt"),
        ({"shadow": {"retry": {"max": 9}}}, "shadow.retry.max"),
        ({"shadow": {"breaker": {}}}, "shadow.breaker"),
    ],
)
def test_a_wrong_document_names_the_path_of_its_mistake(changes: dict[str, Any], path: str) -> None:
    """Every mistake is refused and named by the path of its field."""
    with pytest.raises(DocumentError) as raised:
        parse_policy({"match": {"service": "catalog"}, **changes})
    assert raised.value.path == path
    assert raised.value.problem


@pytest.mark.parametrize("wrong", [[], "policy", 7, True, {}, None, {1: 2}])
def test_what_is_no_document_is_refused(wrong: object) -> None:
    """Anything but a mapping with a match is a DocumentError."""
    with pytest.raises(DocumentError):
        parse_policy(wrong)


def _leaf(node: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values near and beyond what one field of the schema allows."""
    strange = st.sampled_from([None, True, False, "", "x", 0, -1, 1.5, [], {}, [None], ["GET"], [503], [399], {"a": 1}])
    if "$ref" in node:
        return st.sampled_from(["5ms", "1s", "2s", "30s", "1m", "1", "1.5s", "5 s", "s"]) | strange
    if "enum" in node:
        return st.sampled_from([*node["enum"], "other"]) | strange
    kinds = node.get("type", "string")
    if "integer" in kinds or "number" in kinds:
        low, high = node["minimum"], node["maximum"]
        return st.sampled_from([low, low - 1, high, high + 1, 1, 5]) | strange
    if "array" in kinds:
        return st.lists(st.sampled_from(["GET", "PUT", "get", 500, 503, 600, None]), max_size=2) | strange
    return st.sampled_from(["a", "b-c", "*", "A", "/x", "/x/{id}/*", "/*/x", "x-key", "a b"]) | strange


def _object(node: dict[str, Any]) -> st.SearchStrategy[Any]:
    fields = {
        key: _object(child) if "properties" in child else _leaf(child) for key, child in node["properties"].items()
    }
    required = {key: fields.pop(key) for key in node.get("required", ())}
    known = st.fixed_dictionaries(required, optional=fields)
    misspelt = st.builds(lambda good: {**good, "surprise": 1}, known)
    return st.one_of(known, known, known, misspelt, st.sampled_from([None, [], "x"]))


SEMANTIC = (
    "is of no use to a check",
    "injects nothing",
    "sends nobody anywhere",
    "changes nothing",
    "cannot stand beside path",
    "needs a match.route",
    "may not be edited",
    "is named twice",
    "is required for ",
    "is of use to ",
    "limits nothing",
    "needs requests_per_second",
    "is not shorter than timeout.request",
    "do not fit into",
    "is longer than timeout.request",
    "is required when retry.on.timeout",
    "is not idempotent",
    "must not exceed retry.backoff.max",
    " s to ",
)
"""What the problems say that the schema leaves to the parser: how fields relate, and the range of a duration."""


def _fields(node: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    found = [(path, node)] if path else []
    for key, child in node.get("properties", {}).items():
        found += _fields(child, (*path, key))
    return found


EXPANDED = expanded(schema())
REPLACEMENTS = [(path, _object(node) if "properties" in node else _leaf(node)) for path, node in _fields(EXPANDED)]
"""Each field with values that it may be given instead."""
ANY_DOCUMENT = _object(EXPANDED)


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, Any]:
    """A good document with one field replaced by something that may be wrong."""
    document: dict[str, Any] = draw(policies()).to_document()
    path, value = draw(st.sampled_from(REPLACEMENTS))
    inside = document
    for key in path[:-1]:
        inside = inside.setdefault(key, {})
    inside[path[-1]] = draw(value)
    return document


@settings(UNTIMED, max_examples=150)
@given(nearly_right() | ANY_DOCUMENT)
def test_the_schema_and_the_parser_accept_the_same_documents(document: object) -> None:
    """A document is refused by both or by neither, but for what the schema's description leaves to the parser."""
    try:
        parse_policy(document)
        problem = ""
    except DocumentError as error:
        problem = error.problem
    if any(part in problem for part in SEMANTIC):
        return
    assert VALIDATOR.is_valid(document) == (problem == "")


def test_the_schema_is_a_schema_and_describes_every_field() -> None:
    """The published schema is valid 2020-12, and every field in it has a description."""
    jsonschema.Draft202012Validator.check_schema(schema())

    def undescribed(node: dict[str, Any], path: str) -> list[str]:
        missing = [] if node.get("description") else [path]
        return missing + [
            m for key, child in node.get("properties", {}).items() for m in undescribed(child, f"{path}.{key}")
        ]

    assert undescribed(schema(), "") == []


def test_the_schema_states_the_defaults_of_the_parser() -> None:
    """A document made of the schema's defaults parses to the defaults."""

    def defaults(node: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, child in node["properties"].items():
            if "default" in child:
                found[key] = child["default"]
            elif "properties" in child:
                found[key] = defaults(child)
        return found

    stated = parse_policy({**defaults(schema()), "match": {"service": "a"}})
    assert stated == parse_policy({"match": {"service": "a"}})


def chain(source: str | None, service: str, request: float) -> Policy:
    return Policy(f"{source}.{service}", Match(service, source), Timeout(request))


def test_a_callee_that_outlasts_its_caller_is_refused_by_name() -> None:
    """The problem names both policies and both timeouts."""
    with pytest.raises(DocumentError, match=r"b\.c lets b wait 2s for c, but a\.b gives a only 1s for b") as raised:
        check_chain([chain("a", "b", 1.0), chain("b", "c", 2.0)])
    assert raised.value.path == "timeout.request"


EDGES = st.tuples(st.sampled_from("abc") | st.none(), st.sampled_from("abc"), st.sampled_from([1.0, 2.0, 3.0]))


@UNTIMED
@given(st.lists(EDGES, max_size=6))
def test_the_chain_check_is_the_plain_pairwise_rule(edges: list[tuple[str | None, str, float]]) -> None:
    """A set is refused exactly when some pair of its policies breaks the rule."""
    broken = any(
        outer[0] is not None and inner[0] is not None and outer[1] == inner[0] and inner[2] > outer[2]
        for outer, inner in itertools.product(edges, edges)
    )
    try:
        check_chain([chain(*edge) for edge in edges])
    except DocumentError:
        assert broken
    else:
        assert not broken


@pytest.mark.parametrize(
    ("template", "path", "fits"),
    [
        ("/items/{id}", "/items/7", True),
        ("/items/{id}", "/items/", False),
        ("/items/{id}", "/items/7/reviews", False),
        ("/items/*", "/items/7/reviews", True),
        ("/items/*", "/items", True),
        ("/items/*", "/itemsx", False),
        ("/*", "/", True),
        ("/", "/", True),
        ("/", "/x", False),
    ],
)
def test_templates_match_whole_segments(template: str, path: str, fits: bool) -> None:
    """A brace stands for one segment that is not empty, a star for any rest."""
    assert matches_route(template, path) is fits


def test_a_policy_governs_what_its_match_says() -> None:
    """Source, service, method and route must all fit; what is left out fits anything."""
    policy = Policy("p", Match("catalog", "frontend", "/items/{id}", ("GET",)))
    request: dict[str, Any] = {"source": "frontend", "service": "catalog", "method": "GET", "path": "/items/1"}
    assert governs(policy, **request)
    for key, other in (("source", "cart"), ("service", "cart"), ("method", "POST"), ("path", "/")):
        assert not governs(policy, **{**request, key: other})
    assert governs(p.DEFAULT_POLICY, **request)


def test_the_more_specific_match_sorts_higher() -> None:
    """Naming the service beats naming the source, then route literals, then methods; a share goes before the whole."""
    matches = [
        Match("*"),
        Match("*", "a"),
        Match("b"),
        Match("b", methods=("GET",)),
        Match("b", route="/x/{id}"),
        Match("b", route="/x/y"),
        Match("b", "a"),
        Match("b", "a", percent=5.0),
    ]
    keys = [match.specificity for match in matches]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@UNTIMED
@given(policies(), policies())
def test_changed_fields_turn_one_document_into_the_other(one: Policy, other: Policy) -> None:
    """No change is listed between equals, and each listed path carries both values."""
    assert changed_fields(one.to_document(), one.to_document()) == []
    for path, before, after in changed_fields(one.to_document(), other.to_document()):
        old: Any = one.to_document()
        new: Any = other.to_document()
        for key in path.split("."):
            old, new = (old or {}).get(key), (new or {}).get(key)
        assert (old, new) == (before, after)
        assert before != after


def test_the_idempotent_methods_are_those_of_the_standard() -> None:
    """POST, PATCH and CONNECT are not among the methods repeated freely."""
    assert not {"POST", "PATCH", "CONNECT"} & set(IDEMPOTENT_METHODS)
