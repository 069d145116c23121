# Sourced by every tool: where the tools live, and how a tool says that it cannot be had.
# shellcheck shell=bash

CWPP_CACHE="${CWPP_CACHE:-${HOME:-/var/tmp}/.cache/cwpp}"
mkdir -p "$CWPP_CACHE"
export CWPP_CACHE

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

# Runs the rest of the calling script alone per tool: two callers never install the same thing at once.
lock() {
  exec 9>"$CWPP_CACHE/.lock-$1"
  flock 9
}
unlock() { exec 9>&-; }

# apt-get, one at a time: two tools that fetch at once would find its lists locked.
apt() { (flock 7 && apt-get "$@") 7>"$CWPP_CACHE/.lock-apt"; }

# need COMMAND PACKAGE...: the command, or as root the Debian packages that bring it.
need() {
  local command=$1
  shift
  command -v "$command" >/dev/null 2>&1 && return 0
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 ||
    die "needs the command '$command' (Debian: $*)"
  say "installing $* for '$command'"
  export DEBIAN_FRONTEND=noninteractive
  apt update -qq >&2 || die "apt-get update failed"
  apt install -y -qq --no-install-recommends "$@" >&2 || die "apt-get could not install $*"
  command -v "$command" >/dev/null 2>&1 || die "'$command' is still missing after installing $*"
}

# A working folder that becomes the tool's folder only when the install is whole.
stage_of() {
  rm -rf "$CWPP_CACHE/$1.new"
  mkdir -p "$CWPP_CACHE/$1.new"
  printf '%s' "$CWPP_CACHE/$1.new"
}
settle() {
  rm -rf "${CWPP_CACHE:?}/$1"
  mv "$CWPP_CACHE/$1.new" "$CWPP_CACHE/$1"
}

need_python() {
  need python3 python3 python3-pip python3-venv
  python3 -c 'import venv, ensurepip, pip' 2>/dev/null && return 0
  [ "$(id -u)" = 0 ] || die "needs Python's pip and venv (Debian: python3-pip python3-venv)"
  apt update -qq >&2 && apt install -y -qq --no-install-recommends python3-pip python3-venv >&2
}
need_npm() { need npm nodejs npm; }

# unpack FOLDER PACKAGE...: Debian packages beside the system, as far as there are such packages.
unpack() {
  local folder=$1 name
  shift
  command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || die "needs Debian's apt-get and dpkg-deb for: $*"
  mkdir -p "$folder/.packages"
  [ "$(id -u)" != 0 ] || apt update -qq >&2 || die "apt-get update failed"
  for name in "$@"; do
    # Not as the user of apt, who may not enter the cache.
    (cd "$folder/.packages" && apt download -qq -o APT::Sandbox::User=root "$name" >&2 2>/dev/null) || true
  done
  for name in "$folder"/.packages/*.deb; do
    [ -e "$name" ] || die "apt-get could fetch none of: $*"
    dpkg-deb -x "$name" "$folder" || die "cannot unpack $name"
  done
  rm -rf "$folder/.packages"
}
# run_unpacked FOLDER COMMAND ARG...: a command that `unpack` brought, with the libraries beside it.
run_unpacked() {
  local folder=$1 command=$2 program libraries
  shift 2
  program=$(find "$folder/usr/bin" "$folder/bin" "$folder/usr/sbin" -name "$command" -print -quit 2>/dev/null)
  [ -n "$program" ] || die "the packages hold no $command"
  libraries=$(find "$folder" -name 'lib*.so*' -printf '%h\n' | sort -u | paste -sd:)
  LD_LIBRARY_PATH="$libraries" exec "$program" "$@"
}
