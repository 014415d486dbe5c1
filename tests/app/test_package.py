"""The zip as it is deployed: only its own requirements installed, no setting set, and everything is there."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import uv

from tests.app.test_wiring import WIRING
from tests.support.loaded_modules import script

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements.txt"
#: The customer fixed six; the seventh is azure-storage-blob, an eighth needs a measured reason in the README, too.
DIRECT = {
    "azure-functions", "msal", "requests", "azure-data-tables", "azure-keyvault-secrets", "azure-identity",
    "azure-storage-blob",
}  # fmt: skip
IMPORT = (
    "import json, sys, function_app\n"
    "names = [function.get_function_name() for function in function_app.app.get_functions()]\n"
    "import shared.services, shared.triggers, shared.storage.azure_tables, shared.storage.key_vault\n"
    "import shared.login.msal_app\n"
    "from azure.identity import ManagedIdentityCredential\n"
    "ours = {n.split('.')[0] for n in sys.modules} & {'tests', 'local', 'scripts', 'bench', 'pytest', 'aiohttp'}\n"
    "print(json.dumps([sorted(names), sorted(ours)]))\n"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip of this checkout."""
    made = script("package")
    target = Path(tmp_path_factory.mktemp("package")) / "app.zip"
    files = list(made.packaged_files(ROOT))
    made.check(files)
    made.write_zip(ROOT, files, target)
    return target


def test_the_zip_holds_the_app_and_nothing_of_the_workshop(package: Path) -> None:
    """No test, no local stack, no template, no document, no secret file, no cache."""
    names = zipfile.ZipFile(package).namelist()
    assert {name for name in names if "/" not in name} == {"function_app.py", "host.json", "requirements.txt"}
    assert {name.split("/")[0] for name in names if "/" in name} == {"shared"}
    assert all(name.endswith(".py") for name in names if name.startswith("shared/"))
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "shared").rglob("*.py")}
    assert sources <= set(names)


def test_the_zip_is_small() -> None:
    """Our own code, without its dependencies, loads in no time."""
    assert sum(path.stat().st_size for path in (ROOT / "shared").rglob("*.py")) < 1_200_000


def test_the_direct_requirements_are_the_seven(package: Path) -> None:
    """And every installed version is locked with a digest."""
    direct = {
        line.partition("=")[0].partition(">")[0].partition("~")[0].partition("<")[0].strip()
        for line in (ROOT / "requirements" / "runtime.in").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    }
    assert direct == DIRECT
    locked = zipfile.ZipFile(package).read("requirements.txt").decode()
    pins = [line for line in locked.splitlines() if line and not line.startswith((" ", "#"))]
    assert all("==" in pin for pin in pins)
    assert locked.count("--hash=sha256:") >= len(pins)
    assert {pin.partition("==")[0] for pin in pins} >= DIRECT


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with `requirements.txt` installed and nothing else; what `make setup` took is in uv's cache."""
    folder = Path(tmp_path_factory.mktemp("clean")) / "venv"
    python = folder / "bin" / "python"
    for command in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "sync", "--require-hashes", "--python", str(python), str(REQUIREMENTS)],
    ):
        done = subprocess.run([uv.find_uv_bin(), *command], capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
    return python


def test_the_package_runs_on_its_own_requirements(package: Path, clean_python: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, in a clean environment without a setting: imported, indexed, nothing of ours beside it."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    env = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [str(clean_python), "-W", "error", "-c", IMPORT],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    names, foreign = json.loads(done.stdout)
    assert names == sorted(WIRING)
    assert foreign == []
