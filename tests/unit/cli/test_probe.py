from __future__ import annotations

import asyncio

import pytest

from meshwise.cli.probe import is_ready


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"", False),
        (b"nonsense\r\n", False),
    ],
)
async def test_only_200_is_ready(answer: bytes, ready: bool) -> None:
    """Any other status, a closed connection and noise are not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await is_ready(f"http://127.0.0.1:{port}/readyz") is ready
    assert await is_ready(f"http://127.0.0.1:{port}/readyz") is False
