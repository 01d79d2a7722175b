from __future__ import annotations

import io

import pytest

from meshwise.store.hello import STATEMENT, asks_hello, hello_block


def _read(block: bytes, *, info: bool, flags: bool) -> dict[str, tuple[str, bytes]]:
    """Read a Native block of one row and short strings, as the protocol describes it."""
    stream = io.BytesIO(block)
    if info:
        assert stream.read(8) == b"\x01\x00\x02\xff\xff\xff\xff\x00"
    columns, rows = stream.read(2)
    assert (columns, rows) == (4, 1)
    found = {}
    for _ in range(columns):
        name = stream.read(stream.read(1)[0]).decode()
        kind = stream.read(stream.read(1)[0]).decode()
        if flags:
            assert stream.read(1) == b"\x00"
        found[name] = (kind, stream.read(4) if kind == "UInt32" else stream.read(stream.read(1)[0]))
    assert stream.read() == b""
    return found


@pytest.mark.parametrize(
    ("revision", "info", "flags"),
    [("54460", True, True), ("54453", True, False), ("0", False, False), ("x", False, False)],
)
def test_the_answer_is_framed_for_the_revision_asked(revision: str, info: bool, flags: bool) -> None:
    """The block header comes with any revision, the flag of each column from 54454; what we name is revision 0."""
    found = _read(hello_block({"client_protocol_version": revision}, name="n", version="26.9"), info=info, flags=flags)
    assert found == {
        "displayName()": ("String", b"n"),
        "version()": ("String", b"26.9"),
        "revision()": ("UInt32", bytes(4)),
        "timezone()": ("String", b"UTC"),
    }


def test_only_the_drivers_own_question_is_answered_so() -> None:
    """Another statement, and a client that names no protocol version, get the engine's answer."""
    asked = {"client_protocol_version": "54460"}
    assert asks_hello(STATEMENT, asked)
    assert not asks_hello("SELECT 1", asked)
    assert not asks_hello(STATEMENT, {})
    assert not asks_hello(STATEMENT, {"client_protocol_version": "0"})
