"""DNS messages: what is asked, what is read, what is refused."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.discovery.messages import Answer, BadMessage, Record, question, read_answer
from support.dns_server import DnsServer


def ask(server: DnsServer, name: str, kind: str) -> Answer:
    return read_answer(server.answer(question(name, kind, 7), "udp"), kind, 7)  # type: ignore[arg-type]


def server() -> DnsServer:
    dns = DnsServer()
    dns.records["catalog.test", "a"] = [("10.0.0.1", 60), ("10.0.0.2", 30)]
    dns.records["catalog.test", "aaaa"] = [("2001:db8::1", 5)]
    dns.records["_x._tcp.test", "srv"] = [((1, 10, 8080, "one.test"), 9)]
    dns.aliases["alias.test"] = ("catalog.test", 20)
    return dns


def test_addresses_and_services_are_read() -> None:
    """A, AAAA and SRV, each with its time to live."""
    assert ask(server(), "catalog.test", "a").records == (Record("10.0.0.1", 60), Record("10.0.0.2", 30))
    assert ask(server(), "catalog.test", "aaaa").records == (Record("2001:db8::1", 5),)
    assert ask(server(), "_x._tcp.test", "srv").records == (Record("one.test", 9, 8080, 1, 10),)


def test_an_alias_bounds_the_time_to_live() -> None:
    """Records behind a CNAME live no longer than it does."""
    assert ask(server(), "alias.test", "a").records == (Record("10.0.0.1", 20), Record("10.0.0.2", 20))


def test_a_name_that_does_not_exist_has_no_records() -> None:
    """It is told from a name that has none of this type."""
    assert ask(server(), "nobody.test", "a") == Answer((), missing=True)
    assert ask(server(), "_x._tcp.test", "a") == Answer(())


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".test", ".".join(["abc"] * 80)])
def test_what_is_no_name_is_not_asked(name: str) -> None:
    """Empty and long labels, and long names."""
    with pytest.raises(ValueError, match=r"."):
        question(name, "a", 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\x07",
        struct.pack(">HHHHHH", 8, 0x8180, 0, 0, 0, 0),
        struct.pack(">HHHHHH", 7, 0x0100, 0, 0, 0, 0),
        struct.pack(">HHHHHH", 7, 0x8182, 0, 0, 0, 0),
        struct.pack(">HHHHHH", 7, 0x8180, 0, 1, 0, 0) + b"\xc0\x0c",
        struct.pack(">HHHHHH", 7, 0x8180, 0, 1, 0, 0) + b"\x00" + struct.pack(">HHIH", 1, 1, 5, 3) + b"abc",
        struct.pack(">HHHHHH", 7, 0x8180, 0, 1, 0, 0) + b"\x80" * 20,
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    """Cut, another's, a question, a failure, a loop of pointers, a wrong length, an unknown label."""
    with pytest.raises(BadMessage):
        read_answer(data, "a", 7)


@given(st.binary(max_size=200), st.sampled_from(["a", "aaaa", "srv"]))
def test_no_bytes_end_in_anything_but_an_answer_or_a_refusal(rest: bytes, kind: str) -> None:
    """Whatever a server sends."""
    with contextlib.suppress(BadMessage):
        read_answer(struct.pack(">HHHHHH", 7, 0x8180, 1, 3, 0, 0) + rest, kind, 7)  # type: ignore[arg-type]
