#!/bin/sh
# Leaves .local/<name>-venv ready, with the packages that requirements/<name>.txt locks: tools of proofs that neither the
# app nor `make test` needs. Quick when it is there.
set -eu
cd "$(dirname "$0")/.."
lock=requirements/$1.txt
venv=.local/$1-venv
if [ -f "$venv/.stamp" ] && cmp -s "$lock" "$venv/.stamp"; then exit 0; fi
echo "$1: installing the locked packages into $venv"
.venv/bin/uv venv --quiet --clear --python .venv/bin/python "$venv"
.venv/bin/uv pip sync --quiet --require-hashes --python "$venv/bin/python" "$lock"
cp "$lock" "$venv/.stamp"
