"""Names that stand in several places are the same in all of them, and nothing tracked speaks of one machine."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from shared.connections.settings_reader import DEFAULTS, read_settings

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
#: Folders and hosts of the machines a file was written on, or of where packages came from that day.
PLACES = (
    r"(?<![\w.$}<-])/root/", r"(?<![\w.$}<-])/work/", r"/opt/wheels", r"files\.pythonhosted\.org",
    r"registry\.npmjs\.org", r"pypi\.org/simple", r"[A-Z]:\\Users\\",
)  # fmt: skip


def table() -> dict[str, str]:
    """The README's settings: name -> what its default column says."""
    rows = re.findall(r"^\| `([A-Za-z_]+)` \| ([^|]*) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        name: default.strip() for name, default in rows if name in DEFAULTS or re.fullmatch(r"[A-Z]+(_[A-Z]+)+", name)
    }


def example() -> dict[str, str]:
    """The values of `local.settings.json.example`."""
    document = json.loads((ROOT / "local.settings.json.example").read_text(encoding="utf-8"))
    assert document["IsEncrypted"] is False
    values: dict[str, str] = document["Values"]
    return values


def test_the_readme_lists_exactly_the_settings_that_are_read() -> None:
    """With the default that the code has."""
    assert set(table()) == set(DEFAULTS)
    said = {name: default.strip("`") for name, default in table().items()}
    words = {None: "required", "": "unset"}
    assert said == {name: words.get(default, default) for name, default in DEFAULTS.items()}


def test_the_example_file_lists_exactly_the_settings_that_are_read() -> None:
    """A copy of it is all one needs to begin; the worker's own name stands beside them."""
    values = example()
    assert values.pop("FUNCTIONS_WORKER_RUNTIME") == "python"
    assert set(values) == set(DEFAULTS)
    given = {name: value for name, value in values.items() if DEFAULTS[name] not in {None, ""} and name != "PUBLIC_URL"}
    assert given == {name: DEFAULTS[name] for name in given}


def test_the_example_file_is_a_valid_set() -> None:
    """It differs from a real one in its values only."""
    assert read_settings(example()).environment == "production"


def test_the_example_file_holds_no_secret() -> None:
    """Nobody commits a copy with one in it because the example had one."""
    assert not re.search(r"AccountKey=|sig=|client_secret|eyJ", json.dumps(example()))
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "local.settings.json" in ignored


def tracked() -> list[Path]:
    """The files that Git knows."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a Git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_speaks_of_one_machine() -> None:
    """No folder of a developer's machine and no host that packages were fetched from."""
    pattern = re.compile("|".join(PLACES))
    found = []
    for path in tracked():
        if path == Path(__file__).resolve() or path.suffix in {".png", ".jpg", ".ico", ".zip"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_the_changelog_keeps_its_form() -> None:
    """Keep a Changelog: a title, then versions, the unreleased one first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[?([^\]\n ]+)\]?", text, re.MULTILINE)
    assert text.startswith("# Changelog")
    assert versions
    assert all(version == "Unreleased" or re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    assert "Unreleased" not in versions[1:]
