#!/usr/bin/env bash
# Proof that the tests can fail: plants one known bug at a time in a copy of the tree and runs the test that
# must notice it. Green without the bug, red with it, or this script fails. A bug is a sed expression; one
# that changes nothing is an error, so that the list cannot rot.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
functions=migrations/2026-11-21-000005_pipeline_functions/up.sql
calls=migrations/2026-11-21-000002_calls/up.sql
worker=crates/scryon-runtime/src/worker.rs

# name | file | sed expression | test binary | test
mutants=(
  "run fence|$functions|/^create function calls_lock/,/^end/ s/ and r.run_no = s.run_no and r.status = s.status//|integration|fences::a_worker_of_an_older_run_writes_nothing"
  "token fence|$functions|/^create function stages_finish/,/^end/ s/ and t.lease_token = s.token//|integration|fences::a_lease_that_was_taken_over_writes_nothing"
  "call-row lock|$functions|/^create function calls_lock/,/^end/ s/ for no key update of r//|integration|fences::a_finish_waits_for_an_operators_open_reset_and_then_writes_nothing"
  "ack before confirm|$worker|s/self.deps.crash_point(\"C14\");/{ let (early, announcer, trace) = (hints.clone(), self.announcer.clone(), trace.to_owned()); delivery.ack().await; tokio::spawn(async move { announcer.announce(\&early, Some(\&trace)).await }); return; }/|faults|hints::a_diarization_whose_announcement_is_not_confirmed_is_not_acknowledged"
  "status trigger|$calls|/^create trigger call_records_reset/,/;/d|integration|schema::a_typed_reset_is_legal_from_every_status"
  "idempotent insert|$functions|/^create function stages_next/,/^end/ s/on conflict do nothing//|integration|fences::a_stage_that_is_there_already_is_not_made_twice"
)

SERVICES_CLI=target/debug/scryon deploy/local/services.sh up main || exit 1
. var/services/main.env
export DATABASE_URL AMQP_URL RUST_BACKTRACE=0
copy=$root/var/mutant
# Dependencies are shared with the tree; the project's own crates are built for the copy's path.
export CARGO_TARGET_DIR=$root/target
runs() { # BINARY TEST: the test's own verdict; 2 when it did not run
  local log=$root/var/mutant.log
  (cd "$copy" && cargo test --workspace --test "$1" -- --exact "$2" --test-threads=1) >"$log" 2>&1
  grep -q '^test result: ok. 1 passed' "$log" && return 0
  grep -q '^test result: FAILED. 0 passed; 1 failed' "$log" && return 1
  return 2
}

rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z -co --exclude-standard | tar --null -T - -cf - | tar -xf - -C "$copy" || exit 1
status=0
for mutant in "${mutants[@]}"; do
  IFS='|' read -r name file expression binary test <<<"$mutant"
  runs "$binary" "$test"
  case $? in 0) ;; *) printf '%-20s %s is not green without the bug (see var/mutant.log)\n' "$name" "$test"; status=1; continue ;; esac
  sed -i "$expression" "$copy/$file"
  if cmp -s "$root/$file" "$copy/$file"; then
    printf '%-20s the bug could not be planted in %s\n' "$name" "$file"; status=1; continue
  fi
  runs "$binary" "$test"
  case $? in
    1) printf '%-20s caught by %s\n' "$name" "$test" ;;
    0) printf '%-20s NOT caught by %s\n' "$name" "$test"; status=1 ;;
    *) printf '%-20s does not build or run (see var/mutant.log)\n' "$name"; status=1 ;;
  esac
  cp "$root/$file" "$copy/$file"
done
rm -rf "$copy"
# Programs of the last mutant may lie under the usual names: build the tree's own again.
cargo build --workspace --bins --quiet
exit $status
