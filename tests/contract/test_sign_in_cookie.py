"""The sign-in cookie leaves as it was written: what the worker library does with headers and cookies, and with a text.

Microsoft's library is asked, not ours: when one of these fails after an upgrade, `Reply.to_text` may be simplified, or
must be mended. Facts: measured on the Functions host 4.1037 with this library.
"""

import json
from datetime import UTC, datetime

import azure.functions as func
from azure.functions.http import HttpResponseConverter

from local.functions_host.responses import to_response
from local.functions_host.values import Value
from shared.operations.connect_values import Reply, see_other
from shared.operations.page_session import new_session, set_cookie

COOKIE = set_cookie(new_session(b"key", nonce="a" * 32, now=datetime(2026, 3, 4, tzinfo=UTC)))


def test_a_response_object_has_its_cookie_taken_apart() -> None:
    """The reason for the text: the library parses Set-Cookie, and an absent Domain becomes an empty one."""
    response = func.HttpResponse("", headers={"Set-Cookie": COOKIE})
    datum = HttpResponseConverter.encode(response, expected_type=None)
    assert "Set-Cookie" not in datum.value["headers"]
    (parsed,) = datum.value["cookies"]
    (morsel,) = parsed.values()
    assert morsel["domain"] == ""


def test_a_text_is_passed_on_as_it_is() -> None:
    """The library looks into no text, so the host is given exactly what we wrote."""
    text = see_other("/api/connect/start", cookie=COOKIE).to_text("https://app.example/api/connect")
    datum = HttpResponseConverter.encode(text, expected_type=None)
    assert (datum.type, datum.value) == ("string", text)
    assert HttpResponseConverter.check_output_type_annotation(str)


def test_the_text_is_what_the_host_makes_a_response_of() -> None:
    """`body` must be there, also when it is empty; headers and status stand beside it."""
    reply = json.loads(see_other("/api/connect/start", cookie=COOKIE).to_text("https://app.example/"))
    assert (reply["status"], reply["body"]) == (303, "")
    assert reply["headers"]["Set-Cookie"] == COOKIE
    assert "Domain" not in COOKIE


def test_the_embedded_host_passes_it_raw() -> None:
    """As the real one: one Set-Cookie, byte for byte, and the page as HTML."""
    text = Reply(status=200, body="<p>caf\u00e9", cookie=COOKIE).to_text("https://app.example/")
    response = to_response(Value("string", text))
    assert [text for name, text in response.headers if name.lower() == "set-cookie"] == [COOKIE]
    assert dict(response.headers)["Content-Type"] == "text/html; charset=utf-8"
    assert (response.status, response.body) == (200, "<p>caf\u00e9".encode())
