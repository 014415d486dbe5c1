#!/bin/sh
# The check: style, format, types, and the tests suite by suite, cheapest first. All of it runs even when a part fails;
# the table at the end says which, and the exit code is 0 only when every part passed. CI runs this and nothing else.
#
#   scripts/test.sh            everything
#   scripts/test.sh unit app   these suites only, without the style and type checks
set -u
cd "$(dirname "$0")/.."
BIN=.venv/bin
TABLE=.local/logs/test.table
FAILED=0
LIMIT_S=900
# the suites must not read the developer's own settings, wait for input, or pass by skipping what needs Azurite
unset BC_TENANT_ID BC_CLIENT_ID BC_API_URL BC_LOGIN_URL KEY_VAULT_URL PUBLIC_URL AzureWebJobsStorage || true
export CI=true PYTHONDONTWRITEBYTECODE=1 REQUIRE_AZURITE=1
mkdir -p .local/logs
: >"$TABLE"
trap 'exit 130' INT
trap 'exit 143' TERM HUP

limited() {
  if command -v timeout >/dev/null 2>&1; then timeout --foreground --kill-after=10 "$LIMIT_S" "$@"; else "$@"; fi
}
part() {
  name=$1
  shift
  printf '\n== %s\n' "$name"
  began=$(date +%s)
  { limited "$@" </dev/null 2>&1; echo $? >.local/logs/test.code; } | tee .local/logs/test.out
  code=$(cat .local/logs/test.code)
  case $code in
    0) verdict=passed ;;
    124 | 137) verdict="stopped after $LIMIT_S s" ;;
    *) verdict=FAILED ;;
  esac
  [ "$code" -eq 0 ] || FAILED=1
  note=$(grep -E '(passed|failed|error|skipped|no tests ran).* in [0-9.]+s' .local/logs/test.out | tail -n 1 | tr -d '=')
  printf '%-12s %-8s %4s s  %s\n' "$name" "$verdict" "$(($(date +%s) - began))" "$note" >>"$TABLE"
}
suite() {
  part "$(basename "$1" .py)" "$BIN/python" -m pytest -rs "$1"
}

if [ $# -eq 0 ]; then
  part style "$BIN/ruff" check .
  part format "$BIN/ruff" format --check .
  part types "$BIN/mypy"
  set -- unit app contract local
  for folder in tests/*/; do
    name=$(basename "$folder")
    case " $* e2e " in *" $name "*) ;; *) set -- "$@" "$name" ;; esac
  done
  set -- "$@" e2e
fi
for name in "$@"; do
  if [ -n "$(find "tests/$name" -name 'test_*.py' 2>/dev/null | head -n 1)" ]; then suite "tests/$name"; fi
done

case " $* " in *" local "*) part emulator "$BIN/python" -m pytest -rs local/emulators/business_central/tests ;; esac

printf '\n== summary\n'
cat "$TABLE"
if [ "$FAILED" -ne 0 ]; then
  echo "test: something failed, see above" >&2
  exit 1
fi
echo "test: all passed"
