# A second kind of Bitcoin node: Bitcoin Core 31, whose mempool limits clusters instead of ancestors. No distribution
# has it yet; a crate carries its source, without the wallet. Sourced after common.sh.

# install_cluster_node: builds bitcoind into .tools/bitcoind-cluster; a quarter of an hour on two quiet cores.
install_cluster_node() {
  local prefix=$root/.tools/bitcoind-cluster version=0.4.1 work source
  work=$(mktemp -d)
  trap 'rm -rf "$work"' RETURN
  if ! command -v cmake >/dev/null || ! command -v c++ >/dev/null || [ ! -e /usr/include/boost/version.hpp ]; then
    am_root || die "cmake, g++ and Boost's headers are missing. Install them: sudo apt-get install cmake g++ libboost-dev"
    apt-get update && apt-get install -y --no-install-recommends cmake g++ libboost-dev
  fi
  printf '[package]\nname = "source"\nversion = "0.0.0"\nedition = "2024"\n[lib]\npath = "lib.rs"\n[dependencies]\nlibbitcoinkernel-sys = "=%s"\n' \
    "$version" >"$work/Cargo.toml"
  : >"$work/lib.rs"
  source=$(cargo metadata --format-version 1 --manifest-path "$work/Cargo.toml" |
    grep -oE "\"manifest_path\":\"[^\"]*libbitcoinkernel-sys-$version/Cargo.toml\"" | head -1 | cut -d'"' -f4)
  [ -n "$source" ] || die "cargo did not bring libbitcoinkernel-sys $version, which carries the node's source"
  cmake -S "$(dirname "$source")/bitcoin" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_DAEMON=ON -DENABLE_WALLET=OFF \
    -DENABLE_IPC=OFF -DWITH_EMBEDDED_ASMAP=OFF -DWITH_ZMQ=OFF -DBUILD_TESTS=OFF -DBUILD_CLI=OFF -DBUILD_TX=OFF -DBUILD_UTIL=OFF -DINSTALL_MAN=OFF
  cmake --build "$work/build" --target bitcoind --parallel "$(nproc)"
  mkdir -p "$prefix/bin"
  strip -o "$prefix/bin/bitcoind.new" "$work/build/bin/bitcoind"
  "$prefix/bin/bitcoind.new" -version
  mv "$prefix/bin/bitcoind.new" "$prefix/bin/bitcoind"
}
