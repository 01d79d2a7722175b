"""Heads and trailers of HTTP/2: one strict reading or a refusal, as ``http1.heads`` has it for HTTP/1.1.

What is not forwarded: fields that belong to a connection (a mistake here, so refused), ``host`` (it is ``:authority``),
``traceparent`` and ``tracestate`` (set anew), ``grpc-timeout`` (set anew) and everything under ``x-meshwise-``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Final

from meshwise.proxy.errors import BadAnswer, BadRequest, ExpectationUnknown, ExtendedConnect, NotSupported
from meshwise.proxy.http1.bodies import NOT_IN_TRAILERS
from meshwise.proxy.http1.heads import RequestHead, ResponseHead, cookie_of
from meshwise.proxy.http2 import grpc
from meshwise.proxy.http2.codes import PROTOCOL_ERROR, StreamFault
from meshwise.proxy.http2.tables import Field

UNTIL_END: Final = -2
"""``length`` of a body that its last frame ends."""

# Names and values of a whole list, each followed by a NUL, which neither may hold.
_FIELDS = re.compile(rb"(?::?[!#$%&'*+\-.^_`|~0-9a-z]+\0(?![ \t])[\t\x20-\x7e\x80-\xff]*+(?<![ \t])\0)*+")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_PATH = re.compile(rb"/[\x21-\x22\x24-\x5b\x5d-\x7e]*+")
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_STATUS = re.compile(rb"[1-5][0-9]{2}")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_MILLISECONDS = re.compile(rb"[0-9]{1,8}")

_CONNECTION: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"http2-settings")
)
_OURS: Final = frozenset((b"x-meshwise", b"x_meshwise"))
"""Gateways such as CGI and WSGI take a dash and an underscore for the same."""
_REQUEST_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority", b":protocol"))


class StreamHead(RequestHead):
    """A request's head. ``fields`` is what every attempt sends alike, pseudo-fields first."""

    __slots__ = ("declared", "fields", "grpc")

    def __init__(self, method: bytes, target: bytes) -> None:
        super().__init__(method, target, 1)
        self.length = UNTIL_END
        self.fields: tuple[Field, ...] = ()
        self.declared: int | None = None
        """``content-length``, to be kept by the body."""
        self.grpc = False

    def has(self, name: bytes) -> bool:
        """Tell whether a passed-on field is called ``name`` (lower case)."""
        return any(field[0] == name for field in self.fields)

    def field(self, name: bytes) -> bytes:
        """Return the value of the first passed-on field called ``name`` (lower case); empty without one."""
        return next((value for key, value in self.fields if key == name), b"")

    def edit(self, gone: frozenset[bytes], fields: tuple[Field, ...]) -> None:
        """Take out the fields called one of ``gone`` (lower case) and add ``fields``."""
        self.fields = (*(field for field in self.fields if field[0] not in gone), *fields)

    def retarget(self, target: bytes, authority: bytes) -> None:
        """Send the request on under another target and authority."""
        super().retarget(target, authority)
        own = {b":path": target, b":authority": authority}
        self.fields = tuple((name, own.get(name, value)) for name, value in self.fields)

    def cookie(self, name: bytes) -> bytes:
        """Return the value of the cookie called ``name``, in whichever of several fields; empty without one."""
        return cookie_of(b"; ".join(value for key, value in self.fields if key == b"cookie"), name)

    def passed_on(self) -> list[tuple[bytes, bytes]]:
        """Return the passed-on fields, names in lower case."""
        return [field for field in self.fields if not field[0].startswith(b":")]


class StreamAnswer(ResponseHead):
    """An answer's head. ``fields`` is what is passed on, ``:status`` first."""

    __slots__ = ("declared", "fields", "grpc_status")

    def __init__(self, status: int) -> None:
        super().__init__(status, b"", keep_alive=True)
        self.fields: tuple[Field, ...] = ()
        self.declared: int | None = None
        self.grpc_status: int | None = None
        """The status of a gRPC call, when the head carries it; that is an answer without body."""

    def edit(self, gone: frozenset[bytes], fields: tuple[Field, ...]) -> None:
        """Take out the fields called one of ``gone`` (lower case) and add ``fields``."""
        self.fields = (*(field for field in self.fields if field[0] not in gone), *fields)

    def field(self, name: bytes) -> bytes:
        """Return the value of the first passed-on field called ``name`` (lower case); empty without one."""
        return next((value for key, value in self.fields if key == name), b"")


def read_request(fields: Sequence[Field]) -> StreamHead:
    """Return the head that ``fields`` are.

    Raises:
        StreamFault: they are malformed; the stream is to be reset (RFC 9113 §8.1.1).
        ProxyError: they are well-formed, but refused.
    """
    _check(fields)
    pseudo, count = _pseudo(fields, _REQUEST_PSEUDO)
    method, path, scheme = pseudo.get(b":method", b""), pseudo.get(b":path", b""), pseudo.get(b":scheme", b"")
    if method == b"CONNECT":
        if b":protocol" in pseudo:
            raise ExtendedConnect("WebSockets over HTTP/2 are not supported; open them over HTTP/1.1")
        raise NotSupported("tunnels over HTTP/2 are not supported; open them over HTTP/1.1")
    if b":protocol" in pseudo:
        raise StreamFault(PROTOCOL_ERROR, "only CONNECT has a protocol")
    if not _METHOD.fullmatch(method) or scheme not in (b"http", b"https"):
        raise StreamFault(PROTOCOL_ERROR, "method or scheme are missing or malformed")
    if not _PATH.fullmatch(path) and not (path == b"*" and method == b"OPTIONS"):
        raise StreamFault(PROTOCOL_ERROR, "the path is missing or malformed")
    head = StreamHead(method, path)
    authority = pseudo.get(b":authority")
    kept: list[Field] = []
    content_type = timeout = b""
    for field in fields[count:]:
        name, value = field
        if name in _CONNECTION or (name == b"te" and value != b"trailers"):
            raise StreamFault(PROTOCOL_ERROR, f"{name.decode()} is not allowed in HTTP/2")
        if name == b"traceparent":
            head.traceparent = value if head.traceparent is None else b""
        elif name == b"tracestate":
            head.tracestate = value if head.tracestate is None else head.tracestate + b"," + value
        elif name[:10] in _OURS and name[10:11] in (b"-", b"_"):
            _read_ours(head, name, value)
        elif name == b"host":
            if authority is not None and authority.lower() != value.lower():
                raise StreamFault(PROTOCOL_ERROR, "host and :authority differ, or there are several")
            authority = value
        elif name == b"grpc-timeout":
            timeout = value if not timeout else b"twice"
        elif name == b"content-length":
            if head.declared is not None or not _LENGTH.fullmatch(value):
                raise StreamFault(PROTOCOL_ERROR, "content-length must be one decimal number")
            head.declared = int(value)
            kept.append(field)
        else:
            if name == b"content-type":
                content_type = value
            elif name == b"expect" and value.lower() != b"100-continue":
                raise ExpectationUnknown("the only expectation is 100-continue")
            kept.append(field)
    head.authority = _authority(authority)
    if b"%00" in path:
        raise BadRequest("the target contains a NUL")
    if grpc.is_grpc(content_type):
        head.grpc = True
        if timeout:
            _shorten(head, timeout)
    head.fields = (
        (b":method", method),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", head.authority),
        *kept,
    )
    return head


def read_answer(fields: Sequence[Field]) -> StreamAnswer:
    """Return the answer's head that ``fields`` are.

    Raises:
        BadAnswer: they have no single reading.
    """
    try:
        _check(fields)
        pseudo, count = _pseudo(fields, frozenset((b":status",)))
    except StreamFault as fault:
        raise BadAnswer(f"upstream: {fault}") from None
    status = pseudo.get(b":status", b"")
    if not _STATUS.fullmatch(status) or status == b"101":
        raise BadAnswer("the upstream's status is missing or malformed")
    answer = StreamAnswer(int(status))
    kept: list[Field] = [(b":status", status)]
    for field in fields[count:]:
        name, value = field
        if name in _CONNECTION:
            raise BadAnswer(f"the upstream sent {name.decode()}, which is not allowed in HTTP/2")
        if name.startswith(b"x-meshwise-"):
            if name == b"x-meshwise-error":
                answer.error = value
            continue
        if name == b"content-length":
            if answer.declared is not None or not _LENGTH.fullmatch(value):
                raise BadAnswer("the upstream's content-length is not one decimal number")
            answer.declared = int(value)
        kept.append(field)
    answer.fields = tuple(kept)
    answer.grpc_status = grpc.status_of(answer.fields)
    return answer


def read_trailers(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Return the trailers to pass on.

    Raises:
        StreamFault: they are malformed.
    """
    _check(fields)
    for name, _ in fields:
        if name[0] == 0x3A or name in _CONNECTION:
            raise StreamFault(PROTOCOL_ERROR, f"{name.decode()} among the trailers")
    return tuple(
        field for field in fields if field[0] not in NOT_IN_TRAILERS and not field[0].startswith(b"x-meshwise-")
    )


def _check(fields: Sequence[Field]) -> None:
    if not fields:
        return
    flat = b"\0".join(chain.from_iterable(fields)) + b"\0"
    if flat.count(b"\0") != 2 * len(fields) or not _FIELDS.fullmatch(flat):
        raise StreamFault(PROTOCOL_ERROR, "a field is malformed")


def _pseudo(fields: Sequence[Field], allowed: frozenset[bytes]) -> tuple[dict[bytes, bytes], int]:
    """Return the pseudo-fields and how many there are; they come first, once each."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[0] != 0x3A:  # ":"
            continue
        if name not in allowed or name in found:
            raise StreamFault(PROTOCOL_ERROR, "a pseudo-field is unknown, or there twice")
        found[name] = value
    if any(name[0] == 0x3A for name, _ in fields[len(found) :]):
        raise StreamFault(PROTOCOL_ERROR, "a pseudo-field after an ordinary one")
    return found, len(found)


def _authority(value: bytes | None) -> bytes:
    authority = (value or b"").lower()
    if len(authority) > 255 or not _AUTHORITY.fullmatch(authority):
        raise BadRequest("the authority is missing or malformed")
    if b":" in authority and authority[-1] != 0x5D and int(authority.rpartition(b":")[2]) > 65_535:
        raise BadRequest("the authority has a port above 65535")
    return authority


def _read_ours(head: StreamHead, name: bytes, value: bytes) -> None:
    if name == b"x-meshwise-source":
        head.source = value
    elif name == b"x-meshwise-deadline":
        head.deadline = value
    elif name == b"x-meshwise-attempt":
        head.attempt = value


def _shorten(head: StreamHead, timeout: bytes) -> None:
    """Let ``grpc-timeout`` shorten the deadline the caller gave."""
    limit = grpc.timeout_ms(timeout)
    if limit is None:
        raise BadRequest("grpc-timeout is malformed")
    if not _MILLISECONDS.fullmatch(head.deadline) or limit < int(head.deadline):
        head.deadline = b"%d" % limit
