import base64
import hashlib
import hmac

import pytest

from meshwise.analytics.alerts.signature import decode_secret, signature_headers

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class TestSignatureHeaders:
    def test_a_receiver_can_verify_it(self) -> None:
        """The signature is the HMAC-SHA256 over id, timestamp and body, joined by dots, in base64."""
        headers = signature_headers("msg_1", b'{"a":1}', [SECRET], 1_772_452_800)
        expected = hmac.new(KEY, b'msg_1.1772452800.{"a":1}', hashlib.sha256).digest()
        assert headers["webhook-id"] == "msg_1"
        assert headers["webhook-timestamp"] == "1772452800"
        version, _, signature = headers["webhook-signature"].partition(",")
        assert (version, base64.b64decode(signature)) == ("v1", expected)

    def test_example_of_the_specification(self) -> None:
        """The published example of Standard Webhooks comes out as published."""
        headers = signature_headers(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            b'{"test": 2432232314}',
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            1_614_265_330,
        )
        assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_both_secrets_sign_during_a_rotation(self) -> None:
        """With two secrets there are two signatures, so that a receiver may know either."""
        other = "whsec_" + base64.b64encode(b"o" * 24).decode()
        signatures = signature_headers("m", b"", [SECRET, other], 1)["webhook-signature"].split(" ")
        assert len(set(signatures)) == 2

    def test_without_a_secret_nothing_is_signed(self) -> None:
        """Without a secret there is an id to tell repeats by, and no signature."""
        assert set(signature_headers("m", b"", [], 1)) == {"webhook-id", "webhook-timestamp"}


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "abc", "whsec_!!!!", "whsec_" + base64.b64encode(b"x" * 23).decode(), SECRET[6:]]
)
def test_bad_secrets_are_refused_without_repeating_them(secret: str) -> None:
    """A secret that is too short or not in form is refused, and the message does not leak it."""
    with pytest.raises(ValueError, match="whsec_") as caught:
        decode_secret(secret)
    assert not secret or secret == "whsec_" or secret not in str(caught.value)
