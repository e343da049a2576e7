# The gates of the contracts: halmos, slither, mutants, coverage, long fuzzing. Sourced after common.sh.
forge_bin=$root/node_modules/@foundry-rs/forge-linux-amd64/bin
tools=$root/.tools/python

# python_tools: slither and halmos in an environment of their own, at pinned versions.
python_tools() {
  command -v python3 >/dev/null 2>&1 || die 'python3 (3.11 or newer, with venv) is missing'
  export PATH=$forge_bin:$tools/bin:$PATH
  [ "$(cat "$tools/pinned" 2>/dev/null)" = "slither-analyzer==0.11.6 halmos==0.3.3" ] && return
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check slither-analyzer==0.11.6 halmos==0.3.3
  echo 'slither-analyzer==0.11.6 halmos==0.3.3' >"$tools/pinned"
}

# electrumx: an Electrum server in an environment of its own; 1.19 is the last that takes bitcoind 29.
electrumx() {
  command -v python3 >/dev/null 2>&1 || die 'python3 (3.11 or newer, with venv) is missing'
  local place=$root/.tools/electrumx pins='e-x==1.19.0 aiorpcX==0.25.0 plyvel==1.5.1'
  [ "$(cat "$place/pinned" 2>/dev/null)" = "$pins" ] && return
  python3 -m venv "$place"
  # shellcheck disable=SC2086 # three words
  "$place/bin/pip" install --quiet --disable-pip-version-check $pins
  echo "$pins" >"$place/pinned"
}

# run_proofs [CONTRACT]: every `check_` of tests/contracts/proofs; a timeout is a failure.
run_proofs() {
  rm -rf out/proofs out/proofs-cache # halmos wants artifacts with syntax trees
  FOUNDRY_PROFILE=proofs halmos --forge-build-out out/proofs --match-contract "${1:-Proofs\$}" --no-status \
    --solver-timeout-assertion 60s --loop 256 --solver-threads 2
}

# run_slither: with artifacts of its own, which it cleans first; JSON of all findings, judged against scripts/lib/slither.json.
run_slither() {
  mkdir -p out/quality
  rm -f out/quality/slither.json
  FOUNDRY_OUT=out/slither FOUNDRY_CACHE_PATH=out/slither-cache slither . --filter-paths 'node_modules|tests|scripts' \
    --exclude-informational --exclude-optimization --exclude-low --json out/quality/slither.json >/dev/null 2>&1 || true
  [ -f out/quality/slither.json ] || die 'slither gave no answer; run it by hand to see why'
  node scripts/lib/slither.mjs
}

# run_coverage: lines and branches by contract, without the optimizer, so without what measures gas and size; floors in
# scripts/lib/coverage.json.
run_coverage() {
  mkdir -p out/quality
  "$forge_bin/forge" coverage --report lcov --report-file out/quality/lcov.info \
    --no-match-path "tests/contracts/{gas/*,CourtGas.t.sol}" --no-match-test "FitsTheSizeLimit|OnlyCostGas" >out/quality/coverage.log 2>&1 ||
    { tail -30 out/quality/coverage.log >&2; die 'forge coverage failed'; }
  node scripts/lib/coverage.mjs
}

# run_fuzz [RUNS INVARIANT_RUNS]: the nightly profile, or a shorter one.
run_fuzz() {
  FOUNDRY_PROFILE=nightly FOUNDRY_FUZZ_RUNS=${1:-100000} FOUNDRY_INVARIANT_RUNS=${2:-10000} \
    "$forge_bin/forge" test --match-test '^(testFuzz_|invariant_)'
}
