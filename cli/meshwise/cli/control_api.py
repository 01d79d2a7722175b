"""Calls to control and analytics by the operator's verbs; the standard library only: the base has no HTTP client."""

from __future__ import annotations

import getpass
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshwise.cli.configuration import Configuration, load_configuration, settings_for
from meshwise.cli.platform import base_url
from meshwise.contracts.errors import DocumentError, MeshwiseError, UnavailableError
from meshwise.store.tls import client_context

TIMEOUT_S = 10.0
DEFAULT_URL = "http://127.0.0.1:15010"


class ManyProblemsError(MeshwiseError):
    """A part refused what was sent, for several reasons: one line each in ``problems``."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class JsonApi:
    """The API of the part called ``name`` at ``url``, spoken to with ``token`` when it asks for one."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "control",
        token: str = "",
        ca_file: str | None = None,
        client_cert: str | None = None,
        actor: str = "operator",
    ) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self._token = token
        self._actor = actor
        self._tls = None
        if self.url.startswith("https:"):
            self._tls = client_context(*(None if file is None else Path(file) for file in (ca_file, client_cert)))

    def get(self, path: str) -> Any:
        """Return the answer to GET ``path``; raises as ``request`` does."""
        return self.request("GET", path)

    def put(self, path: str, document: Mapping[str, Any]) -> Any:
        """Return the answer to PUT ``path``; raises as ``request`` does."""
        return self.request("PUT", path, document)

    def post(self, path: str, document: Mapping[str, Any]) -> Any:
        """Return the answer to POST ``path``; raises as ``request`` does."""
        return self.request("POST", path, document)

    def delete(self, path: str) -> Any:
        """Return the answer to DELETE ``path``; raises as ``request`` does."""
        return self.request("DELETE", path)

    def request(
        self, method: str, path: str, document: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> Any:
        """Return the JSON that the part answers within ``timeout_s``.

        Raises:
            UnavailableError: it does not answer.
            DocumentError: it refused what was sent, with the field it names.
            MeshwiseError: any other refusal.
        """
        headers = {"content-type": "application/json", "x-meshwise-actor": self._actor}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310 - the scheme is checked
        try:
            with urllib.request.urlopen(request, timeout=timeout_s, context=self._tls) as answer:  # noqa: S310
                raw = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(self.name, error.code, error.read()) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise UnavailableError(
                f"{self.name} at {self.url} does not answer ({_text(reason)}); start it, or give --{self.name}-url"
            ) from None
        return json.loads(raw) if raw else {}


def segment(name: str) -> str:
    """Return ``name`` as one segment of a path, whatever characters it has."""
    quoted = urllib.parse.quote(name, safe="")
    return quoted.replace(".", "%2E") if set(name) == {"."} else quoted


def open_control(config: Path | None, control_url: str | None) -> JsonApi:
    """Return control at the address that the flag, the environment or the file says.

    Raises:
        ConfigError: the configuration cannot be read.
    """
    configuration = load_configuration(config, os.environ)
    configuration.raise_problems()
    said = configuration.sections.get("control", {})
    scheme = "https" if said.get("tls_cert") else "http"
    own = f"{scheme}://{said.get('host', '127.0.0.1')}:{said.get('port', 15010)}" if said else DEFAULT_URL
    url = control_url or _said(configuration, "control_url") or own
    if not url.startswith(("http://", "https://")):
        raise DocumentError("--control-url", f"{url!r} must start with http:// or https://")
    return JsonApi(
        url,
        token=str(said.get("token") or _said(configuration, "control_token") or ""),
        ca_file=_said(configuration, "control_ca") or said.get("tls_cert"),
        client_cert=_said(configuration, "control_client_cert"),
        actor=_actor(),
    )


def open_analytics(config: Path | None, analytics_url: str | None) -> JsonApi:
    """Return analytics at the address that the flag, the environment or the file says.

    Raises:
        ConfigError: the configuration cannot be read.
    """
    configuration = load_configuration(config, os.environ)
    said = configuration.sections.get("analytics", {})
    url = analytics_url or base_url(settings_for(configuration, "analytics"))
    if not url.startswith(("http://", "https://")):
        raise DocumentError("--analytics-url", f"{url!r} must start with http:// or https://")
    cert, token = said.get("tls_cert"), str(said.get("token") or "")
    return JsonApi(url, name="analytics", token=token, ca_file=str(cert) if cert else None, actor=_actor())


def _said(configuration: Configuration, key: str) -> str | None:
    """Return what the file or the environment says of control to those who call it."""
    for name in ("analytics", "dashboard", "proxy"):
        if said := configuration.sections.get(name, {}).get(key):
            return str(said)
    return None


def _actor() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return "operator"
    return name if name.isascii() and name.isprintable() and 0 < len(name) <= 64 else "operator"


def _refusal(name: str, status: int, raw: bytes) -> MeshwiseError:
    try:
        answer = json.loads(raw)
        if problems := answer.get("problems"):
            return ManyProblemsError([_line(problem) for problem in problems])
        error = answer["error"]
        return DocumentError(str(error.get("path") or ""), str(error["problem"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return MeshwiseError(f"{name} refused with status {status}: {raw[:200].decode(errors='replace')}")


def _line(problem: Mapping[str, Any]) -> str:
    path, text = str(problem.get("path") or ""), str(problem["problem"])
    return f"{path}: {text}" if path else text


def _text(reason: object) -> str:
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return str(reason)
