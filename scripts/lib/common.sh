# Shared by the entry points: where we are, how we speak, how long things take. Sourced, never run.
set -euo pipefail
umask 022
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# usage FILE STATUS: prints the comment at the head of FILE and exits.
usage() {
  sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1"
  exit "$2"
}

# target: where cargo puts what it builds.
target() { cargo metadata --format-version 1 --no-deps --locked | grep -oE '"target_directory":"[^"]+"' | cut -d'"' -f4; }

step_log=
trap 'rm -f "$step_log"' EXIT

# step NAME COMMAND...: runs it quietly, shows a clock while it runs, its output only if it fails.
step() {
  local name=$1 log started pid mark
  shift
  log=$(mktemp)
  step_log=$log
  started=$SECONDS
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 2 ]; then
      mark=$(grep -aoE 'Compiling [a-z0-9_-]+' "$log" 2>/dev/null | tail -1 || true)
      printf '\r  %-28s %4d s  %-40.40s' "$name" $((SECONDS - started)) "$mark" >&2
    fi
    sleep 0.2
  done
  if wait "$pid"; then
    [ -t 2 ] && printf '\r%80s\r' '' >&2
    say "$(printf '  %-28s ok %4d s' "$name" $((SECONDS - started)))"
    rm -f "$log"
  else
    [ -t 2 ] && printf '\n' >&2
    say "  $name failed after $((SECONDS - started)) s:"
    tail -40 "$log" >&2
    rm -f "$log"
    return 1
  fi
}

am_root() { [ "$(id -u)" = 0 ]; }
