#!/bin/sh
# Brings the clients that nobody here wrote (tests/foreign/package-lock.json, requirements/foreign.txt) into .local/foreign and
# runs their tests. Apart from .venv and node_modules, which `make setup` brings. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
HOME_OF=.local/foreign
mkdir -p "$HOME_OF"
stamp=$(cat tests/foreign/package-lock.json requirements/foreign.txt | cksum)
if [ "$(cat "$HOME_OF/.stamp" 2>/dev/null)" != "$stamp" ]; then
  cp tests/foreign/package.json tests/foreign/package-lock.json "$HOME_OF/"
  (cd "$HOME_OF" && PATH="$PWD/../../.venv/bin:$PATH" npm ci --no-audit --no-fund --silent)
  .venv/bin/uv venv --quiet --clear --python .venv/bin/python "$HOME_OF/venv"
  .venv/bin/uv pip install --quiet --require-hashes --python "$HOME_OF/venv/bin/python" --requirement requirements/foreign.txt
  echo "$stamp" >"$HOME_OF/.stamp"
fi
exec .venv/bin/python -m pytest tests/foreign "$@"
