"""The door to the application: a token that proves something, rules that let the request in, all of it counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

from meshwise.contracts.access import Access, Asked, decide, parse_access
from meshwise.contracts.errors import ConfigError, DocumentError
from meshwise.contracts.identity import spiffe_id
from meshwise.proxy.access.keys import Key
from meshwise.proxy.access.source import KeySource
from meshwise.proxy.access.tokens import BadTokenError, UnknownKeyError, issuer_of, verify
from meshwise.proxy.errors import AmbiguousPath, Forbidden, KeysPending, ProxyError, Unauthenticated
from meshwise.proxy.paths import is_ambiguous, unescaped_path

MAX_CACHED: Final = 4096
"""Tokens whose check is remembered."""
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""Largest access file."""

log = structlog.get_logger(__name__)


class Guard:
    """What ``file`` says, for the requests of one listener; the file is read again when it changes."""

    def __init__(
        self, file: Path, trust_domain: Callable[[], str] = str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.counts: dict[str, int] = {}
        """Requests by what became of them; denials also by rule."""
        self._file = file
        self._trust_domain = trust_domain
        self._clock = clock
        self._stamp = _stamp(file)
        self.access = load_access(file)
        self._sources: dict[str, KeySource] = {}
        self._valid: dict[str, tuple[Mapping[str, Any], float, tuple[Key, ...]]] = {}
        """Claims of checked tokens, until when they hold, and the keys they were checked with."""
        self._reloading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fetch keys and look after them."""
        self._sources = await _started(self.access)

    async def stop(self) -> None:
        """Stop looking after keys."""
        if self._reloading is not None:
            self._reloading.cancel()
        await asyncio.gather(*(source.stop() for source in self._sources.values()))

    def look(self) -> None:
        """Read the file again if it has changed; call about once a second. A bad one is refused whole."""
        stamp = _stamp(self._file)
        if stamp == self._stamp or self._reloading is not None:
            return
        self._stamp = stamp
        try:
            access = load_access(self._file)
        except ConfigError as error:
            self._count("file_refused")
            log.error("access file refused; the one before stays", problem=str(error))  # noqa: TRY400
            return
        self._reloading = asyncio.get_running_loop().create_task(self._replace(access))

    def check(
        self,
        method: str,
        target: str,
        identity: str,
        authorization: Sequence[bytes],
        resume: Callable[[], None] | None,
    ) -> ProxyError | None:
        """Return why a request is not let in, or ``None`` when it is.

        ``identity`` is the service that the caller proved to be. With ``resume``, a token whose key is not known may
        give ``KeysPending``: ``resume`` is called once the keys were fetched again, to ask about the request anew.
        """
        access = self.access
        path = unescaped_path(target)
        if access.by_path and is_ambiguous(path):
            self._count("ambiguous_path")
            return AmbiguousPath("the path could be read in more than one way, and access depends on it")
        claims: Mapping[str, Any] = {}
        if access.issuers:
            try:
                claims = self._claims(authorization, resume)
            except _LaterError:
                return KeysPending("the issuer's keys are being fetched")
            except BadTokenError as error:
                self._count("bad_token")
                return Unauthenticated(f"the token is not accepted: {error}")
        if access.token_required and not claims:
            self._count("no_token")
            return Unauthenticated("a bearer token is required")
        if not access.rules:
            self._count("allowed")
            return None
        sources = (identity, spiffe_id(self._trust_domain(), identity)) if identity else ()
        decision = decide(access.rules, Asked(method, path, sources, claims))
        if decision.would:
            self._count(f"would_{'deny' if decision.allowed else 'allow'}_{decision.would}")
        if decision.allowed:
            self._count("allowed")
            return None
        self._count("denied")
        self._count(f"denied_{decision.rule}")
        return Forbidden(f"access rule {decision.rule} does not let this request in")

    def stats(self) -> Mapping[str, Any]:
        """Return the counts, and how fetching keys went."""
        sources = self._sources.values()
        return {
            **self.counts,
            "jwks_fetches": sum(source.fetches for source in sources),
            "jwks_failures": sum(source.failures for source in sources),
            "keys": sum(len(source.keys) for source in sources),
        }

    # --- inside ---

    def _claims(self, authorization: Sequence[bytes], resume: Callable[[], None] | None) -> Mapping[str, Any]:
        if not authorization:
            return {}
        if len(authorization) > 1:
            raise BadTokenError("authorization is there more than once")
        scheme, _, value = authorization[0].strip().partition(b" ")
        if scheme.lower() != b"bearer":
            return {}
        try:
            token = value.strip().decode("ascii")
        except UnicodeDecodeError:
            raise BadTokenError("it is no JWT") from None
        now = self._clock()
        known = self._valid.get(token)
        source: KeySource | None = None
        if known is not None:
            claims, until, keys = known
            source = self._sources.get(str(claims["iss"]))
            if source is not None and source.keys is keys and now < until:
                return claims
            del self._valid[token]
        issuer = issuer_of(token)
        source = self._sources.get(issuer)
        if source is None:
            raise BadTokenError("its issuer is not believed")
        try:
            claims = verify(token, source.issuer, source.keys, now)
        except UnknownKeyError:
            if resume is not None and source.ask_anew(resume):
                raise _LaterError from None
            raise
        if len(self._valid) >= MAX_CACHED:
            self._valid.pop(next(iter(self._valid)))
        self._valid[token] = (claims, claims["exp"] + source.issuer.leeway, source.keys)
        return claims

    async def _replace(self, access: Access) -> None:
        try:
            before, self._sources = self._sources, await _started(access)
            self.access = access
            self._valid.clear()
            await asyncio.gather(*(source.stop() for source in before.values()))
            log.info("access file in force", rules=len(access.rules), issuers=len(access.issuers))
        finally:
            self._reloading = None

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


class _LaterError(Exception):
    """The answer depends on keys that are being fetched."""


def load_access(file: Path) -> Access:
    """Return what ``file``, YAML or JSON, describes.

    Raises:
        ConfigError: it cannot be read, or is no such document; or it names issuers and PyJWT is not installed.
    """
    try:
        with file.open("rb") as opened:
            access = parse_access(yaml.safe_load(opened.read(MAX_FILE_BYTES)))
    except OSError as error:
        raise ConfigError(f"proxy.access_file {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, DocumentError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"proxy.access_file {file} is no access document: {problem}") from None
    return access


async def _started(access: Access) -> dict[str, KeySource]:
    sources = {issuer.issuer: KeySource(issuer) for issuer in access.issuers}
    await asyncio.gather(*(source.start() for source in sources.values()))
    return sources


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
