#!/usr/bin/env bash
# What a reviewer should not have to look for: formatting, lints, crate direction, sizes, decisions listed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
failed=0
bad() { printf 'lint: %s\n' "$*"; failed=1; }

cargo fmt --all --check >/dev/null || bad "not formatted: run make fmt"
cargo clippy --workspace --all-targets --quiet -- -D warnings || bad "clippy"

# Crates import only downward: each names its layer, and what it imports is on a lower one.
layer() { sed -n 's/^layer = \([0-9]\)$/\1/p' "crates/$1/Cargo.toml"; }
for manifest in crates/*/Cargo.toml; do
  crate=$(basename "$(dirname "$manifest")")
  own=$(layer "$crate")
  [ -n "$own" ] || { bad "$manifest names no layer ([package.metadata.scryon])"; continue; }
  for import in $(sed '/^\[dev-dependencies\]/,$d' "$manifest" | grep -oE '^scryon-[a-z-]+'); do
    [ "$(layer "$import")" -lt "$own" ] || bad "$crate (layer $own) imports $import (layer $(layer "$import"))"
  done
done

# A file is read in one sitting, a function on one screen. Tables and tests may be longer.
while IFS= read -r file; do
  lines=$(wc -l <"$file")
  [ "$lines" -le 500 ] || bad "$file has $lines lines"
done < <(git ls-files 'crates/*.rs' | grep -vE '/lexicon/|_tests\.rs$|/tests/')
while IFS= read -r line; do bad "$line"; done < <(git ls-files 'crates/*.rs' | grep -vE '_tests\.rs$|/tests/' | xargs awk '
  FNR == 1 { start = 0 }
  !start && match($0, /^ *(pub(\([a-z]+\))? )?(const )?(async )?fn /) { indent = match($0, /[^ ]/) - 1; start = FNR; name = $0 }
  start && match($0, /^ *}/) && match($0, /[^ ]/) - 1 == indent { if (FNR - start > 70) printf "%s:%d a function of %d lines\n", FILENAME, start, FNR - start + 1; start = 0 }
  start && FNR == start && /;$|}$/ { start = 0 }')

# Tests wait for conditions, never for time.
grep -rnE 'sleep\(' tests/integration tests/faults --include='*.rs' | grep -v 'pg_sleep' && bad "a test sleeps"

for adr in docs/adr/[0-9]*.md; do
  grep -qF "$(basename "$adr")" docs/adr/README.md || bad "$adr is not in docs/adr/README.md"
done
[ $failed -eq 0 ] && printf 'lint: ok\n'
exit $failed
