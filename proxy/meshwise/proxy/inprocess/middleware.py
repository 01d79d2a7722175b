"""The inbound side as an ASGI middleware: what an inbound proxy does for an application, inside its server.

The stack, as in ``dispatch``: access, source, trace, deadline, breaker, limit. Then the application is called, not
connected to. WebSockets have to pass the access rules, and are not recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from meshwise.contracts import telemetry
from meshwise.proxy import forwarded
from meshwise.proxy.answers import own_fields, own_text
from meshwise.proxy.arrivals import parent_of, seconds_left, source_of
from meshwise.proxy.errors import Forbidden, KeysPending, ProxyError, RequestTimeout
from meshwise.proxy.inprocess.current import SERVING, Serving
from meshwise.proxy.telemetry.records import RequestRecord
from meshwise.proxy.trace_context import TraceSource, format_traceparent

if TYPE_CHECKING:
    from meshwise.proxy.inprocess.mesh import Mesh

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

_DEADLINE: Final = telemetry.HEADER_DEADLINE.encode()
_SOURCE: Final = telemetry.HEADER_SOURCE.encode()
_OURS: Final = b"x-meshwise-"
_POLICY_VIOLATION: Final = 1008
"""source: RFC 6455 §7.4.1."""


class MeshMiddleware:
    """``application`` behind the inbound side of ``mesh``, which starts and stops with the server."""

    def __init__(self, application: AsgiApplication, mesh: Mesh) -> None:
        self._application = application
        self._mesh = mesh
        settings = mesh.settings
        self._service = settings.service
        self._timeout_s = settings.inbound_timeout_s
        self._traces = TraceSource(settings.trace_ratio)
        self._hops = settings.trusted_hops
        self._guarded = settings.access_file is not None
        self._looked = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        kind = scope["type"]
        if kind == "http":
            await self._serve(scope, receive, send)
        elif kind == "lifespan":
            await self._live(scope, receive, send)
        elif kind == "websocket" and not await self._let_in(scope):
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})  # before it is accepted: 403
        else:
            await self._application(scope, receive, send)

    async def _let_in(self, scope: Scope, answer: _Answer | None = None) -> bool:
        """Tell whether path and access rules let a request in; ``answer`` says so if not."""
        try:
            self._mesh.admission.refuse_path(_path_of(scope))
            if self._guarded:
                await self._check_access(scope)
        except ProxyError as refusal:
            self._mesh.admission.count(refusal)
            if answer is not None:
                await answer.refuse(refusal)
            return False
        return True

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        admission = self._mesh.admission
        answer = _Answer(receive, send)
        if not await self._let_in(scope, answer):
            return
        arrival = _Arrival(scope, self._traces, self._timeout_s, self._hops)
        recorder = self._mesh.recorder
        recorder.active(telemetry.SIDE_SERVER, self._service, 1)
        token = SERVING.set(Serving(arrival.trace, arrival.deadline))
        try:
            try:
                limiter = admission.enter(
                    arrival.source, scope["method"], arrival.target, scope["headers"], arrival.started
                )
            except ProxyError as refusal:
                admission.count(refusal)
                await answer.refuse(refusal)
                return
            try:
                await self._call(arrival, answer)
            finally:
                admission.leave(limiter, arrival.started, monotonic())
        except asyncio.CancelledError:
            answer.outcome = telemetry.OUTCOME_CANCELLED
            raise
        except Exception:
            answer.fail()
            raise
        finally:
            SERVING.reset(token)
            recorder.active(telemetry.SIDE_SERVER, self._service, -1)
            recorder.request(arrival.record(self._service, answer.status, answer.outcome))

    async def _call(self, arrival: _Arrival, answer: _Answer) -> None:
        """Call the application, until the caller's deadline at most."""
        try:
            async with asyncio.timeout(arrival.deadline - monotonic()) as limit:
                await self._application(arrival.scope(), answer.receive, answer.send)
        except TimeoutError as error:
            if not limit.expired():
                raise  # the application's own
            late = RequestTimeout(f"no answer within {1000 * (arrival.deadline - arrival.started):.0f} ms")
            self._mesh.admission.count(late)
            answer.late = True
            answer.outcome = late.outcome
            if answer.status:
                raise late from error  # the server cuts the connection: what was sent must not look complete
            await answer.refuse(late)

    async def _check_access(self, scope: Scope) -> None:
        """Let a request in by the access rules; callers prove no identity here, only what a token says.

        Raises:
            ProxyError: it is not let in.
        """
        guard = self._mesh.access
        if guard is None:
            raise Forbidden("who may call this service is not known yet: the mesh does not run")
        if monotonic() - self._looked >= 1.0:
            self._looked = monotonic()
            guard.look()
        authorization = [value for name, value in scope["headers"] if name == b"authorization"]
        fetched = asyncio.Event()
        method = scope.get("method", "GET")  # a WebSocket begins as one
        refusal = guard.check(method, _path_of(scope), "", authorization, fetched.set)
        if isinstance(refusal, KeysPending):
            await fetched.wait()
            refusal = guard.check(method, _path_of(scope), "", authorization, None)
        if refusal is not None:
            raise refusal

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the mesh before the application, stop it after; stand in for an application without a lifespan."""
        first: list[Message] = [await receive()]
        said = False

        async def receive_again() -> Message:
            return first.pop() if first else await receive()

        async def send_after(message: Message) -> None:
            nonlocal said
            said = True
            if message["type"] != "lifespan.startup.complete":
                await self._mesh.stop()
            await send(message)

        await self._mesh.start()
        try:
            await self._application(scope, receive_again, send_after)
        except Exception:
            if said:
                await self._mesh.stop()
                raise
        if not said:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._mesh.stop()
            await send({"type": "lifespan.shutdown.complete"})


class _Arrival:
    """One request as it arrived."""

    __slots__ = ("_client", "_scope", "deadline", "source", "start_ns", "started", "target", "trace")

    def __init__(self, scope: Scope, traces: TraceSource, timeout_s: float, hops: int | None) -> None:
        client = scope.get("client")
        self._client = str(client[0]) if client else ""
        if hops is not None:
            headers = scope["headers"]
            host = next((value for name, value in headers if name == b"host"), b"")
            passed = [field for field in headers if field[0] in forwarded.NAMES]
            anew = forwarded.rewrite(
                passed, hops=hops, peer=self._client, secure=scope.get("scheme") == "https", authority=host
            )
            gone = forwarded.names_in(headers)
            kept = [field for field in headers if field[0] not in gone]
            scope = {**scope, "headers": [*kept, *anew.fields]}
            self._client = anew.client
        self._scope = scope
        query = scope.get("query_string") or b""
        path = _path_of(scope)
        self.target = f"{path}?{query.decode('latin-1')}" if query else path
        self.start_ns = time.time_ns()
        self.started = monotonic()
        said: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _READ:
                said[name] = b"" if name in said and name == b"traceparent" else value
        self.source = source_of(said.get(_SOURCE, b"").lower())
        self.trace = traces.child(parent_of(said.get(b"traceparent"), said.get(b"tracestate"), traces))
        left = seconds_left(said.get(_DEADLINE, b""))
        self.deadline = self.started + (timeout_s if left is None else max(0.001, left))

    def scope(self) -> Scope:
        """Return the scope for the application: its parent is the SERVER span, its deadline what is left."""
        fields = [field for field in self._scope["headers"] if field[0] not in _SET]
        fields.append((b"traceparent", format_traceparent(self.trace)))
        if self.trace.tracestate:
            fields.append((b"tracestate", self.trace.tracestate.encode()))
        fields.append((_DEADLINE, b"%d" % max(1, int((self.deadline - monotonic()) * 1000 + 0.999))))
        return {**self._scope, "headers": fields}

    def record(self, service: str, status: int, outcome: str) -> RequestRecord:
        """Return the record of the finished request: one SERVER span."""
        return RequestRecord(
            telemetry.SIDE_SERVER,
            self.trace,
            self.start_ns,
            self.start_ns + int((monotonic() - self.started) * 1e9),
            self.source,
            service,
            "",
            self._scope["method"],
            self.target,
            status,
            outcome,
            1 if outcome != telemetry.OUTCOME_REJECTED else 0,
            0,
            self._client,
            self.trace.trace_id,
        )


class _Answer:
    """What the application says and hears, watched."""

    __slots__ = ("_receive", "_send", "done", "late", "outcome", "status")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.status = 0
        self.done = False
        self.late = False
        """The deadline has cut the application off."""
        self.outcome = telemetry.OUTCOME_RESET

    async def receive(self) -> Message:
        """Hear from the server; a caller that leaves before the answer is complete has cancelled it."""
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.done:
            self.outcome = telemetry.OUTCOME_CANCELLED
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on, without reasons that only a proxy may give."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            fields = message.get("headers", ())
            if any(field[0].lower().startswith(_OURS) for field in fields):
                message = {**message, "headers": [f for f in fields if not f[0].lower().startswith(_OURS)]}
        elif kind == "http.response.body" and not message.get("more_body", False):
            self.done = True
            if self.outcome != telemetry.OUTCOME_CANCELLED:
                self.outcome = telemetry.OUTCOME_ERROR if self.status >= 500 else telemetry.OUTCOME_OK
        await self._send(message)

    async def refuse(self, error: ProxyError) -> None:
        """Answer in the application's place."""
        self.status = error.status
        self.outcome = error.outcome
        self.done = True
        body = own_text(error)
        fields = [*own_fields(error), (b"content-length", b"%d" % len(body))]
        await self._send({"type": "http.response.start", "status": error.status, "headers": fields})
        await self._send({"type": "http.response.body", "body": body})

    def fail(self) -> None:
        """The application raised: the server answers 500, or cuts off what was begun."""
        if self.done or self.late:
            return
        if self.status:
            self.outcome = telemetry.OUTCOME_RESET
        else:
            self.status, self.outcome = 500, telemetry.OUTCOME_ERROR


def _path_of(scope: Scope) -> str:
    """Return the path as it came, percent signs and all."""
    return str((scope.get("raw_path") or scope["path"].encode()).decode("latin-1"))


_READ: Final = frozenset((_SOURCE, _DEADLINE, b"traceparent", b"tracestate"))
_SET: Final = frozenset((_DEADLINE, b"traceparent", b"tracestate"))
