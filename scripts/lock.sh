#!/bin/sh
# Writes requirements.txt, requirements-dev.txt, requirements-bench.txt and those of node, mutants, fuzz and foreign from requirements/*.in,
# with hashes and without any index address. Versions stay as locked; `scripts/lock.sh --upgrade` takes the newest allowed.
# package-lock.json is npm's: `npm install --package-lock-only --omit-lockfile-registry-resolved`.
set -eu
cd "$(dirname "$0")/.."
lock() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header "$@"
}
lock requirements/runtime.in --output-file requirements.txt "$@"
lock requirements/dev.in --output-file requirements-dev.txt "$@"
lock requirements/bench.in --output-file requirements-bench.txt "$@"
lock requirements/node.in --output-file requirements/node.txt "$@"
lock requirements/mutants.in --output-file requirements/mutants.txt "$@"
lock requirements/fuzz.in --output-file requirements/fuzz.txt "$@"
lock requirements/foreign.in --output-file requirements/foreign.txt "$@"
