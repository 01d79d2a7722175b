"""How every HTTP server of the house listens: the door is checked once, here, and not once per room.

Open on loopback only. Anywhere else a server refuses to start without TLS and a token. A page in a browser can make it
send requests to loopback, or point its own name there (DNS rebinding): such requests carry a foreign Origin or a
foreign Host, and end at ``Access`` before any route.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import signal
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog

from meshwise.contracts.errors import ConfigError

if TYPE_CHECKING:
    import uvicorn

log = structlog.get_logger(__name__)

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
PROBES: Final = frozenset({"/livez", "/readyz"})
"""Paths that an orchestrator asks without a token; they carry no secrets."""
CERTIFICATE: Final = "meshwise.certificate"
"""Where a request's scope has the verified client certificate of its connection, as ``getpeercert`` describes it."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Door:
    """Where a room listens and what a caller must bring. ``room`` names its settings in messages."""

    room: str
    host: str
    port: int
    token: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    port_setting: str = "port"
    drain_s: float = 5.0
    secured: bool = False
    """True when the room checks Host, Origin and credentials of its own, which then count as a token."""
    tls_client_ca: Path | None = None
    """Authorities whose client certificates let in as the token does."""
    client_authority: str = ""
    """PEM text of a further such authority, which is known only once the room has started."""
    open_paths: tuple[str, ...] = ()
    """Paths whose requests carry proof of their own, and need no other."""
    limited_token: str = ""
    """A token that opens ``limited_paths`` alone: these paths and what is below them."""
    limited_paths: tuple[str, ...] = ()
    """When there are any, a client certificate that names a service (a SPIFFE URI) opens no others either."""

    def check(self) -> None:
        """Refuse an address that others reach without a token and TLS, and TLS files that cannot be used.

        Raises:
            ConfigError: saying what is missing; nothing may be started.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError(f"{self.room}.tls_cert and {self.room}.tls_key belong together: set both or none")
        guarded = bool(self.token or self.secured or self.tls_client_ca)
        if not is_loopback(self.host) and not (guarded and self.tls_cert is not None):
            raise ConfigError(
                f"{self.room}.host {self.host} is reachable by others: set {self.room}.token, {self.room}.tls_cert and "
                f"{self.room}.tls_key, or listen on 127.0.0.1"
            )
        if self.tls_cert is not None and self.tls_key is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.tls_cert, self.tls_key)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"{self.room}.tls_cert {self.tls_cert} and its key cannot be used ({error}): name two PEM files "
                    "that belong together"
                ) from None
        check_client_authority(self.room, self.tls_client_ca, has_tls=self.tls_cert is not None)

    def listen(self) -> socket.socket:
        """Return a socket that listens on the address; port 0 picks a free one.

        Raises:
            ConfigError: the address is taken or not this machine's.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # The protocol is named because asyncio switches Nagle's delay (40 ms an answer) off only where it is.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            listener.listen(1024)
        except OSError as error:
            listener.close()
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"{self.room} cannot listen on {self.host}:{self.port} ({reason}): stop what uses it, or set "
                f"{self.room}.{self.port_setting}"
            ) from None
        return listener


def check_client_authority(room: str, file: Path | None, *, has_tls: bool) -> None:
    """Refuse a ``tls_client_ca`` that cannot be used; before anything is started.

    Raises:
        ConfigError: the file holds no certificates, or there is no TLS to ask for any.
    """
    if file is None:
        return
    if not has_tls:
        raise ConfigError(f"{room}.tls_client_ca needs TLS: set {room}.tls_cert and {room}.tls_key as well")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{room}.tls_client_ca {file} cannot be used ({error})") from None


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_certified(scope: Scope) -> bool:
    """Tell whether a request came with a client certificate; the TLS library has verified it."""
    return bool(scope.get(CERTIFICATE))


def names_service(scope: Scope) -> bool:
    """Tell whether a request's client certificate is of a service of a mesh."""
    names = (scope.get(CERTIFICATE) or {}).get("subjectAltName", ())
    return any(kind == "URI" and value.startswith("spiffe://") for kind, value in names)


def host_name(host: str) -> str:
    """Return the name in a Host header, lower case and without its port."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


class Access:
    """Pure ASGI middleware around a whole server: Host, Origin and token are checked before any route."""

    def __init__(self, app: App, door: Door) -> None:
        self._app = app
        names = LOOPBACK_NAMES | {door.host.lower()} | {name.lower() for name in door.allowed_hosts}
        # Off loopback the token guards, and the names a server goes by are not known here.
        self._hosts = names if is_loopback(door.host) else None
        self._credentials = f"Bearer {door.token}".encode() if door.token else b""
        self._limited = f"Bearer {door.limited_token}".encode() if door.limited_token else b""
        self._limited_paths = door.limited_paths
        self._open = PROBES | frozenset(door.open_paths)
        self._guarded = bool(door.token or door.limited_token or door.tls_client_ca)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer that it is refused."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, path, text = refusal
        body = f'{{"error":{{"path":"{path}","problem":"{text}"}}}}'.encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and host_name(host) not in self._hosts:
            return 400, "host", "the Host header does not name this server; see the setting allowed_hosts"
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != host.lower():
            return 403, "origin", "requests of other sites are refused"
        if not self._guarded or scope["path"] in self._open:
            return None
        given = headers.get(b"authorization", b"")
        if self._credentials and hmac.compare_digest(given, self._credentials):
            return None
        limited = bool(self._limited) and hmac.compare_digest(given, self._limited)
        if not limited and (given or not is_certified(scope)):
            return 401, "authorization", "a bearer token is required" if not given else "the bearer token is wrong"
        if limited or (self._limited_paths and names_service(scope)):
            below = any(scope["path"] == path or scope["path"].startswith(f"{path}/") for path in self._limited_paths)
            return None if below else (403, "authorization", "this is not for proxies")
        return None


def serve(app: App, door: Door, listener: socket.socket, *, on_stop: Callable[[], None] | None = None) -> None:
    """Serve ``app`` on ``listener`` until SIGTERM or SIGINT, then drain for ``door.drain_s`` seconds and return.

    ``on_stop`` is called when the signal arrives, for what would keep the drain from ending, such as open streams.
    """
    import uvicorn

    from meshwise.store.client_certificates import CertificateProtocol

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http=CertificateProtocol,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(door.drain_s)),
        ssl_certfile=door.tls_cert,
        ssl_keyfile=door.tls_key,
    )
    config.load()
    if config.ssl is not None and (door.tls_client_ca is not None or door.client_authority):
        # Probes come without a certificate; what needs one is for ``Access`` to say.
        config.ssl.verify_mode = ssl.CERT_OPTIONAL
        config.ssl.load_verify_locations(door.tls_client_ca, cadata=door.client_authority or None)
    with contextlib.suppress(KeyboardInterrupt), listener:
        asyncio.run(_serve(config, door, listener, on_stop))
    log.info("stopped", room=door.room)


async def _serve(
    config: uvicorn.Config, door: Door, listener: socket.socket, on_stop: Callable[[], None] | None
) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """Leaves signals to us: uvicorn would raise them again once it stopped."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    server = Server(config)

    def stop() -> None:
        log.info("stopping", room=door.room)
        server.should_exit = True
        if on_stop is not None:
            on_stop()

    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
    host, port = listener.getsockname()[:2]
    log.info("listening", room=door.room, host=host, port=port, tls=door.tls_cert is not None)
    await server.serve(sockets=[listener])
