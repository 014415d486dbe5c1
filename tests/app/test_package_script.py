"""`scripts/package.py`: what goes into the zip, the same every time."""

import os
import zipfile
from pathlib import Path

import pytest

from tests.support.loaded_modules import script

package = script("package")


def test_package_holds_the_app_and_nothing_else(project: Path) -> None:
    """Tests, local stack, template, papers, secrets and dotfiles stay at home."""
    files = list(package.packaged_files(project))
    assert files == ["function_app.py", "host.json", "requirements.txt", "shared/__init__.py", "shared/orders/deep.py"]
    package.check(files)


def test_same_sources_give_the_same_zip(project: Path, tmp_path: Path) -> None:
    """The package can be built again bit by bit, whenever and by whomever."""
    files = list(package.packaged_files(project))
    package.write_zip(project, files, tmp_path / "one.zip")
    for name in files:
        os.utime(project / name, (1, 1))
    package.write_zip(project, files, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == files
        assert archive.read("host.json") == b"host.json"


def test_package_that_cannot_run_or_gives_away_is_refused() -> None:
    """A missing entry point and a file that must stay at home stop the build."""
    with pytest.raises(SystemExit, match=r"missing .*function_app\.py"):
        package.check(["host.json"])
    with pytest.raises(SystemExit, match=r"tests/test_x\.py"):
        package.check([*package.REQUIRED, "tests/test_x.py"])
