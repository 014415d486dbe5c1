"""By which names our calls are known elsewhere: the invocation's id, and the version."""

import tomllib
from contextvars import copy_context
from pathlib import Path

from azure_functions_runtime import invocation_id_cv

from shared.concurrency import at_once
from shared.invocation import invocation_id
from shared.version import VERSION


def test_calls_to_business_central_are_named_after_the_invocation() -> None:
    """On whatever thread they are made; without an invocation each has an id of its own."""

    def inside() -> set[str]:
        invocation_id_cv.set("3f1c")
        return {invocation_id(), *at_once(lambda _: invocation_id(), range(4), 4)}

    assert copy_context().run(inside) == {"3f1c"}
    assert len({invocation_id(), invocation_id()}) == 2


def test_the_version_is_the_projects() -> None:
    """One place says it to code, another to packaging."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == VERSION
