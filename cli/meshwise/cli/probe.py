"""One question to a health endpoint, without an HTTP library: the supervisor asks often and starts light."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

TIMEOUT_S = 2.0


async def is_ready(url: str) -> bool:
    """Tell whether ``url`` answers 200 within two seconds; whose certificate it shows is not the question here."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=_tls(parts.scheme))
            try:
                head = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode())
                status = (await reader.readline()).split(b" ")
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
    return len(status) > 1 and status[1] == b"200"


def _tls(scheme: str) -> ssl.SSLContext | None:
    if scheme != "https":
        return None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
