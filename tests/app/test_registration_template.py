"""The registration in Entra ID: permissions of its mode, consent, and names that the resources agree on."""

import re
from pathlib import Path

from tests.app import bicep_reading as bicep
from tests.app.bicep_reading import ALL_TEXT, MAIN, REGISTRATION, declared

#: Permissions of Dynamics 365 Business Central in Entra ID.
BC_PERMISSIONS = {
    "user_impersonation": "bce0976a-cb0b-473b-8800-84eda9f8e447",
    "Financials.ReadWrite.All": "2fb13c28-9d89-417f-9af2-ec3065bc16e6",
    "API.ReadWrite.All": "a42b0b75-311e-488d-b67e-8fe84f924341",
}


ENTRA = bicep.INFRA / "modules" / "entra.bicep"


def test_business_central_permissions_have_their_ids() -> None:
    """The registration asks for Business Central's permissions and for no others."""
    found = dict(re.findall(r"(?m)^\s+'?([\w.]+)'?: '([0-9a-f-]{36})'$", ALL_TEXT[ENTRA]))
    assert found == BC_PERMISSIONS
    for path in (ENTRA, bicep.INFRA / "modules" / "consent.bicep"):
        assert "var businessCentralAppId = '996def3d-b36c-4153-8607-a6fd3c01b89f'" in ALL_TEXT[path]


def test_the_registration_gets_the_permissions_of_its_mode_only() -> None:
    """Delegated ones and a redirect URI where a person logs in, else application ones; a credential for an identity."""
    assert set(bicep.keys(bicep.variable(ENTRA, "delegatedPermissions"))) == {
        "user_impersonation",
        "Financials.ReadWrite.All",
    }
    assert bicep.keys(bicep.variable(ENTRA, "applicationPermissions")) == ["API.ReadWrite.All"]
    source = ALL_TEXT[ENTRA]
    assert (
        "var permissions = appOnly\n"
        "  ? map(items(applicationPermissions), permission => { id: permission.value, type: 'Role' })\n"
        "  : map(items(delegatedPermissions), permission => { id: permission.value, type: 'Scope' })\n"
    ) in source
    assert "resourceAccess: permissions\n" in declared("entra.application").body
    assert "federatedIdentityCredentials@v1.0' = if (!empty(identityPrincipalId)) {" in source
    asked = declared("connect_app.entra").body
    assert "appOnly: authMode != 'authorization_code'" in asked
    assert "authMode == 'authorization_code' ? [redirectUriOf(publicUrl, functionAppName)] : []" in asked
    assert "authMode == 'managed_identity' ? identity!.outputs.principalId : ''" in asked


def test_consent_is_for_what_the_registration_asks_and_looks_nothing_up_before() -> None:
    """Business Central's service principal may be missing in a tenant; it is looked up only for a consent."""
    consent = declared("connect_app.consent").body
    for name in ("servicePrincipalId", "scopes", "roleIds"):
        assert f"{name}: entra.outputs.{name}" in consent
    assert (
        "module consent 'consent.bicep' = if (grantAdminConsent) {"
        in ALL_TEXT[bicep.INFRA / "modules" / "connect_app.bicep"]
    )
    looked_up = [entry.file for entry in bicep.declarations() if entry.existing and "Graph" in entry.kind]
    assert looked_up == ["consent"]


def reached(path: Path) -> set[Path]:
    """Return a file and everything that it reaches as a module or import."""
    found = {path}
    for target in re.findall(r"(?m)(?:^\s*module \w+|^\} from|^import .* from) '([\w/.]+\.bicep)'", ALL_TEXT[path]):
        found |= reached((path.parent / target).resolve())
    return found


def test_only_the_registration_asks_the_registry_for_the_graph_types() -> None:
    """The compiler fetches an extension even for a module that is not deployed; a closed network fails (BCP192)."""
    with_graph = {path for path, source in ALL_TEXT.items() if "microsoftGraph" in source}
    assert with_graph == {ENTRA, bicep.INFRA / "modules" / "consent.bicep"}
    assert not with_graph & reached(MAIN)
    assert with_graph <= reached(REGISTRATION)
    assert reached(MAIN) | reached(REGISTRATION) == set(ALL_TEXT)


def test_registration_and_resources_agree_on_names() -> None:
    """Both come to the same identity, app and redirect URI, whoever is first."""
    resources, inside = (ALL_TEXT[bicep.INFRA / name] for name in ("resources.bicep", "modules/connect_app.bicep"))
    for source in (resources, inside):
        assert "var token = uniqueString(resourceGroup().id, environmentName)" in source
        assert "nameOverrides.?identity ?? identityNameOf(environmentName, token)" in source
        assert "var functionAppName = nameOverrides.?functionApp ?? functionAppNameOf(environmentName, token)" in source
    shared = {"environmentName", "location", "resourceGroupName", "tags", "nameOverrides", "publicUrl", "bcAuthMode"}
    ours, theirs = bicep.parameters(MAIN), bicep.parameters(REGISTRATION)
    assert set(theirs) == shared | {"grantAdminConsent"}
    for name in shared:
        assert ours[name][1] == theirs[name][1], name
    assert re.search(r"(?m)^output BC_CLIENT_ID string = ", ALL_TEXT[REGISTRATION])
