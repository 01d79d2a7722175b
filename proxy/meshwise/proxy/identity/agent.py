"""Gets this proxy its certificate, and the next one in time; traffic never waits for it.

New credentials make new TLS contexts, which new connections use; connections under way keep what they began with.
While control is away the certificate in force goes on, with an alarm in the log in its last quarter. Once it is over,
nobody takes it any more, and nothing falls back to plaintext.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from meshwise.contracts.errors import ConfigError, DocumentError, MeshwiseError, UnavailableError
from meshwise.proxy.identity.credentials import Credentials, CredentialsFile, read_credentials
from meshwise.proxy.identity.requests import joining_body, new_key, renewal_body
from meshwise.proxy.identity.schedule import is_alarming, renew_at, retry_wait
from meshwise.proxy.net.http_client import HttpClient
from meshwise.proxy.net.tls import MeshTls

_JSON: Final = {"content-type": "application/json"}
_MAX_ANSWER_BYTES: Final = 256 * 1024

log = structlog.get_logger(__name__)


class IdentityAgent:
    """Keeps ``tls`` in possession of valid credentials of ``service``; ``token`` is read when it is needed."""

    def __init__(
        self,
        control_url: str,
        service: str,
        file: Path,
        tls: MeshTls,
        token: Callable[[], str],
        *,
        control_token: str = "",
        control_tls: Callable[[], ssl.SSLContext] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.obtained = asyncio.Event()
        """Set as soon as there is an identity."""
        self.renewals = 0
        self.failures = 0
        self.last_error = ""
        self._client = HttpClient(control_url, token=control_token, tls=control_tls)
        self._service = service
        self._file = CredentialsFile(file)
        self._tls = tls
        self._token = token
        self._clock = clock
        self._credentials: Credentials | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the identity from the disk if there is one, and begin to look after it."""
        try:
            kept = await asyncio.to_thread(self._file.load, self._service, self._clock())
            if kept is not None:
                self._put_in_force(kept)
        except DocumentError as error:
            log.warning("kept identity not used", problem=str(error))
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop looking after it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._client.close()

    def stats(self) -> Mapping[str, Any]:
        """Return the age of the certificate and what became of the attempts to renew it."""
        credentials = self._credentials
        left = 0.0 if credentials is None else max(0.0, credentials.not_after - self._clock())
        return {
            "certificate_expiry_seconds": round(left, 3),
            "renewals": self.renewals,
            "renewal_failures": self.failures,
        }

    async def _run(self) -> None:
        in_a_row = 0
        while True:
            present = self._credentials
            if present is not None and not in_a_row:
                spread = random.uniform(-1.0, 1.0)  # noqa: S311 - jitter, not a secret
                await asyncio.sleep(max(0.0, renew_at(present.not_before, present.not_after, spread) - self._clock()))
            try:
                await self._renew(present)
                in_a_row = 0
                continue
            except MeshwiseError as error:
                problem = str(error)
            except Exception as error:
                log.exception("renewal failed")
                problem = f"internal error: {type(error).__name__}"
            in_a_row += 1
            self.failures += 1
            self._complain(problem)
            left = 300.0 if self._credentials is None else max(0.0, self._credentials.not_after - self._clock())
            await asyncio.sleep(retry_wait(in_a_row, left))

    async def _renew(self, present: Credentials | None) -> None:
        now = self._clock()
        new = await asyncio.to_thread(new_key)
        if present is not None and now < present.not_after:
            body = await asyncio.to_thread(renewal_body, new, present, now)
        else:
            body = joining_body(new, await asyncio.to_thread(self._token))
        answer = await self._client.request(
            "POST", "/v1/certificates", orjson.dumps(body), _JSON, max_bytes=_MAX_ANSWER_BYTES
        )
        if answer.status != 200:
            problem = answer.body[:300].decode("utf-8", "replace")
            raise UnavailableError(f"control answered {answer.status} to a request for a certificate: {problem}")
        try:
            said = orjson.loads(answer.body)
            certificate, bundle = str(said["certificate"]), str(said["ca"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise UnavailableError("control's answer holds no certificate") from None
        credentials = read_credentials(new.key_pem, certificate, bundle, self._service)
        await asyncio.to_thread(self._file.store, credentials)
        self._put_in_force(credentials)
        self.renewals += 1
        self.last_error = ""

    def _put_in_force(self, credentials: Credentials) -> None:
        self._tls.use(credentials, self._file.path)
        self._credentials = credentials
        self.obtained.set()
        log.info(
            "identity in force",
            service=credentials.service,
            trust_domain=credentials.trust_domain,
            expires_in_s=round(credentials.not_after - self._clock(), 3),
        )

    def _complain(self, problem: str) -> None:
        present = self._credentials
        self.last_error = problem
        if present is None:
            log.warning("no identity yet", problem=problem)
            return
        left = present.not_after - self._clock()
        if left <= 0:
            log.error("the certificate is over; calls between proxies fail", problem=problem)
        elif is_alarming(present.not_before, present.not_after, self._clock()):
            log.error("the certificate is not renewed and soon over", left_s=round(left, 3), problem=problem)
        else:
            log.warning("certificate not renewed yet", left_s=round(left, 3), problem=problem)


def token_of(token: str | None, file: Path | None) -> Callable[[], str]:
    """Return how to get the join token from the settings.

    Raises (what is returned):
        ConfigError: there is none, or its file cannot be read.
    """

    def read() -> str:
        if file is not None:
            try:
                return file.read_text("ascii").strip()
            except (OSError, ValueError) as error:
                raise ConfigError(f"proxy.join_token_file {file} cannot be read: {error}") from None
        if token:
            return token
        raise ConfigError("there is no identity yet; set proxy.join_token (meshwise token create --service …)")

    return read
