#!/usr/bin/env bash
# Deploy to Azure the func CLI way: check, create or update the resources, publish the package.
#
#   scripts/deploy.sh [--check | --dry-run | --code-only] [--params FILE]
#
#   --check      check the parameters and stop; needs bicep only, no login
#   --dry-run    also ask Azure what would change (what-if) and stop
#   --code-only  publish to an app that exists already: AZURE_FUNCTION_NAME
#   --params     parameter file, infra/main.bicepparam unless told; that one reads environment variables (infra/README.md)
#
# Nothing is created before every tool is found, every parameter is right and the login works.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=deploy
params=infra/main.bicepparam

say() { printf '%s\n' "$*"; }
refuse() { printf 'deploy: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

while [ $# -gt 0 ]; do
  case "$1" in
    --check) mode=check ;;
    --dry-run) mode=dry-run ;;
    --code-only) mode=code-only ;;
    --params) [ $# -ge 2 ] || refuse "--params needs a file"; params=$2; shift ;;
    *) refuse "unknown option $1 (--check, --dry-run, --code-only, --params FILE)" ;;
  esac
  shift
done

# ------------------------------------------------------------------------------------------------ tools
python=
for candidate in "${PYTHON:-}" .venv/bin/python python3.13; do
  if [ -n "$candidate" ] && have "$candidate" && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || refuse "Python 3.13 is missing: run 'make setup'"

if [ "$mode" != check ]; then
  have az || refuse "az is missing: install the Azure CLI, https://aka.ms/azure-cli"
fi
if [ "$mode" = deploy ] || [ "$mode" = code-only ]; then
  have func || refuse "func is missing: install Azure Functions Core Tools 4, https://aka.ms/func-core-tools"
  if ! "$python" -c 'import pathspec, uv' 2>/dev/null; then # what scripts/package.py needs
    sh scripts/setup.sh || refuse "the packages that build the zip are missing: run 'make setup'"
    python=.venv/bin/python
  fi
fi

build_params() {
  if have bicep; then
    bicep build-params "$1" --stdout
  else
    az bicep build-params --file "$1" --stdout
  fi
}

if [ "$mode" != code-only ]; then
  if ! have bicep; then
    { have az && az bicep version >/dev/null 2>&1; } || refuse "bicep is missing: run 'az bicep install'"
  fi
  [ -f "$params" ] || refuse "no parameter file $params"
  # ---------------------------------------------------------------------------------------------- parameters
  compiled=$(build_params "$params") || refuse "$params does not compile; nothing was created"
  printf '%s' "$compiled" | "$python" scripts/check_params.py || refuse "wrong parameters in $params; nothing was created"
  say "parameters: $params is good"
  [ "$mode" = check ] && exit 0
fi

# ------------------------------------------------------------------------------------------------ login
subscription=$(az account show --query name --output tsv 2>/dev/null) || refuse "not logged in: run 'az login'"
say "subscription: $subscription"

# ------------------------------------------------------------------------------------------------ resources
if [ "$mode" != code-only ]; then
  parameter() {
    printf '%s' "$compiled" | "$python" -c '
import json, sys
data = json.load(sys.stdin)
data = json.loads(data["parametersJson"]) if "parametersJson" in data else data
print(data["parameters"][sys.argv[1]]["value"])' "$1"
  }
  location=$(parameter location)
  deployment="bc-connect-$(parameter environmentName)"
  arguments=(--name "$deployment" --location "$location" --parameters "$params")
  if [ "$mode" = dry-run ]; then
    az deployment sub what-if "${arguments[@]}" || refuse "what-if failed; nothing was created"
    exit 0
  fi
  az deployment sub validate "${arguments[@]}" --output none || refuse "Azure refuses the template; nothing was created"
  say "deploying $deployment to $location"
  az deployment sub create "${arguments[@]}" --output none || refuse "the deployment failed: az deployment sub show --name $deployment"
  outputs=$(az deployment sub show --name "$deployment" --query properties.outputs --output json)
  # the service changes the case of names in capitals (AZURE_LOCATION comes back as azurE_LOCATION)
  output() {
    printf '%s' "$outputs" | "$python" -c '
import json, sys
print({name.upper(): entry["value"] for name, entry in json.load(sys.stdin).items()}[sys.argv[1]])' "$1"
  }
  AZURE_FUNCTION_NAME=$(output AZURE_FUNCTION_NAME)
fi
[ -n "${AZURE_FUNCTION_NAME:-}" ] || refuse "AZURE_FUNCTION_NAME is not set"

# ------------------------------------------------------------------------------------------------ code
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
"$python" scripts/package.py --no-measure --output dist/app.zip
"$python" -m zipfile -e dist/app.zip "$staging"
say "publishing to $AZURE_FUNCTION_NAME"
(cd "$staging" && func azure functionapp publish "$AZURE_FUNCTION_NAME" --python --build remote) ||
  refuse "publishing failed; the resources are there, try again with AZURE_FUNCTION_NAME=$AZURE_FUNCTION_NAME and --code-only"

if [ "$mode" = deploy ]; then
  say ""
  say "app:          $(output APP_URL)"
  say "redirect URI: $(output BC_REDIRECT_URI)"
  say "key vault:    $(output KEY_VAULT_NAME)"
  say "next: the steps by hand in infra/README.md"
fi
