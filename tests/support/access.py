"""An issuer's keys, tokens that are valid now, and access files, for tests."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from support.http_stub import Call, Reply
from support.tokens import AUDIENCE, ISSUER, jwks, token


def now_token(key: str = "ec", **claims: Any) -> str:
    """A token that is valid now."""
    return token(key, now=time.time(), **claims)


class Keys:
    """The issuer's answer for its keys; ``names`` may be changed at any time."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.fetches = 0

    def __call__(self, _: Call) -> Reply:
        """Answer one fetch."""
        self.fetches += 1
        return Reply(body=json.dumps(jwks(*self.names)).encode()) if self.names else Reply(status=500)


def access_file(directory: Path, jwks_url: str = "", **document: Any) -> Path:
    """A file with access document; an issuer when its keys' address is given."""
    if jwks_url:
        document["jwt"] = [{"issuer": ISSUER, "audiences": [AUDIENCE], "jwks_url": jwks_url, "leeway": "1s"}]
    file = directory / "access.json"
    file.write_text(json.dumps(document))
    return file


def bearer(said: str) -> str:
    """A token as a field."""
    return f"Authorization: Bearer {said}"
