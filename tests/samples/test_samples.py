"""All samples: short, standing alone, and left out of the deployed package."""

import ast
from pathlib import Path

import pytest

from tests.support.loaded_modules import SAMPLES

FILES = sorted(SAMPLES.rglob("*.py"))
README = SAMPLES.parent / "README.md"


def test_the_samples_are_all_there_and_the_readme_links_each() -> None:
    """What a consumer looks for, one click away."""
    folders = {path.parent.name for path in FILES}
    assert folders == {"read_events", "upsert", "send_order", "webhook_receiver"}
    text = README.read_text(encoding="utf-8")
    assert all(f"](samples/{folder})" in text for folder in folders)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sample_is_short_and_stands_alone(path: Path) -> None:
    """Fewer than 100 lines, a docstring that says what it does, and no import of ours."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") < 100
    assert ast.get_docstring(tree)
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in names if name.split(".")[0] in {"shared", "local", "tests", "scripts"}]
