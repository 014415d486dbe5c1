"""The workflows: pinned actions, rights by job, nothing deployed that was not tested and shown."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs_of(path: Path) -> dict[str, str]:
    """Return job -> its text."""
    parts = re.split(r"(?m)^  ([\w-]+):\n", path.read_text(encoding="utf-8").partition("\njobs:\n")[2])
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_rights_are_given_by_job(path: Path) -> None:
    """A moved tag cannot change what runs, and a job has the rights that it names and no others."""
    source = path.read_text(encoding="utf-8")
    uses = [action for action in re.findall(r"uses: (.+)", source) if action != "./.github/workflows/ci.yml"]
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert re.search(r"(?m)^permissions: \{\}$", source)
    for name, job in jobs_of(path).items():
        assert job.count("    permissions:\n") == 1, name
        assert "    timeout-minutes: " in job or "uses: ./.github/workflows/ci.yml" in job, name
    assert source.count("actions/checkout@") == source.count("persist-credentials: false")
    assert "secrets." not in source


def test_the_same_tools_are_used_everywhere_in_one_version() -> None:
    """What was checked with one compiler is not deployed with another."""
    source = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    assert source.count("az bicep install") == source.count("az bicep install --version v0.49.2") == 3
    assert re.search(r"npm install --global azure-functions-core-tools@\d+\.\d+\.\d+\n", source)


def test_workflows_run_the_scripts_that_a_person_runs() -> None:
    """CI has no way of its own: make targets and scripts/deploy.sh only."""
    text = {path.stem: path.read_text(encoding="utf-8") for path in WORKFLOWS}
    assert set(text) == {"ci", "deploy"}
    assert {"make setup", "make test", "make package"} <= set(re.findall(r"- run: (.+)", text["ci"]))
    assert re.findall(r"(?m)run: (scripts/deploy.sh .+?)(?: \|.*)?$", text["deploy"]) == [
        'scripts/deploy.sh --dry-run --params "$PARAMETERS"',
        'scripts/deploy.sh --params "$PARAMETERS" --package dist/app.zip',
    ]
    assert "pull_request" in text["ci"]
    assert "id-token: write" not in text["ci"]


def test_nothing_is_deployed_before_it_is_tested_and_shown() -> None:
    """The checks come first, then the what-if, then the deployment; only the last two may log in, each as itself."""
    ci, deploy = (next(path for path in WORKFLOWS if path.stem == stem) for stem in ("ci", "deploy"))
    jobs = jobs_of(deploy)
    assert list(jobs) == ["ci", "what-if", "deploy"]
    assert "uses: ./.github/workflows/ci.yml" in jobs["ci"]
    assert "  workflow_call:\n" in ci.read_text(encoding="utf-8")
    assert "    needs: ci\n" in jobs["what-if"]
    assert "    needs: what-if\n" in jobs["deploy"]
    assert [name for name, job in jobs.items() if "id-token: write" in job] == ["what-if", "deploy"]
    assert "    environment: plan\n" in jobs["what-if"]
    assert "    environment: production\n" in jobs["deploy"]
    assert 'tee -a "$GITHUB_STEP_SUMMARY"' in jobs["what-if"]
    assert "shell: bash" in jobs["what-if"], "the default shell would hide a failed what-if behind tee"


def test_the_pipeline_deploys_the_parameter_file_of_its_environment() -> None:
    """No parameter comes from the workflow: a default there would undo what the file chose (network, replication)."""
    source = next(path for path in WORKFLOWS if path.stem == "deploy").read_text(encoding="utf-8")
    (environment,) = re.findall(r"(?ms)^env:\n(.*?)\n\n", source)
    assert environment == "  PARAMETERS: infra/${{ vars.AZURE_ENV_NAME || 'prod' }}.bicepparam"
    assert "BC_" not in source


def test_pinned_actions_are_kept_fresh() -> None:
    """A pinned commit gets its security fixes by Dependabot."""
    source = (ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8")
    assert "package-ecosystem: github-actions" in source
    assert "directory: /" in source
