"""A setting whose name is misspelt has no effect, and nobody would know: it is named, with the nearest right one."""

import json
from pathlib import Path

import pytest

from shared.connections.settings_reader import DEFAULTS
from shared.operations.setting_doubts import setting_doubts

EXAMPLE = json.loads((Path(__file__).resolve().parents[3] / "local.settings.json.example").read_text())["Values"]


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("BC_PULL_ITEM_VARIANT", "BC_PULL_ITEM_VARIANTS"),
        ("BC_TENANT", "BC_TENANT_ID"),
        ("BC_COMPANY", "BC_COMPANIES"),
        ("KEYVAULT_URL", "KEY_VAULT_URL"),
        ("PUBLIC_URI", "PUBLIC_URL"),
        ("EU__BC_ENVIROMENT", "EU__BC_ENVIRONMENT"),
        ("bc_environment", "BC_ENVIRONMENT"),
    ],
)
def test_a_misspelt_name_is_told_with_the_nearest_right_one(name: str, guess: str) -> None:
    """Also behind the prefix of a connection."""
    (found,) = setting_doubts({name: "x"})
    assert found.code == "setting_unknown"
    assert f"{name} (perhaps {guess})" in found.seen


def test_a_name_like_none_of_ours_is_told_without_a_guess() -> None:
    """Ours begin with BC_."""
    (found,) = setting_doubts({"BC_ZZZZZZZZ": "x"})
    assert found.seen == "No setting of this app: BC_ZZZZZZZZ."


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "WEBSITE_HOSTNAME", "PATH", "AzureWebJobsStorage__clientId"])
def test_what_is_not_ours_is_left_alone(name: str) -> None:
    """The platform has dozens of its own."""
    assert setting_doubts({**dict.fromkeys(DEFAULTS, "x"), name: "x"}) == []


def test_every_placeholder_of_the_example_is_found() -> None:
    """Whoever starts with a copy of it and forgets one is told which."""
    (found,) = setting_doubts(EXAMPLE)
    assert (found.code, found.seen) == (
        "setting_placeholder", "Still as in the example file: BC_CLIENT_ID, KEY_VAULT_URL, PUBLIC_URL."
    )  # fmt: skip
    real = {"BC_CLIENT_ID": "6ff7e2f1-1f4d-4a0e-8a86-52b6f1e4a2aa", "KEY_VAULT_URL": "https://v.vault.azure.net"}
    assert setting_doubts({**EXAMPLE, **real, "PUBLIC_URL": "https://connect.contoso.com"}) == []
