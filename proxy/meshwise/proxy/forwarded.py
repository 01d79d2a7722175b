"""``X-Forwarded-*`` and ``Forwarded``: what earlier hops say of the caller, as far as they are trusted. Pure.

With ``hops`` trusted proxies before this one, the last ``hops`` entries of ``X-Forwarded-For`` were written by them;
everything further left is the caller's own word. So that is dropped, our peer is appended, and the client is the
leftmost entry that is left. Scheme, host and port are believed when a trusted proxy wrote them, else they are what we
see.

Sources: RFC 7239; the arithmetic is that of Envoy's ``xff_num_trusted_hops``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Field = tuple[bytes, bytes]

NAMES: Final = frozenset(
    (
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-ssl",
        b"x-forwarded-by",
        b"x-forwarded-client-cert",
        b"x-forwarded-server",
        b"x-real-ip",
    )
)
"""All of which an application may believe; those that are not written anew are dropped."""

MAX_ENTRIES: Final = 32
"""Entries of `X-Forwarded-For` and elements of `Forwarded` that are looked at."""
_HOST = re.compile(rb"[A-Za-z0-9._\-\[\]:]{1,255}")
_OUTSIDE_QUOTES = re.compile(rb',(?=(?:[^"]*"[^"]*")*[^"]*$)')


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The fields to send on in place of those that came, and the client as far as it is known."""

    fields: tuple[Field, ...]
    client: str


def rewrite(fields: Iterable[Field], *, hops: int, peer: str, secure: bool, authority: bytes) -> Rewritten:
    """Return what becomes of the ``NAMES`` among ``fields`` (lower-case names) that came from ``peer``, an address."""
    said: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        said.setdefault(name, []).append(value)
    entries = [one.strip() for value in said.get(b"x-forwarded-for", ()) for one in value.split(b",")]
    trusted = [one for one in entries[-min(hops, MAX_ENTRIES) :] if one] if hops else []
    chain = [*trusted, peer.encode("ascii", "replace")]
    proto = _last(said, b"x-forwarded-proto", hops).lower()
    if proto not in (b"http", b"https"):
        proto = b"https" if secure else b"http"
    host = _last(said, b"x-forwarded-host", hops)
    if not _HOST.fullmatch(host):
        host = authority
    sent = [(b"x-forwarded-for", b", ".join(chain)), (b"x-forwarded-proto", proto), (b"x-forwarded-host", host)]
    port = _last(said, b"x-forwarded-port", hops)
    if port.isdigit() and len(port) <= 5:
        sent.append((b"x-forwarded-port", port))
    if said.get(b"forwarded"):
        elements = [one.strip() for one in _OUTSIDE_QUOTES.split(b",".join(said[b"forwarded"]))]
        kept = [one for one in elements[-min(hops, MAX_ENTRIES) :] if one] if hops else []
        ours = b"for=%b;proto=%b;host=%b" % (_node(peer), proto, _quoted(host))
        sent.append((b"forwarded", b", ".join([*kept, ours])))
    return Rewritten(tuple(sent), _address(chain[0]) or peer)


def names_in(fields: Iterable[Field]) -> frozenset[bytes]:
    """Return the names (lower case) in ``fields`` that are one of ``NAMES``, or that a gateway takes for one.

    CGI and WSGI make the same variable of a dash and an underscore.
    """
    return frozenset(name for name, _ in fields if name in NAMES or name.replace(b"_", b"-") in NAMES)


def _last(said: dict[bytes, list[bytes]], name: bytes, hops: int) -> bytes:
    """Return what the nearest trusted proxy says, when there is one and it says one thing."""
    values = said.get(name, ())
    return values[0].strip() if hops and len(values) == 1 and b"," not in values[0] else b""


def _address(entry: bytes) -> str:
    text = entry.decode("ascii", "replace").strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _node(peer: str) -> bytes:
    return b'"[%b]"' % peer.encode("ascii", "replace") if ":" in peer else peer.encode("ascii", "replace")


def _quoted(host: bytes) -> bytes:
    return b'"%b"' % host if b":" in host or b"[" in host else host
