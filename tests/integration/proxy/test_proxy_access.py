"""Who gets to the application: tokens against a real issuer's keys, rules on identity, claims, method and path."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.http2.frames import Frame
from support.access import Keys, access_file, bearer, now_token
from support.data_path import Mesh, Upstream, client, inbound, until
from support.http2_peers import raw_client
from support.http_stub import HttpStub
from support.identity import Pki, secured
from support.tokens import AUDIENCE, ISSUER, forged, public_pem


async def status(mesh: Mesh, *fields: str, method: str = "GET", path: str = "/") -> int:
    """What a request is answered."""
    return (await mesh.request(method, "catalog", path, *fields)).status


def counts(mesh: Mesh) -> dict[str, int]:
    """What access has counted."""
    found: dict[str, int] = mesh.proxy.stats()["inbound"]["access"]
    return found


async def test_a_token_must_be_valid(tmp_path: Path) -> None:
    """Without one, or with a bad one, 401 and nothing reaches the application; a good one does, unchanged."""
    keys = Keys("rsa", "ec", "ed")
    async with HttpStub(keys) as issuer, Upstream() as app:
        file = access_file(tmp_path, issuer.url, token="required")
        async with inbound(app.port, access_file=file) as mesh:
            missing = await mesh.request("GET", "catalog")
            assert (missing.status, missing.headers["www-authenticate"]) == (401, "Bearer")
            assert missing.headers["x-meshwise-error"] == "unauthenticated"
            bad = (
                now_token(exp=int(time.time()) - 60),
                now_token(aud="another"),
                now_token("stranger", kid="ec"),
                now_token(iss="https://id.evil"),
                forged({"alg": "none"}, {"iss": ISSUER, "aud": AUDIENCE, "exp": 2**40}, None),
                forged(
                    {"alg": "HS256", "kid": "rsa"}, {"iss": ISSUER, "aud": AUDIENCE, "exp": 2**40}, public_pem("rsa")
                ),
                "nonsense",
            )
            assert [await status(mesh, bearer(one)) for one in bad] == [401] * len(bad)
            assert await status(mesh, bearer(now_token()), bearer(now_token())) == 401
            assert await status(mesh, "Authorization: Basic YTpi") == 401
            assert not app.arrivals
            good = [now_token(key) for key in ("rsa", "ec", "ed")]
            assert [await status(mesh, bearer(one)) for one in (*good, *good)] == [200] * 6
            assert app.arrivals[0].headers["authorization"] == f"Bearer {good[0]}"
            assert counts(mesh) == {
                "no_token": 2, "bad_token": 8, "allowed": 6, "jwks_fetches": 1, "jwks_failures": 0, "keys": 3,
            }  # fmt: skip
            assert not [r for r in mesh.recorder.requests if r.status != 200]


async def test_keys_are_rotated_without_a_refusal(tmp_path: Path) -> None:
    """A token with a key that is new waits for the keys to be fetched again; a key that is gone proves nothing."""
    keys = Keys("ec")
    async with HttpStub(keys) as issuer, Upstream() as app:
        file = access_file(tmp_path, issuer.url, token="required")
        async with inbound(app.port, access_file=file) as mesh:
            old, new = now_token("ec"), now_token("ed")
            assert await status(mesh, bearer(old)) == 200
            # The last fetch is a moment ago: nobody drives us against an issuer with made-up keys.
            assert await status(mesh, bearer(now_token("ed", kid="made-up"))) == 401
            assert keys.fetches == 1
            keys.names = ("ed",)
            guard = mesh.proxy.inbound.access if mesh.proxy.inbound else None
            assert guard is not None
            guard._sources[ISSUER]._fetched_at = float("-inf")
            both = await asyncio.gather(status(mesh, bearer(new)), status(mesh, bearer(new)))
            assert (*both, keys.fetches) == (200, 200, 2)
            assert await status(mesh, bearer(old)) == 401
            keys.names = ()  # the issuer fails: what is known stays
            guard._sources[ISSUER]._fetched_at = float("-inf")
            assert await status(mesh, bearer(now_token("rsa"))) == 401
            assert await status(mesh, bearer(new)) == 200
            assert counts(mesh)["jwks_failures"] == 1


async def test_rules_on_claims_method_and_path(tmp_path: Path) -> None:
    """What an allow rule is about gets in, the rest does not; a rule on trial only counts."""
    rules = [
        {
            "name": "readers",
            "action": "allow",
            "methods": ["GET"],
            "paths": ["/items/*"],
            "claims": {"scope": ["read"]},
        },
        {"name": "public", "action": "allow", "paths": ["/public/*"]},
        {"name": "no-exports", "action": "deny", "paths": ["/items/export"], "dry_run": True},
    ]
    async with HttpStub(Keys("ec")) as issuer, Upstream() as app:
        async with inbound(app.port, access_file=access_file(tmp_path, issuer.url, rules=rules)) as mesh:
            reader = bearer(now_token(scope="write read"))
            assert await status(mesh, reader, path="/items/7?x=/public/") == 200
            assert await status(mesh, path="/public/x") == 200
            refused = await mesh.request("GET", "catalog", "/items/7")
            assert (refused.status, refused.headers["x-meshwise-error"]) == (403, "forbidden")
            assert await status(mesh, reader, path="/items/7", method="PUT") == 403
            assert await status(mesh, bearer(now_token(scope="reader")), path="/items/7") == 403
            assert await status(mesh, reader, path="/items/export") == 200
            for odd in (
                "/items/../admin",
                "/public/../admin",
                "/public/%2e%2e/items",
                "/public/.%2E/admin",
                "/public/x/./../../admin",
                "/public//x",
                "/public/a%2Fb",
                "/public/a;b",
                "/x\\y",
            ):
                assert await status(mesh, path=odd) == 400, odd
            got = counts(mesh)
            assert (got["allowed"], got["denied"], got["denied_no-rule"]) == (3, 3, 3)
            assert (got["would_deny_no-exports"], got["ambiguous_path"]) == (1, 8)
        assert len(app.arrivals) == 3


async def test_rules_on_proved_identity(tmp_path: Path) -> None:
    """Only a certificate names a source: the same name in a header opens nothing."""
    rules = [{"name": "callers", "action": "allow", "sources": ["frontend", "spiffe://mesh.local/batch"]}]
    file = access_file(tmp_path, rules=rules)
    pki = Pki(tmp_path)
    async with Upstream() as app:
        catalog = pki.identity("catalog")
        async with secured(pki, catalog, mode="permissive", app_port=app.port, access_file=file) as callee:
            got = []
            for name in ("frontend", "batch", "payment"):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", callee.port, ssl=pki.client(pki.identity(name))
                )
                writer.write(b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n")
                got.append((await reader.readline()).split()[1])
                writer.close()
            assert got == [b"200", b"200", b"403"]
            async with client(callee.port) as plain:
                assert (await plain.request("GET", "catalog", "/", "X-Meshwise-Source: frontend")).status == 403
        assert len(app.arrivals) == 2


def on_stream(number: int) -> Callable[[Frame], bool]:
    """Tell frames of one stream."""
    return lambda frame: frame.stream == number


async def test_a_grpc_call_is_told_in_its_own_words(tmp_path: Path) -> None:
    """Over HTTP/2 the answers are the same, and a gRPC call ends with the status that says it."""
    async with HttpStub(Keys("ec")) as issuer, Upstream() as app:
        file = access_file(tmp_path, issuer.url, token="required", rules=[{"name": "none", "action": "deny"}])
        async with inbound(app.port, access_file=file) as mesh, raw_client(mesh.port) as peer:
            head = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/B"), (b":authority", b"catalog")]
            call = [*head, (b"content-type", b"application/grpc"), (b"te", b"trailers")]
            allowed = (b"authorization", b"Bearer " + now_token().encode())
            told = []
            for number, fields in ((1, head), (3, call), (5, [*call, allowed])):
                await peer.send(peer.head(number, fields))
                answer = peer.fields(await peer.until(on_stream(number)))
                told.append((answer[b":status"], answer.get(b"grpc-status"), answer.get(b"www-authenticate")))
            assert told == [(b"401", None, b"Bearer"), (b"200", b"16", None), (b"200", b"7", None)]


async def test_the_file_is_read_again(tmp_path: Path) -> None:
    """A change takes effect within moments; a bad document is refused whole, and at the start it is an error."""
    async with Upstream() as app:
        file = access_file(tmp_path, rules=[])
        async with inbound(app.port, access_file=file) as mesh:
            assert await status(mesh) == 200
            access_file(tmp_path, rules=[{"name": "shut", "action": "deny"}])
            guard = mesh.proxy.inbound.access if mesh.proxy.inbound else None
            assert guard is not None
            guard.look()
            await until(lambda: guard.access.rules)
            assert await status(mesh) == 403
            file.write_text("rules: [{name: shut, action: open}]")
            guard.look()
            assert await status(mesh) == 403
            assert counts(mesh)["file_refused"] == 1
        with pytest.raises(ConfigError, match=r"rules\[0\].action"):
            async with inbound(app.port, access_file=file):
                pass


@pytest.mark.parametrize(
    ("hops", "arrived", "known"),
    [
        (None, "6.6.6.6, 1.1.1.1", "127.0.0.1"),
        (0, "127.0.0.1", "127.0.0.1"),
        (1, "1.1.1.1, 127.0.0.1", "1.1.1.1"),
    ],
)
async def test_forwarded_fields_are_cut_to_trusted_hops(hops: int | None, arrived: str, known: str) -> None:
    """Unset they pass as they come; set, what a caller made up is dropped and the records name the client."""
    async with Upstream() as app, inbound(app.port, trusted_hops=hops) as mesh:
        said = ("X-Forwarded-For: 6.6.6.6, 1.1.1.1", "X-Forwarded-Proto: https", "X-Real-IP: 6.6.6.6", "X-Other: y")
        assert await status(mesh, *said) == 200
        headers = app.arrivals[0].headers
        assert (headers["x-forwarded-for"], headers["x-other"]) == (arrived, "y")
        assert headers["x-forwarded-proto"] == ("http" if hops == 0 else "https")
        assert ("x-real-ip" in headers) is (hops is None)
        await mesh.quiet()
        assert mesh.recorder.requests[0].client_address == known
