import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwise.contracts.errors import ConfigError, UnavailableError
from meshwise.proxy.net.http_client import HttpClient
from support.http_stub import Call, HttpStub, Reply


async def test_a_call_comes_whole_and_back_whole() -> None:
    """Method, path, headers and body arrive; status, headers and body return."""
    async with HttpStub(lambda call: Reply(201, call.body[::-1], {"X-One": "1"})) as stub:
        client = HttpClient(stub.url + "/base/")
        answer = await client.request("POST", "/v1/x?y=1", b"abc", {"content-type": "text/plain"})
        await client.close()
    assert (answer.status, answer.body, answer.headers["x-one"]) == (201, b"cba", "1")
    (call,) = stub.calls
    assert (call.method, call.path, call.body) == ("POST", "/base/v1/x?y=1", b"abc")
    assert call.headers["content-type"] == "text/plain"
    assert call.headers["host"] == stub.url.removeprefix("http://")


async def test_connections_are_kept_and_calls_may_overlap() -> None:
    """Calls one after the other share a connection; calls at once have their own."""
    async with HttpStub(lambda call: Reply(body=call.path.encode())) as stub:
        client = HttpClient(stub.url)
        for number in range(3):
            assert (await client.request("GET", f"/{number}")).body == f"/{number}".encode()
        assert stub.connections == 1
        answers = await asyncio.gather(*(client.request("GET", f"/{n}") for n in range(5)))
        assert [answer.body for answer in answers] == [f"/{n}".encode() for n in range(5)]
        assert (await client.request("DELETE", "/")).status == 200
        await client.close()
    assert stub.connections <= 6


async def test_answers_without_body_do_not_wait_for_one() -> None:
    """204 and 304 end with their head, and the connection stays usable."""
    statuses = iter([204, 304, 200])
    async with HttpStub(lambda _: Reply(next(statuses))) as stub:
        client = HttpClient(stub.url)
        assert [(await client.request("GET", "/")).status for _ in range(3)] == [204, 304, 200]
        await client.close()
    assert stub.connections == 1


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"nonsense\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", "ended before"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "ended before"),
        (b"", "ended before"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n" + b"x" * 99999, "larger than"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 300_000 + b"\r\n\r\n", "too large"),
    ],
)
async def test_a_bad_answer_is_unavailable(raw: bytes, problem: str) -> None:
    """Whatever the peer sends instead of a whole answer is one clear error, never half an answer."""
    async with HttpStub(lambda _: Reply(raw=raw)) as stub:
        client = HttpClient(stub.url)
        with pytest.raises(UnavailableError, match=problem):
            await client.request("GET", "/", max_bytes=1000)
        await client.close()


async def test_an_answer_may_end_with_its_connection() -> None:
    """Without a length the end of the connection is the end of the body."""
    async with HttpStub(lambda _: Reply(raw=b"HTTP/1.1 200 OK\r\n\r\nhello")) as stub:
        client = HttpClient(stub.url)
        assert (await client.request("GET", "/")).body == b"hello"
        await client.close()


async def test_interim_answers_are_skipped() -> None:
    """A 100 before the answer is not the answer."""
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with HttpStub(lambda _: Reply(raw=raw)) as stub:
        client = HttpClient(stub.url)
        answer = await client.request("GET", "/")
        assert (answer.status, answer.body) == (200, b"ok")
        await client.close()


async def test_silence_ends_at_the_deadline() -> None:
    """A peer that accepts and says nothing costs only the time allowed, and the connection is not used again."""

    async def never(_: Call) -> Reply:
        await asyncio.sleep(60)
        return Reply()

    async with HttpStub(never) as stub:
        client = HttpClient(stub.url)
        with pytest.raises(UnavailableError, match="did not answer GET /slow"):
            await client.request("GET", "/slow", timeout_s=0.05)
        with pytest.raises(UnavailableError):
            await client.open("/slow", head_timeout_s=0.05)
        stub.handler = lambda _: Reply(body=b"ok")
        assert (await client.request("GET", "/")).body == b"ok"
        await client.close()
    assert stub.connections == 3


async def test_nobody_there_is_unavailable() -> None:
    """A refused connection is one clear error."""
    async with HttpStub(lambda _: Reply()) as stub:
        url = stub.url
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await HttpClient(url).request("GET", "/")


async def test_a_stream_comes_in_pieces_and_ends() -> None:
    """Pieces come as they are sent; an empty one is the end; silence beyond the limit is an error."""

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0)
        yield b"two"

    async with HttpStub(lambda _: Reply(stream=body())) as stub:
        client = HttpClient(stub.url)
        stream = await client.open("/events")
        assert stream.answer.status == 200
        got = b""
        while piece := await stream.piece(5.0):
            got += piece
        assert got == b"onetwo"
        stream.close()
        await client.close()


async def test_a_silent_stream_is_given_up() -> None:
    """A stream that falls silent does not hang its reader."""

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(60)

    async with HttpStub(lambda _: Reply(stream=body())) as stub:
        client = HttpClient(stub.url)
        stream = await client.open("/events")
        assert await stream.piece(5.0) == b"one"
        with pytest.raises(UnavailableError, match="silent"):
            await stream.piece(0.05)
        stream.close()
        await client.close()


@pytest.mark.parametrize("url", ["ftp://a", "http://", "localhost:80", "http://a:b", "http://a/?x=1"])
def test_addresses_that_cannot_be_called_are_refused(url: str) -> None:
    """Only http://host:port is taken, and the error says so."""
    with pytest.raises(ConfigError, match="http://host:port"):
        HttpClient(url)
