"""Who may call a service: tokens that must be valid, and rules about who asks for what.

    jwt:     [{issuer, audiences, jwks_url | jwks_file, leeway?, refresh?}]
    token:   optional | required
    rules:   [{name, action: allow | deny, dry_run?, sources?, methods?, paths?, claims?}]

A rule is about a request when every list it has holds one of the request's values. A request is denied when a ``deny``
rule is about it, or when there are ``allow`` rules and none is; see ``decide``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.identity import is_service
from meshwise.contracts.policy import matches_route
from meshwise.contracts.reading import Reader, shown

MAX_RULES: Final = 1000
MAX_ISSUERS: Final = 16
MAX_LEEWAY_S: Final = 300.0

Action = Literal["allow", "deny"]
ACTIONS: Final[tuple[Action, ...]] = ("allow", "deny")

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}/[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose tokens are believed when they are for one of ``audiences``. Durations are seconds."""

    issuer: str
    audiences: tuple[str, ...]
    jwks_url: str = ""
    jwks_file: str = ""
    leeway: float = 30.0
    refresh: float = 300.0


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One rule; an empty list is about every request. ``sources`` are proved identities: services or SPIFFE ids."""

    name: str
    action: Action
    dry_run: bool = False
    sources: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def about(self, asked: Asked) -> bool:
        """Tell whether the rule is about a request."""
        if self.methods and asked.method not in self.methods:
            return False
        if self.sources and not any(source in self.sources for source in asked.sources):
            return False
        if self.paths and not any(matches_route(template, asked.path) for template in self.paths):
            return False
        return all(_holds(asked.claims.get(name), values) for name, values in self.claims)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a request. ``sources`` is empty when the caller proved nothing, ``claims`` without a token."""

    method: str
    path: str
    sources: tuple[str, ...]
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """Everything that decides who may call a service."""

    issuers: tuple[Issuer, ...] = ()
    token_required: bool = False
    rules: tuple[AccessRule, ...] = ()

    @property
    def by_path(self) -> bool:
        """Tell whether any rule looks at paths."""
        return any(rule.paths for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Decision:
    """``rule`` decided; empty when none was about it. ``would`` is the rule on trial that would decide otherwise."""

    allowed: bool
    rule: str = ""
    would: str = ""


NO_RULE: Final = "no-rule"
"""Stands for the rule's name when there are ``allow`` rules and none is about the request."""


def decide(rules: Sequence[AccessRule], asked: Asked) -> Decision:
    """Return what is to happen: decided by the rules in force, tried by all of them.

    1. A ``deny`` rule about the request denies it.
    2. Without ``allow`` rules everything else is allowed; with some, what one of them is about.
    """
    about = [rule for rule in rules if rule.about(asked)]
    allowed, name = _decided([rule for rule in rules if not rule.dry_run], about)
    if not any(rule.dry_run for rule in rules):
        return Decision(allowed, name)
    tried, tried_name = _decided(rules, about)
    return Decision(allowed, name, tried_name if tried != allowed else "")


def parse_access(document: object) -> Access:
    """Return what ``document`` describes.

    Raises:
        DocumentError: the first mistake found; nothing of the document takes effect.
    """
    reader = Reader(document)
    issuers = tuple(_issuer(raw, f"jwt[{at}]") for at, raw in enumerate(reader.take_list("jwt") or ()))
    rules = tuple(_rule(raw, f"rules[{at}]") for at, raw in enumerate(reader.take_list("rules") or ()))
    wanted = reader.take_text("token", "optional")
    reader.finish()
    if wanted not in ("optional", "required"):
        raise DocumentError("token", f"{shown(wanted)} is neither optional nor required")
    required = wanted == "required"
    if len(issuers) > MAX_ISSUERS or len(rules) > MAX_RULES:
        raise DocumentError("", f"at most {MAX_ISSUERS} issuers and {MAX_RULES} rules")
    _unique("jwt", "issuer", [issuer.issuer for issuer in issuers])
    _unique("rules", "name", [rule.name for rule in rules])
    if not issuers and (required or any(rule.claims for rule in rules)):
        raise DocumentError("jwt", "is required: a token is asked for, and nobody's is believed")
    return Access(issuers, required, rules)


def _decided(rules: Sequence[AccessRule], about: Sequence[AccessRule]) -> tuple[bool, str]:
    chosen = [rule for rule in about if rule in rules]
    for rule in chosen:
        if rule.action == "deny":
            return False, rule.name
    if not any(rule.action == "allow" for rule in rules):
        return True, ""
    return (True, chosen[0].name) if chosen else (False, NO_RULE)


def _holds(value: object, wanted: tuple[str, ...]) -> bool:
    """Tell whether a claim has one of the ``wanted`` values; a list has its items, a text also its words (scopes)."""
    if isinstance(value, str):
        return value in wanted or any(word in wanted for word in value.split(" "))
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, str) and item in wanted for item in value)
    if isinstance(value, bool):
        return ("true" if value else "false") in wanted
    return isinstance(value, int) and str(value) in wanted


def _issuer(raw: object, path: str) -> Issuer:
    reader = Reader(raw, path)
    default = Issuer("", ())
    audiences = tuple(_texts(reader, "audiences"))
    if not audiences:
        raise DocumentError(reader.at("audiences"), "is required: a token for somebody else must not open this door")
    url = reader.take_text("jwks_url", "", longest=2000) if reader.has("jwks_url") else ""
    file = reader.take_text("jwks_file", "", longest=2000) if reader.has("jwks_file") else ""
    for key in ("jwks_url", "jwks_file"):
        reader.take(key)
    if bool(url) == bool(file):
        raise DocumentError(path, "needs either jwks_url or jwks_file")
    if url and not url.startswith(("https://", "http://")):
        raise DocumentError(reader.at("jwks_url"), f"{shown(url)} must start with https://")
    leeway = reader.take_seconds("leeway", default.leeway, 0.0, MAX_LEEWAY_S)
    refresh = reader.take_seconds("refresh", default.refresh, 1.0, 86_400.0)
    issuer = Issuer(
        reader.take_text("issuer", longest=2000),
        audiences,
        url,
        file,
        default.leeway if leeway is None else leeway,
        default.refresh if refresh is None else refresh,
    )
    reader.finish()
    return issuer


def _rule(raw: object, path: str) -> AccessRule:
    reader = Reader(raw, path)
    name = reader.take_text("name")
    if not _NAME.fullmatch(name) or name == NO_RULE:
        raise DocumentError(reader.at("name"), f"{shown(name)} must be lower-case letters, digits, '.', '_' or '-'")
    said = reader.take_text("action")
    action = next((one for one in ACTIONS if one == said), None)
    if action is None:
        raise DocumentError(reader.at("action"), f"{shown(said)} is neither allow nor deny")
    sources = tuple(_texts(reader, "sources"))
    for source in sources:
        if not is_service(source) and not _SPIFFE.fullmatch(source):
            raise DocumentError(reader.at("sources"), f"{shown(source)} is neither a service nor a SPIFFE id")
    methods = tuple(_texts(reader, "methods"))
    for method in methods:
        if not _METHOD.fullmatch(method):
            raise DocumentError(reader.at("methods"), f"{shown(method)} is not a method such as GET")
    paths = tuple(_texts(reader, "paths"))
    for template in paths:
        if not template.startswith("/"):
            raise DocumentError(reader.at("paths"), f"{shown(template)} must start with '/'")
    section = reader.take_section("claims")
    claims = tuple((claim, tuple(_texts(section, claim))) for claim in section.names)
    for claim, values in claims:
        if not values:
            raise DocumentError(section.at(claim), "must be a list of values")
    rule = AccessRule(name, action, reader.take_flag("dry_run", False), sources, methods, paths, claims)
    reader.finish()
    return rule


def _texts(reader: Reader, key: str) -> Iterable[str]:
    for at, item in enumerate(reader.take_list(key) or ()):
        if not isinstance(item, str) or not 0 < len(item) <= 2000:
            raise DocumentError(f"{reader.at(key)}[{at}]", f"{shown(item)} is not a text")
        yield item


def _unique(path: str, key: str, values: Sequence[str]) -> None:
    for at, value in enumerate(values):
        if value in values[:at]:
            raise DocumentError(f"{path}[{at}].{key}", f"{shown(value)} is there twice")
