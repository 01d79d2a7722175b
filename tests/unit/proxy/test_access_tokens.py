"""What a token must be to prove anything."""

from __future__ import annotations

import re
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from meshwise.contracts.access import Issuer
from meshwise.contracts.errors import DocumentError
from meshwise.proxy.access.keys import parse_keys
from meshwise.proxy.access.tokens import BadTokenError, UnknownKeyError, issuer_of, verify
from support.tokens import AUDIENCE, ISSUER, forged, jwk, jwks, public_pem, token

WHO = Issuer(ISSUER, (AUDIENCE, "other"), jwks_url="https://id.test/keys", leeway=30.0)
KEYS = parse_keys(jwks("rsa", "ec", "ed"))
NOW = 1000.0
SOUND: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "exp": 1600}


@pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
@pytest.mark.parametrize("named", [True, False])
def test_sound_tokens_of_every_kind(key: str, named: bool) -> None:
    """RSA, EC and Ed25519 signatures count, by the key's name or without."""
    claims = verify(token(key, kid="" if named else None), WHO, KEYS, NOW)
    assert (claims["sub"], claims["iss"]) == ("ada", ISSUER)


@pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
def test_an_rsa_key_may_be_used_with_its_kin(algorithm: str) -> None:
    """Unless the issuer ties the key to one algorithm."""
    said = token("rsa", algorithm=algorithm)
    assert verify(said, WHO, KEYS, NOW)["sub"] == "ada"
    with pytest.raises(BadTokenError, match="not that of its key"):
        verify(said, WHO, parse_keys({"keys": [jwk("rsa", alg="RS256")]}), NOW)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "HS256", "HS512", "", "RS1", None, 7])
def test_nothing_but_asymmetric_signatures(algorithm: Any) -> None:
    """No unsigned token, and no public key taken for the secret of an HMAC."""
    for name in ("rsa", "ec", "ed"):
        for secret in (None, public_pem(name)):
            with pytest.raises(BadTokenError):
                verify(forged({"alg": algorithm, "kid": name}, SOUND, secret), WHO, KEYS, NOW)


def test_an_algorithm_does_not_choose_its_key() -> None:
    """A token that names a key of another kind than its algorithm is refused."""
    with pytest.raises(BadTokenError, match="not that of its key"):
        verify(token("ec", kid="rsa"), WHO, KEYS, NOW)


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"aud": "shopping"}, "another audience"),
        ({"aud": None}, "has no aud"),
        ({"aud": []}, "has no aud"),
        ({"iss": "https://id.test.evil"}, "another issuer"),
        ({"iss": None}, "has no iss"),
        ({"exp": None}, "has no exp"),
        ({"exp": 970}, "is over"),
        ({"exp": "1600"}, "not a time"),
        ({"exp": True}, "not a time"),
        ({"nbf": 1031}, "does not hold yet"),
        ({"iat": 5000}, "does not hold yet"),
    ],
)
def test_claims_that_must_fit(claims: dict[str, Any], problem: str) -> None:
    """Audience, issuer and times; the leeway is 30 s to either side."""
    with pytest.raises(BadTokenError, match=re.escape(problem)):
        verify(token(**claims), WHO, KEYS, NOW)


@pytest.mark.parametrize("claims", [{"exp": 971}, {"nbf": 1030}, {"aud": ["x", "other"]}, {"iat": 1000.5}])
def test_claims_that_just_fit(claims: dict[str, Any]) -> None:
    """Within the leeway, and one audience of several."""
    assert verify(token(**claims), WHO, KEYS, NOW)["sub"] == "ada"


def test_a_stranger_s_signature_is_wrong() -> None:
    """Under a known name, under none, and after a change of one letter."""
    for kid in ("ec", None):
        with pytest.raises(BadTokenError, match="signature is wrong"):
            verify(token("stranger", kid=kid), WHO, KEYS, NOW)
    head, _, signature = token().split(".")
    body = token(sub="eve").split(".")[1]
    with pytest.raises(BadTokenError, match="signature is wrong"):
        verify(f"{head}.{body}.{signature}", WHO, KEYS, NOW)


def test_an_unknown_key_is_told_apart() -> None:
    """So that the issuer's keys can be fetched again."""
    with pytest.raises(UnknownKeyError):
        verify(token(kid="next"), WHO, KEYS, NOW)


@pytest.mark.parametrize("said", ["", "a", "a.b", "a.b.c", "....", "e30.e30.e30", "é.é.é", "x" * 20_000, "[.[.["])
def test_what_is_no_token(said: str) -> None:
    """One clear refusal, whatever the bytes."""
    with pytest.raises(BadTokenError):
        issuer_of(said)
    with pytest.raises(BadTokenError):
        verify(said, WHO, KEYS, NOW)


def test_an_extension_that_is_not_spoken() -> None:
    """``crit`` asks for something that we do not do."""
    with pytest.raises(BadTokenError):
        verify(forged({"alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": False}, SOUND, b"x"), WHO, KEYS, NOW)


def test_which_keys_count() -> None:
    """Secrets, keys for encryption, unknown curves and short RSA keys are passed over; others are needed."""
    short: Any = jwt.get_algorithm_by_name("RS256")
    weak = short.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(), as_dict=True)
    useless = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
        jwk("ec", use="enc"),
        jwk("ec", key_ops=["encrypt"]),
        jwk("ec", crv="P-999"),
        jwk("ec", alg="HS256"),
        jwk("rsa", alg="ES256"),
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        weak,
        "text",
    ]
    assert [key.kid for key in parse_keys({"keys": [*useless, jwk("ed")]})] == ["ed"]
    wrong: list[object] = [{"keys": useless}, {"keys": []}, {"keys": {}}, [], None, "x"]
    for document in wrong:
        with pytest.raises(DocumentError, match="keys"):
            parse_keys(document)
