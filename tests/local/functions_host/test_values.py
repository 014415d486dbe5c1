"""Values on their way: output splitting, expressions, responses, keys, and the worker library's own contract."""

import inspect
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure_functions_runtime import native_invocation

from local.functions_host import json_net
from local.functions_host.errors import HostError
from local.functions_host.expressions import BindingData, fill_expressions
from local.functions_host.functions import Output
from local.functions_host.keys import Keys, read_keys
from local.functions_host.outputs import blob_body, planned_writes, queue_bodies
from local.functions_host.responses import set_cookie_headers, to_response
from local.functions_host.storage import decode_text, encode_text
from local.functions_host.values import Cookie, bytes_value, json_value, text_value
from local.functions_host.worker_channel import check_runtime_version


def test_worker_library_is_the_pinned_one() -> None:
    """The native path is not exported by the package; a new version must be looked at before it is used."""
    check_runtime_version()
    assert list(inspect.signature(native_invocation.invocation_request_native).parameters) == [
        "invocation_id", "function_id", "inputs", "trigger_metadata", "trace_parent", "trace_state",
        "retry_count", "max_retry_count", "retry_exception",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "bodies"),
    [
        ("plain", ["plain"]),
        ("", [""]),
        ('["a", "b"]', ["a", "b"]),
        ("[]", []),
        (' [1, true, null, 1.5, "x"] ', ["1", "True", "", "1.5", "x"]),
        ('[{"a": [1, {}]}]', ['{\n  "a": [\n    1,\n    {}\n  ]\n}']),
        ('{"a":"é"}', ['{\n  "a": "é"\n}']),
        ("[unclosed", ["[unclosed"]),
        ("{'a': 1.10}", ['{\n  "a": 1.1\n}']),
    ],
)
def test_text_becomes_messages(text: str, bodies: list[str]) -> None:
    """Text that is a JSON array is one message per element, an object is indented, other text stays."""
    assert queue_bodies(text_value(text)) == [body.encode() for body in bodies]


def test_bytes_stay_untouched() -> None:
    """Bytes are one message whatever they look like."""
    assert queue_bodies(bytes_value(b"[1, 2]")) == [b"[1, 2]"]


def test_list_becomes_messages() -> None:
    """A list arrives as a JSON array, and its strings are not parsed again."""
    assert queue_bodies(json_value(["[1]", "{x", ""])) == [b"[1]", b"{x", b""]


def test_text_that_only_looks_like_json_fails() -> None:
    """Text in brackets that is not JSON fails the output, as it does on the real host."""
    with pytest.raises(ValueError):
        queue_bodies(text_value("[not json]"))


def test_blob_bodies_and_paths() -> None:
    """A blob is bytes or text and needs container and name."""
    assert blob_body(bytes_value(b"\x00")) == b"\x00"
    assert blob_body(text_value("é")) == b"\xc3\xa9"
    data = BindingData({"id": "7"})
    (write,) = planned_writes("f", Output("blob", "o", "c/a/{id}.txt", ""), text_value("x"), data)
    assert write.target == "c/a/7.txt"
    with pytest.raises(ValueError, match="container/name"):
        planned_writes("f", Output("blob", "o", "alone", ""), text_value("x"), data)


def test_message_texts() -> None:
    """Bodies are base64 in a message unless the encoding is none; damaged base64 is refused."""
    assert decode_text(encode_text(b"\xff", "base64"), "base64") == b"\xff"
    assert encode_text(b"raw", "none") == "raw"
    assert decode_text("aGk=\n", "base64") == b"hi"
    for damaged in ("aGk", "!!!!", "plain text"):
        with pytest.raises(ValueError):
            decode_text(damaged, "base64")


def test_expressions() -> None:
    """Fields match whatever their case, members by a dot; GUIDs and dates are made up."""
    data = BindingData({"Id": "7"})
    data.add_json_body(
        '{"Customer": {"Name": "Ann"}, "count": 3, "open": true, "price": 1.50, "tags": [1], "no": null}'
    )
    now = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)

    def fill(template: str) -> str:
        return fill_expressions(template, data, function="f", now=now)

    assert fill("a/{ID}-{count}-{open}-{price}") == "a/7-3-True-1.5"
    assert fill("{customer.name}/{sys.methodname}") == "Ann/f"
    assert fill("{customer}") == ""  # recorded: an object has no text of its own
    assert fill("{datetime}") == "2024-02-03T04-05-06Z"
    assert fill("{DateTime:yyyy/MM/dd}") == "2024/02/03"
    assert len(fill("{rand-guid}")) == 36
    assert len(fill("{rand-guid:N}")) == 32
    for wrong in ("{tags}", "{no}", "{other}", "{customer.age}", "{id", "id}", "{rand-guid:X}"):
        with pytest.raises(ValueError):
            fill(wrong)


def test_body_fields_hide_metadata() -> None:
    """A body field with the name of a metadata field wins and keeps the metadata's spelling (worker issue 1373)."""
    data = BindingData({"Id": "message id"})
    data.add_json_body('{"ID": "body id"}')
    data.add_json_body("[1]")
    data.add_json_body("{broken}")
    assert data.items() == [("Id", "body id")]


def test_text_responses() -> None:
    """Text is parsed: quotes vanish, JSON is indented, an object with a body describes the answer."""
    assert to_response(text_value("a b")).body == b"a b"
    assert to_response(text_value('"quoted"')).body == b"quoted"
    assert to_response(text_value('{"a":1}')).body == b'{\n  "a": 1\n}'
    described = to_response(text_value('{"statusCode": 404, "headers": {"X-A": "1"}, "body": {"b": 2}}'))
    assert (described.status, dict(described.headers)["X-A"], described.body) == (404, "1", b'{"b":2}')
    assert to_response(None).status == 200
    with pytest.raises(ValueError):
        to_response(json_value([1]))


def test_a_described_answer_has_its_headers_passed_raw() -> None:
    """A cookie without a domain leaves without one only when a function answers a text of JSON that describes it."""
    cookie = "__Host-a=1.x_y; Path=/; Secure; HttpOnly"
    text = json.dumps({"status": 303, "headers": {"Set-Cookie": cookie, "Location": "/x"}, "body": ""})
    answer = to_response(text_value(text))
    assert (answer.status, dict(answer.headers)["Set-Cookie"]) == (303, cookie)
    (header,) = set_cookie_headers([COOKIE])
    assert header == "a=x%20y%3Bz; domain=; path=; secure"


COOKIE = Cookie(name="a", value="x y;z", domain="", path="", max_age="", secure=True, http_only=False, same_site="")


def test_json_net() -> None:
    """Json.NET's reading and writing: what it takes for JSON, where it stops, how numbers and times come out."""
    assert json_net.read("{'a': [1, /* c */ 2,], b: NaN}") == {
        "a": [1, 2],
        "b": pytest.approx(float("nan"), nan_ok=True),
    }
    for text, shown in [
        ("1.0", "1"), ("1e5", "100000"), ("0.1e-7", "1E-08"), ("1e15", "1E+15"), ("123456789.5", "123456789.5"),
        ("0.00012", "0.00012"), ("1.5e-5", "1.5E-05"), ("-0.0", "-0"), ("true", "True"), ("null", ""),
        ('"2026-01-01T10:00:00+02:00"', "01/01/2026 08:00:00"), ('"2026-01-01"', "2026-01-01"),
    ]:  # fmt: skip
        assert json_net.as_text(json_net.read(text)) == shown, text
    assert json_net.write(json_net.read("[1.0, 1e20]"), indent=False) == "[1.0,1E+20]"
    assert json_net.read("[" * 64 + "]" * 64)
    for wrong in ("[" * 65 + "]" * 65, "", "{", "[1 2]", '{"a"}', "word", "1 2", '"\\x"'):
        with pytest.raises(ValueError):
            json_net.read(wrong)


def test_keys(tmp_path: Path) -> None:
    """A function key opens its function, a host key every function, the master key all; none opens more."""
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"master": "m", "host": {"default": "h"}, "functions": {"One": {"default": "f"}}}))
    keys = read_keys(file, {})
    assert keys.allows("ANONYMOUS", "one", None)
    assert [keys.allows("FUNCTION", "one", key) for key in ("f", "h", "m", "x", "", None)] == [True] * 3 + [False] * 3
    assert not keys.allows("FUNCTION", "two", "f")
    assert [keys.allows("ADMIN", "one", key) for key in ("f", "h", "m")] == [False, False, True]
    assert repr(keys) == "Keys()"
    assert read_keys(None, {"LOCAL_HOST_MASTER_KEY": "m", "LOCAL_HOST_FUNCTION_KEY": "h"}) == Keys("m", ("h",))
    for content in ("{}", "[]", '{"master": ""}', '{"master": 1}'):
        file.write_text(content)
        with pytest.raises(HostError, match="keys file"):
            read_keys(file, {})
    with pytest.raises(HostError, match="LOCAL_HOST_MASTER_KEY"):
        read_keys(None, {})
