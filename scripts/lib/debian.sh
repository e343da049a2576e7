# Programs from Debian that are unpacked into .tools/ and need no root. Sourced after common.sh.

# private_apt WORK: prepares an apt state of its own under WORK with the newer suites of the machine's own mirror.
# shellcheck disable=SC2034
private_apt() {
  local work=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror suite
  [ "$(dpkg --print-architecture)" = amd64 ] || die "only amd64 is supported, this is $(dpkg --print-architecture)"
  mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
    grep -v '^[[:space:]]*#' | grep -oE 'https?://[^[:space:]]+/debian/?([[:space:]]|$)' | head -1 | tr -d '[:space:]') || true
  [ -n "$mirror" ] || die "no Debian mirror in this machine's apt sources; add one, then run ./scripts/setup"
  mkdir -p "$work"/{lists/partial,cache/archives/partial,debs}
  for suite in trixie sid; do echo "deb [signed-by=$keyring] $mirror $suite main"; done >"$work/sources.list"
  : >"$work/status"
  apt_options=(-oDir::Etc::SourceList="$work/sources.list" -oDir::Etc::SourceParts=/dev/null
    -oDir::Etc::Preferences=/dev/null -oDir::Etc::PreferencesParts=/dev/null
    -oDir::State::Lists="$work/lists" -oDir::State::status="$work/status" -oDir::Cache="$work/cache"
    -oAPT::Default-Release=trixie -oAcquire::Languages=none -oAPT::Sandbox::User=
    -oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -oAcquire::Retries=3)
  apt-get "${apt_options[@]}" update
}

# install_bitcoind: Bitcoin Knots from unstable with its libraries from stable, started through its own loader.
install_bitcoind() {
  local prefix=$root/.tools/bitcoind work deb exe libs
  work=$(mktemp -d)
  trap 'rm -rf "$work"' RETURN
  private_apt "$work"
  # The run-time closure of bitcoind's ELF files; no maintainer script is run.
  libs=(libc6 libgcc-s1 libstdc++6 libevent-core-2.1-7t64 libevent-extra-2.1-7t64 libevent-pthreads-2.1-7t64
    libsqlite3-0 libzmq5 libbsd0 libmd0 libsodium23 libpgm-5.3-0t64 libnorm1t64 libxml2
    libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2 libkeyutils1 liblzma5 zlib1g)
  (cd "$work/debs" && apt-get "${apt_options[@]}" download bitcoin-knots/sid "${libs[@]}")
  rm -rf "$prefix"
  mkdir -p "$prefix/root" "$prefix/bin"
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$prefix/root"; done
  for exe in bitcoind bitcoin-cli; do
    cat >"$prefix/bin/$exe" <<'WRAP'
#!/bin/sh
# `exec` keeps the pid, so that whoever started us can signal the real process.
here=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd)
r=$here/root; l=usr/lib/x86_64-linux-gnu
ld=$r/$l/ld-linux-x86-64.so.2
[ -e "$ld" ] || ld=$r/usr/lib64/ld-linux-x86-64.so.2
exec "$ld" --inhibit-cache --library-path "$r/$l" --argv0 "$0" "$r/usr/bin/$(basename -- "$0")" "$@"
WRAP
    chmod 755 "$prefix/bin/$exe"
  done
  "$prefix/bin/bitcoind" -version
}

# install_chromium: as root by apt; else its packages and what they need are unpacked into .tools/chromium.
install_chromium() {
  if am_root; then
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium
    return
  fi
  local prefix=$root/.tools/chromium work deb
  work=$(mktemp -d)
  trap 'rm -rf "$work"' RETURN
  mkdir -p "$prefix/root" "$prefix/bin"
  (cd "$work" && apt-get download $(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
    --no-breaks --no-replaces --no-enhances chromium | grep -E '^[a-z0-9]' | grep -v ':i386' | sort -u))
  for deb in "$work"/*.deb; do dpkg-deb -x "$deb" "$prefix/root"; done
  cat >"$prefix/bin/chromium" <<'WRAP'
#!/bin/sh
r=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")/../root" && pwd)
LD_LIBRARY_PATH=$r/usr/lib/x86_64-linux-gnu:$r/lib/x86_64-linux-gnu exec "$r/usr/lib/chromium/chromium" "$@"
WRAP
  chmod 755 "$prefix/bin/chromium"
}
