"""samples/requests.http: every route is in it, and every request answers what its title says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local.stack.demo import Demo
from local.stack.stack import Stack
from tests.app.test_wiring import WIRING
from tests.support.http_file import Written, requests_of

FILE = Path(__file__).resolve().parents[2] / "samples" / "requests.http"


def written(base: str) -> list[Written]:
    """The requests, sent to an address."""
    return list(requests_of(FILE.read_text(encoding="utf-8"), {"base": base, "functionKey": "none-is-asked-for-here"}))


def test_every_route_is_in_the_file() -> None:
    """With a method that it takes; a route's parameters may be anything."""
    asked = [(each.method, each.url.partition("?")[0].removeprefix("/api/")) for each in written("")]
    for trigger, _ in WIRING.values():
        if trigger[0] != "httpTrigger":
            continue
        _, route, methods, _ = trigger
        pattern = re.sub(r"/\{\w+\?\}", r"(/[^/]+)?", re.sub(r"\{\*\w+\}", ".+", str(route)))
        pattern = re.sub(r"\{\w+\}", "[^/]+", pattern)
        assert isinstance(methods, tuple)
        assert [path for method, path in asked if method in methods and re.fullmatch(pattern, path)], route


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack where somebody has signed in and nothing else has happened."""
    with Stack(tmp_path_factory.mktemp("stack"), host="embedded") as running:
        Demo(running, say=lambda _: None).log_in()
        yield running


@pytest.mark.e2e
def test_every_request_answers_what_its_title_says(stack: Stack) -> None:
    """On the real app; a redirect is an answer, too."""
    answers = [
        (each.title, requests.request(
            each.method, each.url, headers=each.headers, data=each.body.encode(), verify=str(stack.ca_file),
            allow_redirects=False, timeout=60,
        ).status_code)
        for each in written(stack.public_url)
    ]  # fmt: skip
    assert answers == [(each.title, each.status) for each in written("")]
    assert len(answers) > 15
