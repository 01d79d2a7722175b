"""HPACK's Huffman code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.http2 import huffman
from meshwise.proxy.http2.codes import ConnectionFault


def encode(text: bytes, padding: str = "1111111") -> bytes:
    """The code of ``text``, filled up with the first of ``padding``."""
    bits = "".join(f"{code:0{length}b}" for code, length in (huffman.codes()[byte] for byte in text))
    bits += padding[: -len(bits) % 8]
    return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


@given(st.binary(max_size=200))
def test_every_string_is_read_back(text: bytes) -> None:
    """What the code table encodes is decoded to the same octets."""
    assert huffman.decode(encode(text)) == text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", b"www.example.com"),
        ("a8eb10649cbf", b"no-cache"),
        ("9d29ad171863c78f0b97c8e9ae82ae43d3", b"https://www.example.com"),
    ],
)
def test_examples_of_the_standard(code: str, text: bytes) -> None:
    """The examples of RFC 7541, appendix C, are read as it says."""
    assert huffman.decode(bytes.fromhex(code)) == text


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(encode(b"0", padding="0000000"), id="zeros"),
        pytest.param(b"\xff", id="eight ones"),
        pytest.param(encode(b"&") + b"\xff", id="more than a byte"),
        pytest.param(b"\xff\xff\xff\xff", id="end of string"),
    ],
)
def test_wrong_padding_is_refused(code: bytes) -> None:
    """Padding other than fewer than eight ones, and the end-of-string symbol, end the connection."""
    with pytest.raises(ConnectionFault):
        huffman.decode(code)
