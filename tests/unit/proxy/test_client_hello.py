import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.client_hello import LARGEST, NoHello, server_name


def hello(name: str | None) -> bytes:
    """Return what OpenSSL says first to ``name``."""
    out = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


HELLO = hello("Catalog.shop")


def test_name_of_a_real_client() -> None:
    """The name is found, in lower case; a client that gives none names nobody."""
    assert server_name(HELLO) == "catalog.shop"
    assert server_name(hello(None)) == ""


def test_every_beginning_asks_for_more() -> None:
    """However little has come, it is never mistaken for something else."""
    assert all(server_name(HELLO[:end]) is None for end in range(1, len(HELLO)))


def test_several_records_are_put_together() -> None:
    """A message cut into records of any size says the same."""
    body = HELLO[5:]
    pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
    records = b"".join(HELLO[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    assert server_name(records) == "catalog.shop"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x02\x00\x00\x01x",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    ],
)
def test_what_never_becomes_a_hello(data: bytes) -> None:
    """Other bytes, other messages and lengths that are lies are told at once."""
    with pytest.raises(NoHello):
        server_name(data)


@given(st.binary(max_size=200), st.integers(0, len(HELLO)), st.integers(0, 255))
def test_garbage_is_told_or_waited_for(garbage: bytes, at: int, byte: int) -> None:
    """Whatever comes, there is a name, a refusal, or a wait that has an end."""
    for data in (garbage, b"\x16\x03\x01" + garbage, HELLO[:at] + bytes((byte,)) + HELLO[at + 1 :] + garbage):
        for padded in (data, data + b"\0" * LARGEST):
            try:
                name = server_name(padded)
            except NoHello:
                continue
            assert name is not None or len(padded) < LARGEST
