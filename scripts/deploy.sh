#!/usr/bin/env bash
# Deploy to Azure the func CLI way: check, create or update the resources, publish the package, see that the app answers.
#
#   scripts/deploy.sh [--check | --dry-run | --register | --code-only] [--params FILE] [--package FILE]
#
#   --check      check the parameters and stop; needs bicep only, no login and no registry
#   --dry-run    also ask Azure what would change (what-if, with rights to read only) and stop
#   --register   make or update the application registration, print its client id and stop
#   --code-only  publish to an app that exists already: AZURE_FUNCTION_NAME
#   --params     parameter file, infra/main.bicepparam unless told; that one reads environment variables (infra/README.md)
#   --package    publish this zip instead of building one
#   --azd        for the hook in azure.yaml: check, and register when asked to
#
# With ENTRA_APP_ENABLED=true and no client id yet the registration is made before the resources.
# Nothing is created before every tool is found, every parameter is right and the login works.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=deploy
params=infra/main.bicepparam
package=
any_guid=00000000-0000-0000-0000-000000000000

say() { printf '%s\n' "$*"; }
refuse() { printf 'deploy: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

while [ $# -gt 0 ]; do
  case "$1" in
    --check) mode=check ;;
    --dry-run) mode=dry-run ;;
    --register) mode=register ;;
    --code-only) mode=code-only ;;
    --azd) mode=azd ;;
    --help | -h) awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' scripts/deploy.sh; exit 0 ;;
    --params) [ $# -ge 2 ] || refuse "--params needs a file"; params=$2; shift ;;
    --package) [ $# -ge 2 ] || refuse "--package needs a file"; package=$2; shift ;;
    *) refuse "unknown option $1 (--help, --check, --dry-run, --register, --code-only, --params FILE, --package FILE)" ;;
  esac
  shift
done
[ -z "$package" ] || [ -f "$package" ] || refuse "no package $package"

registers=false
if [ "${ENTRA_APP_ENABLED:-}" = true ]; then registers=true; fi
if [ "$mode" = register ]; then export ENTRA_APP_ENABLED=true; fi # the check must not ask for what is about to be made

# ------------------------------------------------------------------------------------------------ tools
python=
for candidate in "${PYTHON:-}" .venv/bin/python python3.13; do
  if [ -n "$candidate" ] && have "$candidate" && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || refuse "Python 3.13 is missing: run 'make setup'"

need_az() { have az || refuse "az is missing: install the Azure CLI, https://aka.ms/azure-cli"; }
if [ "$mode" != check ] && [ "$mode" != azd ]; then need_az; fi
if [ "$mode" = deploy ] || [ "$mode" = code-only ]; then
  have func || refuse "func is missing: install Azure Functions Core Tools 4, https://aka.ms/func-core-tools"
  have curl || refuse "curl is missing"
  if ! "$python" -c 'import pathspec, uv' 2>/dev/null; then # what scripts/package.py needs
    sh scripts/setup.sh || refuse "the packages that build the zip are missing: run 'make setup'"
    python=.venv/bin/python
  fi
fi

# The value of a parameter in $compiled; nothing when the file leaves it to the template.
parameter() {
  printf '%s' "$compiled" | "$python" -c '
import json, sys
value = json.load(sys.stdin)["parameters"].get(sys.argv[1], {}).get("value", "")
print(json.dumps(value) if isinstance(value, (bool, dict)) else value)' "$1"
}
# Compiles and checks $params: the values, the wrong ones in words, and 0 or 1.
compile() {
  status=0
  compiled=$("$python" scripts/check_params.py --print "$params" 2>"$work/faults") || status=$?
  faults=$(cat "$work/faults")
  [ "$status" -ne 2 ] || { printf '%s\n' "$faults" >&2; refuse "cannot read $params; nothing was created"; }
}
# Fetches what a deployment put out. The service changes the case of names in capitals (AZURE_LOCATION -> azurE_LOCATION).
fetch_outputs() {
  outputs=$(az deployment sub show --name "$1" --query properties.outputs --output json)
}
output() {
  printf '%s' "$outputs" | "$python" -c '
import json, sys
print({name.upper(): entry["value"] for name, entry in json.load(sys.stdin).items()}[sys.argv[1]])' "$1"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ------------------------------------------------------------------------------------------------ parameters
if [ "$mode" != code-only ]; then
  compile
  if [[ "$faults" == *"budgetStartDate: is past"* ]] && [ "$mode" != check ] && [ "$mode" != azd ]; then
    # a budget that is there keeps its month; azd hands that on by itself
    if fetch_outputs "bc-connect-$(parameter environmentName)" 2>/dev/null; then
      BUDGET_SINCE=$(output BUDGET_SINCE 2>/dev/null || true)
      export BUDGET_SINCE
      compile
    fi
  fi
  [ "$status" -eq 0 ] || { printf '%s\n' "$faults" >&2; refuse "wrong parameters in $params; nothing was created"; }
  say "parameters: $params is good"
  environment=$(parameter environmentName)
  location=$(parameter location)
  client_id=$(parameter bcClientId)
  if [ "$mode" = check ]; then exit 0; fi
  if [ "$mode" = azd ] && { [ "$registers" = false ] || [ -n "$client_id" ]; }; then exit 0; fi
fi

# ------------------------------------------------------------------------------------------------ login
need_az
subscription=$(az account show --query name --output tsv 2>/dev/null) || refuse "not logged in: run 'az login'"
say "subscription: $subscription"

# ------------------------------------------------------------------------------------------------ registration
# The parameters that registration.bicep has in common with main.bicep, from the same file.
register() {
  say "registering the application of $environment"
  printf '%s' "$compiled" | "$python" -c '
import json, sys
wanted = "environmentName location resourceGroupName tags nameOverrides publicUrl bcAuthMode".split()
given = json.load(sys.stdin)["parameters"]
print(json.dumps({
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {name: given[name] for name in wanted if name in given},
}))' >"$work/registration.json"
  consent=false
  if [ "${ENTRA_GRANT_ADMIN_CONSENT:-}" = true ]; then consent=true; fi
  az deployment sub create --name "bc-registration-$environment" --location "$location" --output none \
    --template-file infra/registration.bicep --parameters "@$work/registration.json" "grantAdminConsent=$consent" ||
    refuse "the registration failed: az deployment sub show --name bc-registration-$environment"
  fetch_outputs "bc-registration-$environment"
  client_id=$(output BC_CLIENT_ID)
}

if [ "$mode" = register ]; then
  register
  say "client id: $client_id"
  say "next: give it as BC_CLIENT_ID (bcClientId in a parameter file), then deploy"
  exit 0
fi
if [ "$mode" != code-only ] && [ "$registers" = true ] && [ -z "$client_id" ]; then
  if [ "$mode" = dry-run ]; then
    say "the application would be registered; its client id stands as $any_guid below"
    client_id=$any_guid
  else
    register
  fi
  if [ "$mode" = azd ]; then
    azd env set BC_CLIENT_ID "$client_id" || refuse "azd does not take BC_CLIENT_ID=$client_id"
    exit 0
  fi
  export BC_CLIENT_ID=$client_id
  compile
  [ "$(parameter bcClientId)" = "$client_id" ] || refuse "write bcClientId = '$client_id' into $params"
fi

# ------------------------------------------------------------------------------------------------ resources
if [ "$mode" != code-only ]; then
  deployment="bc-connect-$environment"
  arguments=(--name "$deployment" --location "$location" --parameters "$params")
  if [ "$mode" = dry-run ]; then
    # without the check of rights to write: whoever looks needs none
    az deployment sub what-if "${arguments[@]}" --validation-level providerNoRbac || refuse "what-if failed; nothing was created"
    exit 0
  fi
  az deployment sub validate "${arguments[@]}" --output none || refuse "Azure refuses the template; nothing was created"
  say "deploying $deployment to $location"
  az deployment sub create "${arguments[@]}" --output none || refuse "the deployment failed: az deployment sub show --name $deployment"
  fetch_outputs "$deployment"
  AZURE_FUNCTION_NAME=$(output AZURE_FUNCTION_NAME)
  app_url=$(output APP_URL)
fi
[ -n "${AZURE_FUNCTION_NAME:-}" ] || refuse "AZURE_FUNCTION_NAME is not set"
app_url=${app_url:-https://$AZURE_FUNCTION_NAME.azurewebsites.net}

# ------------------------------------------------------------------------------------------------ code
if [ -z "$package" ]; then
  package=dist/app.zip
  "$python" scripts/package.py --no-measure --output "$package"
fi
"$python" -m zipfile -e "$package" "$work/app"
say "publishing to $AZURE_FUNCTION_NAME"
(cd "$work/app" && func azure functionapp publish "$AZURE_FUNCTION_NAME" --python --build remote) ||
  refuse "publishing failed; the resources are there, try again with AZURE_FUNCTION_NAME=$AZURE_FUNCTION_NAME and --code-only"

# ------------------------------------------------------------------------------------------------ does it answer?
# A host whose functions cannot be imported runs all the same and answers 200 at /; only a route of ours tells.
if [ "$mode" = deploy ] && [ "$(parameter restrictToBusinessCentral)" = true ]; then
  say "health: not asked, the site is restricted"
else
  answer=none
  for _ in $(seq 30); do
    answer=$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 20 "$app_url/api/health" || true)
    if [ "$answer" = 200 ]; then break; fi
    sleep 10
  done
  [ "$answer" = 200 ] || refuse "$app_url/api/health answers $answer: the code is published, but its functions do not run (403: the site is restricted or stopped)"
  say "health: $app_url/api/health answers 200"
fi

if [ "$mode" = deploy ]; then
  say ""
  say "app:          $app_url"
  say "redirect URI: $(output BC_REDIRECT_URI)"
  say "key vault:    $(output KEY_VAULT_NAME)"
  say "next: the steps by hand in infra/README.md"
fi
