from __future__ import annotations

import base64
import hashlib
import hmac

from meshwise.cli.demo.receiver import Receiver, is_signed

BODY = b'{"status":"firing","alerts":[]}'


def headers(secret: str, stamp: int, body: bytes = BODY) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(stamp), "Webhook-Signature": f"v1,bm9wZQ== {signature}"}


def test_a_signed_delivery_is_kept() -> None:
    """A fresh signature over id, time and body is accepted, beside an older one too."""
    receiver = Receiver(0)
    assert receiver.take(BODY, headers(receiver.secret, 1000), now=1010.0) == 204
    (delivery,) = receiver.deliveries
    assert (delivery.id, delivery.signed, delivery.document["status"]) == ("msg_1", True, "firing")


def test_a_wrong_signature_is_seen() -> None:
    """An altered body, another secret, an old or missing timestamp are answered 401 and marked."""
    receiver = Receiver(0)
    good = headers(receiver.secret, 1000)
    assert receiver.take(BODY + b" ", good, now=1000.0) == 401
    assert receiver.take(BODY, headers("whsec_" + base64.b64encode(b"x" * 24).decode(), 1000), now=1000.0) == 401
    assert receiver.take(BODY, good, now=1301.0) == 401
    assert receiver.take(BODY, {}, now=1000.0) == 401
    assert not any(delivery.signed for delivery in receiver.deliveries)
    assert not is_signed(BODY, {"webhook-timestamp": "-1"}, receiver.secret, 0.0)


def test_what_is_not_json_is_refused() -> None:
    """A body that is no document is answered 400 and not kept."""
    receiver = Receiver(0)
    assert receiver.take(b"nope", headers(receiver.secret, 1000, b"nope"), now=1000.0) == 400
    assert receiver.deliveries == ()
