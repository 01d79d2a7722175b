"""Whether a token is what it says: signature, issuer, audience, times. Pure: time and keys are arguments.

Sources: RFC 7519 (claims), RFC 8725 (what goes wrong with tokens). Signatures are PyJWT's work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt

from meshwise.contracts.access import Issuer
from meshwise.contracts.errors import MeshwiseError
from meshwise.proxy.access.keys import ALGORITHMS, Key

MAX_TOKEN_BYTES: Final = 16_384
"""Largest token that is looked at."""
MAX_TRIED: Final = 8
"""Keys tried for a token that names none."""


class BadTokenError(MeshwiseError):
    """The token proves nothing."""


class UnknownKeyError(BadTokenError):
    """It names a key that the issuer has not published as far as we know."""


def issuer_of(token: str) -> str:
    """Return the issuer that a token claims, unproved.

    Raises:
        BadTokenError: it is no token, or claims none.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise BadTokenError("the token is too long")
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadTokenError("it is no JWT") from None
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise BadTokenError("the token names no issuer")
    return issuer


def verify(token: str, issuer: Issuer, keys: Sequence[Key], now: float) -> Mapping[str, Any]:
    """Return the claims of a valid token at ``now``, Unix seconds.

    Raises:
        UnknownKeyError: its key is not among ``keys``.
        BadTokenError: anything else is wrong with it; the message says what.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadTokenError("it is no JWT") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise BadTokenError("its algorithm is not accepted")
    if "crit" in header:
        raise BadTokenError("it needs an extension that is not spoken here")
    named = [key for key in keys if kid is None or key.kid == kid]
    if not named:
        raise UnknownKeyError("its key is not known")
    fitting = [key for key in named if algorithm in key.algorithms][:MAX_TRIED]
    if not fitting:
        raise BadTokenError("its algorithm is not that of its key")
    claims = _checked(token, issuer, fitting, str(algorithm))
    _check_times(claims, issuer.leeway, now)
    return claims


def _checked(token: str, issuer: Issuer, keys: Sequence[Key], algorithm: str) -> Mapping[str, Any]:
    for key in keys:
        try:
            return jwt.decode(
                token,
                key=key.key,
                algorithms=[algorithm],
                audience=issuer.audiences,
                issuer=issuer.issuer,
                # The times are checked by the clock that we are given.
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidAudienceError:
            raise BadTokenError("it is for another audience") from None
        except jwt.InvalidIssuerError:
            raise BadTokenError("it is from another issuer") from None
        except jwt.MissingRequiredClaimError as error:
            raise BadTokenError(f"it has no {error.claim}") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise BadTokenError("it is malformed") from None
    raise BadTokenError("its signature is wrong")


def _check_times(claims: Mapping[str, Any], leeway: float, now: float) -> None:
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name)
        if value is None and name != "exp":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadTokenError(f"its {name} is not a time")
        if name == "exp" and now >= value + leeway:
            raise BadTokenError("it is over")
        if name != "exp" and now < value - leeway:
            raise BadTokenError("it does not hold yet")
