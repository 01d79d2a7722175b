import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

import httpcore
import pytest

from meshwise.analytics.alerts import sender
from meshwise.analytics.alerts.sender import deliver, is_public, judge
from support.receiver import Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


class TestIsPublic:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1%eth0",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
        ],
    )
    def test_addresses_of_this_network_are_not(self, address: str) -> None:
        """Loopback, private, link-local, shared, multicast and reserved addresses are not public, in any clothing."""
        assert not is_public(address)

    @pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"])
    def test_addresses_of_the_internet_are(self, address: str) -> None:
        """An ordinary address of the internet is public."""
        assert is_public(address)


class TestDeliver:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
    )
    async def test_private_addresses_are_refused(self, receiver: Receiver, host: str) -> None:
        """However a loopback address is spelled, nothing is sent to it unless that was allowed."""
        delivery = await deliver(f"http://{host}:{receiver.port}/", b"{}", {}, allow_private=False)
        assert delivery.outcome == "failed"
        assert receiver.requests == []

    async def test_the_address_is_checked_where_it_is_connected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that resolves to a public address first and to a private one later is resolved once only."""
        answers = iter(["127.0.0.1", "127.0.0.1"])
        asked: list[str] = []

        async def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            asked.append(host)
            return [(2, 1, 6, "", ("93.184.216.34" if len(asked) == 1 else next(answers), port))]

        connected: list[str] = []

        async def connect(self: object, host: str, *_: object) -> object:
            connected.append(host)
            raise httpcore.ConnectError("not in a test")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
        await deliver("http://rebinding.example/", b"{}", {}, allow_private=False)
        assert (asked, connected) == (["rebinding.example"], ["93.184.216.34"])

    async def test_allowed_private_delivery_arrives_whole(self, receiver: Receiver) -> None:
        """An allowed receiver gets the body and headers as they are."""
        delivery = await deliver(f"{receiver.url}/hook?x=1", b'{"a":1}', {"webhook-id": "m"}, allow_private=True)
        assert delivery.outcome == "delivered"
        (request,) = receiver.requests
        assert (request.method, request.path, request.body) == ("POST", "/hook?x=1", b'{"a":1}')
        assert (request.headers["webhook-id"], request.headers["content-type"]) == ("m", "application/json")

    async def test_redirects_are_not_followed(self, receiver: Receiver) -> None:
        """A redirect is a failure: following it would reach what was never checked."""
        receiver.answer = lambda _: (302, {"location": "http://169.254.169.254/"}, b"")
        delivery = await deliver(receiver.url, b"{}", {}, allow_private=True)
        assert (delivery.outcome, delivery.detail, len(receiver.requests)) == ("failed", "HTTP 302", 1)

    async def test_a_flood_of_an_answer_is_not_read(self, receiver: Receiver) -> None:
        """A receiver that answers with megabytes has delivered as soon as its status said so."""
        receiver.answer = lambda _: (200, {}, b"x" * 5_000_000)
        assert (await deliver(receiver.url, b"{}", {}, allow_private=True)).outcome == "delivered"

    async def test_nobody_listening_is_a_failure(self) -> None:
        """A refused connection is a failed try, not an exception."""
        assert (await deliver("http://127.0.0.1:9/", b"{}", {}, allow_private=True)).outcome == "failed"

    async def test_a_silent_receiver_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A receiver that accepts and says nothing is given up after the time limit."""
        monkeypatch.setattr(sender, "TIMEOUT_S", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts in its backlog and never reads
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            delivery = await deliver(url, b"{}", {}, allow_private=True)
        assert delivery.outcome == "failed"


class TestJudge:
    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            (200, "delivered"),
            (204, "delivered"),
            (299, "delivered"),
            (300, "failed"),
            (400, "failed"),
            (410, "gone"),
            (500, "failed"),
        ],
    )
    def test_only_2xx_is_success(self, status: int, outcome: str) -> None:
        """2xx is delivered, 410 means never again, everything else is another try."""
        assert judge(status, {}, 0.0).outcome == outcome

    def test_retry_after_in_both_forms(self) -> None:
        """Retry-After is read as seconds and as a date; nonsense is ignored."""
        when = format_datetime(datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC), usegmt=True).encode()
        now = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC).timestamp()
        assert judge(429, {b"Retry-After": b"120"}, now).retry_after_s == 120.0
        assert judge(503, {b"retry-after": when}, now).retry_after_s == 30.0
        for nonsense in (b"", b"soon", b"-5", b"\xff", "١٢".encode(), b"9" * 400):
            assert judge(429, {b"retry-after": nonsense}, now).retry_after_s is None
