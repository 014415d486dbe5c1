"""Advice by kind: a person signs in, or the registration is mended; a code that nobody listed is of one kind, too."""

import pytest

from shared.login.entra_codes import advice, entra_code
from shared.login.msal_app import refusal

#: Errors as the token endpoint words them, and whether the connect page's button helps.
REFUSALS = [
    ("invalid_grant", "AADSTS500133: Assertion is not within its valid time range.", True),
    ("invalid_grant", "AADSTS50089: Flow token expired.", True),
    ("interaction_required", "AADSTS50158: External security challenge not satisfied.", True),
    ("consent_required", "AADSTS90094: Admin consent is required.", True),
    ("access_denied", "AADSTS65004: User declined to consent to access the app.", True),
    ("invalid_client", "AADSTS7000218: The request body must contain client_assertion or client_secret.", False),
    ("invalid_client", "AADSTS700027: The certificate is not registered on application.", False),
    ("invalid_client", "AADSTS7000229: The client application is missing service principal in the tenant.", False),
    ("unauthorized_client", "AADSTS7000112: Application is disabled.", False),
    ("unauthorized_client", "AADSTS700051: response_type is not enabled for the application.", False),
    ("invalid_resource", "AADSTS500011: The resource principal was not found in the tenant.", False),
    ("invalid_request", "AADSTS900144: The request body must contain the following parameter.", False),
    ("invalid_scope", "AADSTS70011: The provided value for the input parameter scope is not valid.", False),
    ("unsupported_grant_type", "", False),
    ("no_person_needed", "", False),
]


@pytest.mark.parametrize(("error", "described", "by_signing_in"), REFUSALS)
def test_an_unlisted_code_is_advised_on_by_its_kind(error: str, described: str, by_signing_in: bool) -> None:
    """Nobody is sent to the connect page for what only the registration can mend."""
    refused = refusal({"error": error, "error_description": described})
    found = advice(entra_code(refused), str(refused))
    assert found.by_signing_in == by_signing_in
    assert ("Press Connect" in found.do) == by_signing_in
    assert found.problem == str(refused)


def test_a_code_leads_to_entras_own_words() -> None:
    """Where there is a number, its explanation is one click away."""
    assert advice("AADSTS7000112", "unauthorized_client: x").do.endswith("error?code=7000112.")
    assert "error?code" not in advice("unsupported_grant_type", "").do


@pytest.mark.parametrize(
    ("code", "by_signing_in"),
    [
        ("login_required", True), ("signed_out", True), ("AADSTS50173", True), ("AADSTS50076", True),
        ("AADSTS50078", True), ("AADSTS50079", True), ("AADSTS700082", True), ("AADSTS70008", True),
        ("AADSTS50057", False), ("AADSTS53003", False), ("AADSTS65001", False), ("AADSTS7000215", False),
        ("AADSTS7000222", False), ("invalid_client", False), ("client_secret_missing", False),
        ("AADSTS700016", False), ("AADSTS90002", False), ("AADSTS50011", False), ("AADSTS700213", False),
        ("managed_identity_missing", False),
    ],
)  # fmt: skip
def test_a_listed_code_is_mended_by_the_button_that_its_advice_names(code: str, by_signing_in: bool) -> None:
    """The connect page's where a person signs in, nobody's where a setting or the registration is wrong."""
    found = advice(code, "invalid_grant: as Entra says")
    assert found.by_signing_in == by_signing_in
    assert ("Press Connect" in found.do) == by_signing_in
    assert "as Entra says" not in found.problem
