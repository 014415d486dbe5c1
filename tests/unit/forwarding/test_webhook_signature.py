"""Signatures as the library of Standard Webhooks verifies them."""

import base64
import json
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.forwarding.webhook_signature import keys_of, sign

OLD = "whsec_" + base64.b64encode(b"the key that receivers still have").decode()
NEW = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = '{"id":"1","data":{"displayName":"Straße €","unitPrice":129.50}}'.encode()


def headers(secret: str, body: bytes = BODY, webhook_id: str = "0f3c5ab0") -> dict[str, str]:
    """The headers of one attempt."""
    at_s = int(datetime.now(UTC).timestamp())
    signature = sign(keys_of(secret), webhook_id, at_s, body)
    return {"webhook-id": webhook_id, "webhook-timestamp": str(at_s), "webhook-signature": signature}


def test_the_library_of_the_standard_takes_a_signature() -> None:
    assert Webhook(NEW).verify(BODY, headers(NEW)) == json.loads(BODY)


def test_while_a_secret_is_rotated_receivers_with_either_key_go_on() -> None:
    """Two keys, two signatures with a blank between them."""
    sent = headers(f"{NEW} {OLD}")
    assert sent["webhook-signature"].count(" ") == 1
    for secret in (NEW, OLD):
        assert Webhook(secret).verify(BODY, sent) == json.loads(BODY)


@pytest.mark.parametrize("spoilt", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_whatever_is_changed_on_the_way_is_refused(spoilt: str) -> None:
    """Id, time and body are signed."""
    sent = headers(NEW)
    secret = OLD if spoilt == "secret" else NEW
    body = BODY + b" " if spoilt == "body" else BODY
    if spoilt in sent:
        sent[spoilt] += "1" if spoilt == "webhook-id" else ""
        sent[spoilt] = str(int(sent[spoilt]) - 1) if spoilt == "webhook-timestamp" else sent[spoilt]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, sent)


def test_the_example_of_the_specification() -> None:
    """Key and digest of standard-webhooks 1.0.0's test vector: id, time and body joined by dots."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = sign(keys_of(secret), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "secret",
    ["", "  ", "whsec_", "whsec_###", "whsec_" + base64.b64encode(b"x" * 23).decode(), f"{NEW} {OLD} {NEW}",
     "whsec_" + base64.b64encode(b"x" * 65).decode(), "päss"],
)  # fmt: skip
def test_a_secret_that_is_no_key_is_refused_with_its_rule(secret: str) -> None:
    """24 to 64 bytes, and nothing of the value in the text."""
    with pytest.raises(ValueError, match="whsec_ and the base64 of 24 to 64 bytes") as caught:
        keys_of(secret)
    assert "###" not in str(caught.value)


@pytest.mark.parametrize(("length", "is_one"), [(23, False), (24, True), (64, True), (65, False)])
def test_a_key_has_24_to_64_bytes(length: int, is_one: bool) -> None:
    """As Standard Webhooks says."""
    secret = "whsec_" + base64.b64encode(b"k" * length).decode()
    if is_one:
        assert keys_of(secret) == (b"k" * length,)
    else:
        with pytest.raises(ValueError):
            keys_of(secret)


def test_a_key_with_a_stray_character_is_none() -> None:
    """It was spoilt on the way, and would sign with another key."""
    with pytest.raises(ValueError):
        keys_of("whsec_!" + base64.b64encode(b"k" * 24).decode())
