"""Heads of requests and answers: one strict reading or a refusal.

A head is matched as a whole against the grammar of RFC 9112 without its tolerances (no folding, no bare LF, no blank
before the colon). Then only the fields the proxy acts on are looked at; the others stay raw lines in ``kept``.

What is never forwarded: hop-by-hop fields, fields named by ``Connection``, framing fields (set anew), ``traceparent``
and ``tracestate`` (set anew), and everything under ``x-meshwise-``, with underscores too: gateways such as CGI and WSGI
take either for the same.
"""

from __future__ import annotations

import re
from typing import Final

from meshwise.proxy.errors import (
    BadAnswer,
    BadRequest,
    ExpectationUnknown,
    HeadTooLarge,
    NotSupported,
    ProxyError,
    TargetTooLong,
    VersionNotSupported,
)
from meshwise.proxy.http1.limits import Limits

CHUNKED: Final = -1
"""``length`` of a body in chunks."""
UNTIL_CLOSE: Final = -2
"""``length`` of an answer that ends with its connection."""

# Possessive quantifiers: a failing match gives up at once instead of backtracking.
_REQUEST_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}+) ([\x21-\x22\x24-\x5b\x5d-\x7e]++) HTTP/1\.([01])\r\n"
)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})( [\t\x20-\x7e\x80-\xff]*+)?\r\n")
_FIELDS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+")
_ANY_VERSION = re.compile(rb"[^ \r\n]+ [^ \r\n]+ HTTP/[0-9]+(?:\.[0-9]+)?\r\n")

# A field the proxy acts on, in a lower-cased block that starts with the CRLF before its first line.
_REQUEST_FIELD = re.compile(
    rb"\r\n(host|content-length|transfer-encoding|connection|traceparent|tracestate|x[-_]meshwise[-_][^:]*+|keep-alive"
    rb"|expect|upgrade|te|trailer|proxy-connection|proxy-authorization|http2-settings):[ \t]*+([^\r]*+)"
)
_RESPONSE_FIELD = re.compile(
    rb"\r\n(content-length|transfer-encoding|connection|x-meshwise-[^:]*+|keep-alive|upgrade|te|trailer"
    rb"|proxy-connection):[ \t]*+([^\r]*+)"
)
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_ABSOLUTE = re.compile(rb"[hH][tT][tT][pP]://([^/?]++)([/?]?.*)", re.DOTALL)
_TOKENS = re.compile(rb"[ \t]*,[ \t]*")

# Named in Connection, these stay all the same: nobody may cut away what frames, routes or authorises a message.
_NOT_REMOVABLE: Final = frozenset(
    (b"close", b"keep-alive", b"upgrade", b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie")
)


class RequestHead:
    """One request head. ``length`` is the body's size or ``CHUNKED``; ``kept`` holds the raw lines to pass on."""

    __slots__ = (
        "absolute",
        "attempt",
        "authority",
        "deadline",
        "expects",
        "keep_alive",
        "kept",
        "length",
        "method",
        "minor",
        "raw",
        "source",
        "target",
        "traceparent",
        "tracestate",
        "upgrade",
    )

    def __init__(self, method: bytes, target: bytes, minor: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.absolute = False
        self.authority = b""
        self.length = 0
        self.keep_alive = minor == 1
        self.kept = b""
        self.expects = False
        self.traceparent: bytes | None = None
        """The one ``traceparent`` value; empty when there were several."""
        self.tracestate: bytes | None = None
        self.source = b""
        self.deadline = b""
        self.attempt = b""
        self.raw = False
        """There is no such head on the wire: its connection is to be joined to an endpoint's as it is."""
        self.upgrade = b""
        """The protocol the caller wants to switch to, in lower case; it is one of those that are allowed."""

    @property
    def opens_tunnel(self) -> bool:
        """What follows the answer may be no HTTP."""
        return bool(self.upgrade) or self.method == b"CONNECT"

    def has(self, name: bytes) -> bool:
        """Tell whether a passed-on field is called ``name`` (lower case)."""
        return b"\r\n" + name + b":" in b"\r\n" + self.kept.lower()

    def field(self, name: bytes) -> bytes:
        """Return the value of the first passed-on field called ``name`` (lower case); empty without one."""
        return _field(self.kept, name)

    def edit(self, gone: frozenset[bytes], fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Take out the fields called one of ``gone`` (lower case) and add ``fields``."""
        self.kept = edited(self.kept, gone, fields)

    def retarget(self, target: bytes, authority: bytes) -> None:
        """Send the request on under another target and Host."""
        self.target = target
        self.authority = authority

    def cookie(self, name: bytes) -> bytes:
        """Return the value of the cookie called ``name``; empty without one."""
        return cookie_of(self.field(b"cookie"), name)

    def passed_on(self) -> list[tuple[bytes, bytes]]:
        """Return the passed-on fields, names in lower case."""
        pairs = [line.partition(b":") for line in self.kept.split(b"\r\n")]
        return [(name.lower(), value.strip(b" \t")) for name, colon, value in pairs if colon]

    def __repr__(self) -> str:
        return f"<RequestHead {self.method!r} {self.target!r} for {self.authority!r} length={self.length}>"


class ResponseHead:
    """One answer's head. ``length`` is the body's size, ``CHUNKED`` or ``UNTIL_CLOSE``."""

    __slots__ = ("error", "keep_alive", "kept", "length", "line", "status", "upgrade")

    def __init__(self, status: int, line: bytes, *, keep_alive: bool) -> None:
        self.status = status
        self.line = line
        """Status line to send on, always HTTP/1.1, with its CRLF."""
        self.keep_alive = keep_alive
        self.kept = b""
        self.length = UNTIL_CLOSE
        self.error = b""
        """The other proxy's ``x-meshwise-error``, when it made the answer itself."""
        self.upgrade = b""
        """The protocol it switches to, in lower case."""

    def field(self, name: bytes) -> bytes:
        """Return the value of the first passed-on field called ``name`` (lower case); empty without one."""
        return _field(self.kept, name)

    def edit(self, gone: frozenset[bytes], fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Take out the fields called one of ``gone`` (lower case) and add ``fields``."""
        self.kept = edited(self.kept, gone, fields)

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} length={self.length}>"


def parse_request_head(data: bytes, end: int, limits: Limits, start: int = 0) -> RequestHead:
    """Return the head in ``data[start:end]``, where ``end`` follows the empty line.

    Raises:
        ProxyError: the head is refused; the error says how to answer.
    """
    line = _REQUEST_LINE.match(data, start, end)
    if line is None:
        raise _bad_request_line(data[start:end], limits)
    fields_at = line.end()
    if fields_at - start > limits.request_line + 2:
        raise TargetTooLong(f"the request line is longer than {limits.request_line} bytes")
    block = data[fields_at - 2 : end - 2]
    _check_fields(data, fields_at, end - 2, block, limits)
    method, target, minor = line.groups()
    head = RequestHead(method, target, minor == b"1")
    # Pieces of ``block`` between the fields that are taken out; ``at`` follows the last one taken.
    pieces: list[bytes] = []
    at = 2
    hosts = 0
    length: bytes | None = None
    chunked = False
    connection = upgrade = b""
    for found in _REQUEST_FIELD.finditer(block.lower()):
        first = found.start() + 2
        if first > at:
            pieces.append(block[at:first])
        at = found.end() + 2
        name = found[1]
        if name == b"host":
            hosts += 1
            head.authority = found[2].rstrip(b" \t")
        elif name == b"traceparent":
            head.traceparent = found[2].rstrip(b" \t") if head.traceparent is None else b""
            # Lower-cased matching must not make an upper-case id valid.
            if head.traceparent and head.traceparent != block[found.start(2) : found.end(2)].rstrip(b" \t"):
                head.traceparent = b""
        elif name == b"content-length":
            value = found[2].rstrip(b" \t")
            if length is not None or not _LENGTH.fullmatch(value):
                raise BadRequest("content-length must be one decimal number")
            length = value
        elif name == b"transfer-encoding":
            value = found[2].rstrip(b" \t")
            if chunked or value != b"chunked":
                if value.endswith(b", chunked") and not chunked and b"chunked" not in value[:-9]:
                    raise NotSupported("the only transfer coding is chunked")
                raise BadRequest("transfer-encoding must be chunked")
            chunked = True
        elif name == b"connection":
            connection = connection + b"," + found[2] if connection else found[2]
        elif name == b"tracestate":
            raw = block[found.start(2) : found.end(2)].rstrip(b" \t")
            head.tracestate = raw if head.tracestate is None else head.tracestate + b"," + raw
        elif name == b"expect":
            if found[2].rstrip(b" \t") != b"100-continue":
                raise ExpectationUnknown("the only expectation is 100-continue")
            head.expects = minor == b"1"
        elif name == b"upgrade":
            upgrade = found[2].rstrip(b" \t")
        elif name == b"x-meshwise-source":
            head.source = found[2].rstrip(b" \t")
        elif name == b"x-meshwise-deadline":
            head.deadline = found[2].rstrip(b" \t")
        elif name == b"x-meshwise-attempt":
            head.attempt = found[2].rstrip(b" \t")
    if at < len(block):
        pieces.append(block[at:])
    head.kept = pieces[0] if len(pieces) == 1 else b"".join(pieces)

    if hosts != 1:
        raise BadRequest("host must be given exactly once" if hosts else "host is missing")
    if chunked:
        if length is not None:
            raise BadRequest("content-length and transfer-encoding exclude each other")
        if not head.minor:
            raise BadRequest("HTTP/1.0 has no transfer-encoding")
        head.length = CHUNKED
    elif length is not None:
        head.length = int(length)
    if connection and connection != b"keep-alive":
        _apply_connection(head, connection, upgrade, limits)
    _read_target(head)
    return head


def parse_response_head(data: bytes, end: int, limits: Limits, *, to_head: bool, start: int = 0) -> ResponseHead:
    """Return the answer's head in ``data[start:end]``; ``to_head`` says that it answers a HEAD request.

    Raises:
        BadAnswer: the head has no single reading.
    """
    line = _STATUS_LINE.match(data, start, end)
    if line is None:
        raise BadAnswer("the upstream's status line is malformed")
    fields_at = line.end()
    block = data[fields_at - 2 : end - 2]
    try:
        _check_fields(data, fields_at, end - 2, block, limits)
    except ProxyError as error:
        raise BadAnswer(f"upstream: {error}") from None
    status = int(line[2])
    minor, reason = line[1], line[3]
    head = ResponseHead(
        status,
        line[0] if minor == b"1" and reason else b"HTTP/1.1 %d%s\r\n" % (status, reason or b" "),
        keep_alive=minor == b"1",
    )
    bodiless = to_head or status in (204, 304) or status < 200
    pieces: list[bytes] = []
    at = 2
    length: bytes | None = None
    chunked = False
    named: list[bytes] = []
    for found in _RESPONSE_FIELD.finditer(block.lower()):
        first = found.start() + 2
        if first > at:
            pieces.append(block[at:first])
        at = found.end() + 2
        name = found[1]
        if name == b"content-length":
            value = found[2].rstrip(b" \t")
            if length is not None or not _LENGTH.fullmatch(value):
                raise BadAnswer("the upstream's content-length is not one decimal number")
            length = value
        elif name == b"transfer-encoding":
            if chunked or found[2].rstrip(b" \t") != b"chunked" or minor == b"0":
                raise BadAnswer("the upstream's transfer-encoding is not chunked")
            chunked = True
        elif name == b"connection":
            value = found[2].strip(b" \t")
            # What nearly every answer says, without the detour.
            for token in (value,) if value == b"keep-alive" else _TOKENS.split(value):
                if token == b"close":
                    head.keep_alive = False
                elif token == b"keep-alive":
                    head.keep_alive = True
                elif token and token not in _NOT_REMOVABLE:
                    named.append(token)
        elif name == b"upgrade":
            head.upgrade = found[2].rstrip(b" \t")
        elif name == b"x-meshwise-error":
            head.error = found[2].rstrip(b" \t")
    if at < len(block):
        pieces.append(block[at:])
    head.kept = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    for token in named:
        head.kept = _without(head.kept, token)
    if chunked and length is not None:
        raise BadAnswer("the upstream sent both content-length and transfer-encoding")
    if bodiless:
        head.length = 0
        if length is not None and status != 204 and status >= 200:
            head.kept += b"content-length: %s\r\n" % length
    elif chunked:
        head.length = CHUNKED
    elif length is not None:
        head.length = int(length)
    else:
        head.keep_alive = False
    return head


def _check_fields(data: bytes, at: int, end: int, block: bytes, limits: Limits) -> None:
    if len(block) > limits.head:
        raise HeadTooLarge(f"the header lines are larger than {limits.head} bytes")
    if block.count(b"\r\n") - 1 > limits.fields:
        raise HeadTooLarge(f"more than {limits.fields} header lines")
    if len(block) > limits.field and max(map(len, block.split(b"\r\n"))) > limits.field:
        raise HeadTooLarge(f"a header line is longer than {limits.field} bytes")
    if _FIELDS.fullmatch(data, at, end) is None:
        raise BadRequest("a header line is malformed")


def _bad_request_line(head: bytes, limits: Limits) -> ProxyError:
    line = head.partition(b"\r\n")[0]
    if len(line) > limits.request_line:
        return TargetTooLong(f"the request line is longer than {limits.request_line} bytes")
    if _ANY_VERSION.match(head) and not line.endswith((b" HTTP/1.1", b" HTTP/1.0")):
        return VersionNotSupported("only HTTP/1.1 and HTTP/1.0 are spoken here")
    return BadRequest("the request line is malformed")


def _apply_connection(head: RequestHead, connection: bytes, upgrade: bytes, limits: Limits) -> None:
    """Obey ``Connection``: keep or close, and take out the fields it names."""
    for token in _TOKENS.split(connection.strip(b" \t")):
        if token == b"close":
            head.keep_alive = False
        elif token == b"upgrade":
            # An offer of h2c may be passed over (RFC 9110 §7.8); any other protocol would change what follows.
            if not upgrade or upgrade == b"h2c" or not head.minor:
                continue
            if upgrade.decode("latin-1") not in limits.upgrades or head.length or head.expects:
                raise NotSupported("the only upgrades are those proxy.upgrades names, of a request without a body")
            head.upgrade = upgrade
        elif token and token not in _NOT_REMOVABLE:
            head.kept = _without(head.kept, token)


def edited(kept: bytes, gone: frozenset[bytes], fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Return field lines without those called one of ``gone`` (lower case), and with ``fields`` behind them."""
    lines = [line for line in kept.split(b"\r\n") if line and line.partition(b":")[0].lower() not in gone]
    lines += [b"%b: %b" % field for field in fields]
    return b"".join([line + b"\r\n" for line in lines])


def cookie_of(cookies: bytes, name: bytes) -> bytes:
    """Return the value of the cookie ``name`` in the value of a ``Cookie`` field; empty without one."""
    for pair in cookies.split(b";"):
        key, _, value = pair.strip().partition(b"=")
        if key == name:
            return value
    return b""


def _field(kept: bytes, name: bytes) -> bytes:
    lines = b"\r\n" + kept
    at = lines.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    return lines[at + len(name) + 3 :].partition(b"\r\n")[0].strip(b" \t")


def _without(kept: bytes, name: bytes) -> bytes:
    lines = kept.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() != name)


def _read_target(head: RequestHead) -> None:
    target = head.target
    if head.method == b"CONNECT":
        # The authority is the target, and names its port (RFC 9110 §9.3.6); Host must be sound all the same.
        if b":" not in target or target[-1] == 0x5D or not _AUTHORITY.fullmatch(head.authority) or head.length:
            raise BadRequest("the target of CONNECT is a name with a port, and it has no body")
        head.authority = target.lower()
        head.target = b"/"
    elif target[0] != 0x2F:  # "/"
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is not None:
            # The authority of an absolute target replaces Host (RFC 9112 §3.2.2); Host itself must still be sound.
            if not _AUTHORITY.fullmatch(head.authority):
                raise BadRequest("host is malformed")
            head.authority = absolute[1].lower()
            rest = absolute[2]
            head.target = rest if rest.startswith(b"/") else b"/" + rest
            head.absolute = True
        elif target != b"*" or head.method != b"OPTIONS":
            raise BadRequest("the target is neither a path nor an http URL")
    if b"%00" in target:
        raise BadRequest("the target contains a NUL")
    authority = head.authority
    if len(authority) > 255 or not _AUTHORITY.fullmatch(authority):
        raise BadRequest("host is malformed")
    if b":" in authority and authority[-1] != 0x5D and int(authority.rpartition(b":")[2]) > 65_535:
        raise BadRequest("host has a port above 65535")
