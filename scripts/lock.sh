#!/bin/sh
# Writes requirements.txt, requirements-dev.txt, requirements-bench.txt and requirements/node.txt from requirements/*.in,
# with hashes and without any index address. Versions stay as locked; `scripts/lock.sh --upgrade` takes the newest allowed.
# package-lock.json is npm's: `npm install --package-lock-only --omit-lockfile-registry-resolved`.
set -eu
cd "$(dirname "$0")/.."
UV=.local/uv/bin/uv
if [ ! -x "$UV" ]; then
  .venv/bin/python -m venv --clear .local/uv
  .local/uv/bin/python -m pip install --quiet uv
fi
lock() {
  "$UV" pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header "$@"
}
lock requirements/runtime.in --output-file requirements.txt "$@"
lock requirements/dev.in --output-file requirements-dev.txt "$@"
lock requirements/bench.in --output-file requirements-bench.txt "$@"
lock requirements/node.in --output-file requirements/node.txt "$@"
