"""What the tests of the package and of the deploy script begin with."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with the real `.funcignore`."""
    files = [
        "function_app.py", "host.json", "requirements.txt", "shared/__init__.py", "shared/orders/deep.py",
        "shared/__pycache__/x.pyc", "tests/test_x.py", "local/host.py", "infra/main.bicep", "docs/a.md", "README.md",
        ".github/workflows/ci.yml", ".env", "local.settings.json", "node_modules/a/index.js", "scripts/x.sh",
        ".git/config", "requirements/runtime.in", "requirements-dev.txt", "pyproject.toml", "dist/app.zip",
    ]  # fmt: skip
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    shutil.copy(ROOT / ".funcignore", tmp_path / ".funcignore")
    return tmp_path
